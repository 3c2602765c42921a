package bench

import (
	"context"
	"fmt"
	"io"
)

// demoRounds is how often each is measured.
const demoRounds = 3

// Demo measures RDMA over FreeFlow and TCP between two containers, on one host and on two, and prints a table of each. Progress goes to notes.
func Demo(ctx context.Context, out, notes io.Writer) error {
	if err := demoOneHost(ctx, out, notes); err != nil {
		return err
	}
	return demoTwoHosts(ctx, out, notes)
}

func demoOneHost(ctx context.Context, out, notes io.Writer) error {
	fmt.Fprintln(notes, "starting FreeFlow and two containers")
	w, err := NewWorld(ctx, "auto")
	if err != nil {
		return err
	}
	defer w.Close()
	server, client, err := w.Pair(ctx)
	if err != nil {
		return err
	}
	if err := ServeTCP(ctx, server); err != nil {
		return err
	}
	d := demo{server: server, client: client}
	if err := d.rounds(ctx, notes); err != nil {
		return err
	}
	return d.print(out, "Between two containers on this host", "TCP")
}

// demoTwoHosts has network namespaces as hosts.
func demoTwoHosts(ctx context.Context, out, notes io.Writer) error {
	const mtu = 9000
	fmt.Fprintln(notes, "\nstarting two hosts (network namespaces), an orchestrator, and a container on each host")
	c, err := NewCluster(ctx, mtu)
	if err != nil {
		return err
	}
	defer c.Close()
	p, err := NewDistant(ctx, c)
	if err != nil {
		return err
	}
	d := demo{server: p.Server, client: p.Client}
	if err := d.rounds(ctx, notes); err != nil {
		return err
	}
	title := fmt.Sprintf("Between two containers on two hosts, underlay MTU %d", mtu)
	return d.print(out, title, "TCP, VXLAN overlay")
}

// rounds measures demoRounds times.
func (d *demo) rounds(ctx context.Context, notes io.Writer) error {
	for i := range demoRounds {
		fmt.Fprintf(notes, "round %d of %d:", i+1, demoRounds)
		err := d.round(ctx, notes)
		fmt.Fprintln(notes)
		if err != nil {
			return err
		}
	}
	return nil
}

type demo struct {
	server, client                     *Container
	send, write, lat, tcpBW, tcpLat    Sample
	sendRatio, writeRatio, latencyGain Sample
	congestion                         string
}

func (d *demo) round(ctx context.Context, notes io.Writer) error {
	fmt.Fprint(notes, " iperf3")
	tcp, err := MeasureIperf(ctx, d.server, d.client, 1)
	if err != nil {
		return err
	}
	fmt.Fprint(notes, ", ib_send_bw")
	send, err := MeasureBandwidth(ctx, d.server, d.client, "send", 64<<10, 1)
	if err != nil {
		return err
	}
	fmt.Fprint(notes, ", ib_write_bw")
	write, err := MeasureBandwidth(ctx, d.server, d.client, "write", 64<<10, 1)
	if err != nil {
		return err
	}
	fmt.Fprint(notes, ", qperf tcp_lat")
	tcpLat, err := MeasureTCPLatency(ctx, d.server, d.client, 2, 1)
	if err != nil {
		return err
	}
	fmt.Fprint(notes, ", ib_send_lat")
	lat, err := MeasureLatency(ctx, d.server, d.client, "send", 2, 20000)
	if err != nil {
		return err
	}
	d.congestion = tcp.Congestion
	d.tcpBW, d.send, d.write = append(d.tcpBW, tcp.Bandwidth), append(d.send, send.Average), append(d.write, write.Average)
	d.tcpLat, d.lat = append(d.tcpLat, tcpLat), append(d.lat, lat.Typical)
	d.sendRatio = append(d.sendRatio, send.Average/tcp.Bandwidth)
	d.writeRatio = append(d.writeRatio, write.Average/tcp.Bandwidth)
	d.latencyGain = append(d.latencyGain, tcpLat/lat.Typical)
	return nil
}

func (d *demo) print(out io.Writer, title, tcp string) error {
	fmt.Fprintf(out, "\n%s, medians of %d:\n\n", title, demoRounds)
	t := Table{Head: []string{"", "FreeFlow", "", tcp, "", "FreeFlow is"}}
	iperf := "iperf3"
	if d.congestion != "" {
		iperf += " (" + d.congestion + ")"
	}
	t.Add("64 KiB SEND", gbits(d.send.Median()), "ib_send_bw", gbits(d.tcpBW.Median()), iperf, times(d.sendRatio.Median())+" as fast")
	t.Add("64 KiB WRITE", gbits(d.write.Median()), "ib_write_bw", gbits(d.tcpBW.Median()), iperf, times(d.writeRatio.Median())+" as fast")
	t.Add("2 B, one way", micros(d.lat.Median()), "ib_send_lat", micros(d.tcpLat.Median()), "qperf tcp_lat", times(d.latencyGain.Median())+" as fast")
	return t.Print(out)
}
