package bench

import (
	"context"
	"fmt"
	"strconv"
	"strings"
)

// hostsWith makes the figures of one host, between two on an underlay with that MTU: throughput, rate, latency and what a gigabyte costs,
// beside TCP over the VXLAN overlay between the same containers and TCP between the hosts themselves.
func hostsWith(mtu int) measure {
	return func(ctx context.Context, o Options) ([]*Figure, error) {
		f := newDistantFigures(mtu)
		err := o.distantRounds(ctx, "figures", mtu, func(d *Distant) error {
			if err := f.addThroughput(ctx, o, d); err != nil {
				return err
			}
			if err := f.addLatency(ctx, o, d); err != nil {
				return err
			}
			return f.addCosts(ctx, d)
		})
		return []*Figure{f.throughput, f.rate, f.latency, f.cost}, err
	}
}

type distantFigures struct{ throughput, rate, latency, cost *Figure }

// costNames are the rows of the figure of costs.
var costNames = []string{"SEND", "WRITE less program", "READ", "TCP, overlay", "TCP, hosts"}

func newDistantFigures(mtu int) distantFigures {
	name, where := fmt.Sprintf("hosts-%d-", mtu), fmt.Sprintf(", two hosts, underlay MTU %d", mtu)
	return distantFigures{
		&Figure{Name: name + "throughput", Title: "Throughput by message size" + where, XName: "message", X: inBytes, YName: "Gbit/s", Y: significant},
		&Figure{Name: name + "rate", Title: "Messages a second by message size" + where, XName: "message", X: inBytes, YName: "million/s", Y: significant},
		&Figure{Name: name + "latency", Title: "Latency by message size, one way" + where, XName: "message", X: inBytes, YName: "µs", Y: twoDigits},
		&Figure{Name: name + "cpu", Title: "CPU time, 64 KiB messages" + where, XName: "", X: named(costNames...), YName: "s a gigabyte", Y: three},
	}
}

// Sizes of messages: distantSmallest to distantBiggest, and iperf3's limit.
const (
	distantSmallest = 4
	distantBiggest  = 4 << 20
	iperfBiggest    = 1 << 20
)

func (f *distantFigures) addThroughput(ctx context.Context, o Options, d *Distant) error {
	for size := distantSmallest; size <= distantBiggest; size *= o.step(4, 16) {
		for _, op := range []string{"send", "write", "read"} {
			b, err := volume(ctx, d.Server, d.Client, op, messages{size: size, bytes: 1 << 30, most: 100_000})
			if err != nil {
				return err
			}
			f.throughput.Add(strings.ToUpper(op), float64(size), b.Average/1e9)
			f.rate.Add(strings.ToUpper(op), float64(size), b.Rate/1e6)
		}
		if size > iperfBiggest {
			continue
		}
		for _, c := range []struct {
			series         string
			server, client *Container
		}{{"TCP, overlay (iperf3 -l)", d.Server, d.Client}, {"TCP, hosts (iperf3 -l)", d.ServerHost, d.ClientHost}} {
			tcp, err := MeasureIperf(ctx, c.server, c.client, 1, "-l", strconv.Itoa(size))
			if err != nil {
				return err
			}
			f.throughput.Add(c.series, float64(size), tcp.Bandwidth/1e9)
		}
	}
	return nil
}

func (f *distantFigures) addLatency(ctx context.Context, o Options, d *Distant) error {
	for size := 2; size <= 64<<10; size *= o.step(8, 32) {
		for _, op := range []string{"send", "write", "read"} {
			l, err := MeasureLatency(ctx, d.Server, d.Client, op, size, 5_000)
			if err != nil {
				return err
			}
			f.latency.Add(strings.ToUpper(op)+" p50", float64(size), l.Typical)
			f.latency.Add(strings.ToUpper(op)+" p99", float64(size), l.P99)
			f.latency.Add(strings.ToUpper(op)+" p99.9", float64(size), l.P999)
		}
		overlay, err := MeasureTCPLatency(ctx, d.Server, d.Client, size, 1)
		if err != nil {
			return err
		}
		direct, err := MeasureTCPLatency(ctx, d.ServerHost, d.ClientHost, size, 1)
		if err != nil {
			return err
		}
		f.latency.Add("TCP mean, overlay", float64(size), overlay)
		f.latency.Add("TCP mean, hosts", float64(size), direct)
	}
	return nil
}

func (f *distantFigures) addCosts(ctx context.Context, d *Distant) error {
	for i, measure := range []func() (Cost, error){
		func() (Cost, error) { return d.MeasureCost(ctx, "send") },
		func() (Cost, error) { return d.MeasureCost(ctx, "write") },
		func() (Cost, error) { return d.MeasureCost(ctx, "read") },
		func() (Cost, error) { return d.MeasureTCPCost(ctx, d.Server, d.Client) },
		func() (Cost, error) { return d.MeasureTCPCost(ctx, d.ServerHost, d.ClientHost) },
	} {
		c, err := measure()
		if err != nil {
			return err
		}
		x := float64(i)
		f.cost.Add("all", x, c.All)
		f.cost.Add("routers", x, c.Service)
		f.cost.Add("programs", x, c.Programs)
		f.cost.Add("kernel threads, interrupts", x, c.Kernel)
	}
	return nil
}
