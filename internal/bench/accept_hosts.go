package bench

import (
	"context"
	"fmt"
)

// The aims between two hosts, beside TCP over the overlay between the same containers.
const (
	distantSize   = 64 << 10
	jumboMTU      = 9000
	jumboRatio    = 2
	jumboGoal     = 40 // Gbit/s
	ordinaryMTU   = 1500
	ordinaryRatio = 1.2
	latencyRatio  = 0.4
	latencyGoal   = 0.25
)

// hosts compares with TCP over the overlay, one after the other in each round.
func (a *acceptance) hosts(ctx context.Context) error {
	err := a.o.distantRounds(ctx, "accept", jumboMTU, func(d *Distant) error {
		if err := a.distantThroughput(ctx, d, jumboRatio); err != nil {
			return err
		}
		if err := a.distantLatency(ctx, d); err != nil {
			return err
		}
		return a.distantCost(ctx, d, must)
	})
	if err != nil {
		return err
	}
	return a.o.distantRounds(ctx, "accept", ordinaryMTU, func(d *Distant) error {
		if err := a.distantThroughput(ctx, d, ordinaryRatio); err != nil {
			return err
		}
		return a.distantCost(ctx, d, goal)
	})
}

// across names a bar between hosts.
func (d *Distant) across(what string) string {
	return fmt.Sprintf("2 hosts, MTU %d: %s", d.Cluster.MTU, what)
}

func (a *acceptance) distantThroughput(ctx context.Context, d *Distant, ratio float64) error {
	for _, op := range []string{"send", "write"} {
		tcp, err := MeasureIperf(ctx, d.Server, d.Client, 2)
		if err != nil {
			return err
		}
		b, err := MeasureBandwidth(ctx, d.Server, d.Client, op, distantSize, 2)
		if err != nil {
			return err
		}
		name := fmt.Sprintf("ib_%s_bw, %s", op, bytesText(distantSize))
		a.atLeast(d.across(name+" ÷ iperf3, overlay"), ratio, b.Average/tcp.Bandwidth, "×")
		if d.Cluster.MTU == jumboMTU {
			a.add(bar{what: d.across(name), kind: goal, limit: jumboGoal, unit: "Gbit/s"}, b.Average/1e9)
		} else {
			a.show(d.across(name), b.Average/1e9, "Gbit/s")
		}
		a.show(d.across(fmt.Sprintf("iperf3 (%s), overlay", tcp.Congestion)), tcp.Bandwidth/1e9, "Gbit/s")
	}
	direct, err := MeasureIperf(ctx, d.ServerHost, d.ClientHost, 2)
	if err != nil {
		return err
	}
	a.show(d.across(fmt.Sprintf("iperf3 (%s), hosts", direct.Congestion)), direct.Bandwidth/1e9, "Gbit/s")
	return nil
}

func (a *acceptance) distantLatency(ctx context.Context, d *Distant) error {
	tcp, err := MeasureTCPLatency(ctx, d.Server, d.Client, 2, 1)
	if err != nil {
		return err
	}
	send, err := MeasureLatency(ctx, d.Server, d.Client, "send", 2, 20_000)
	if err != nil {
		return err
	}
	name := "ib_send_lat -s 2, typical"
	a.atMost(d.across(name+" ÷ qperf tcp_lat, overlay"), latencyRatio, send.Typical/tcp, "×")
	a.add(bar{what: d.across(name + " ÷ tcp_lat"), kind: goal, atMost: true, limit: latencyGoal, unit: "×"}, send.Typical/tcp)
	a.show(d.across(name), send.Typical, "µs")
	a.show(d.across("ib_send_lat -s 2, 99th percentile"), send.P99, "µs")
	a.show(d.across("qperf tcp_lat, overlay"), tcp, "µs")
	return nil
}

// distantCost compares processor time for each gigabyte. WRITE is not held against the bar: perftest polls for it.
func (a *acceptance) distantCost(ctx context.Context, d *Distant, kind barKind) error {
	tcp, err := d.MeasureTCPCost(ctx, d.Server, d.Client)
	if err != nil {
		return err
	}
	send, err := d.MeasureCost(ctx, "send")
	if err != nil {
		return err
	}
	write, err := d.MeasureCost(ctx, "write")
	if err != nil {
		return err
	}
	a.add(bar{what: d.across("CPU a gigabyte, SEND by events ÷ iperf3, overlay"), kind: kind, atMost: true, limit: 1, unit: "×"}, send.All/tcp.All)
	a.show(d.across("CPU a gigabyte, iperf3, overlay"), tcp.All, "s")
	a.show(d.across("CPU a gigabyte, SEND by events"), send.All, "s")
	a.show(d.across("CPU a gigabyte, WRITE less its polling program"), write.All, "s")
	return nil
}
