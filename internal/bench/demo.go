package bench

import (
	"context"
	"fmt"
	"io"
)

// demoRounds is how often each is measured.
const demoRounds = 3

// Demo starts two containers, measures RDMA over FreeFlow and TCP between them, and prints one table. Progress goes to notes.
func Demo(ctx context.Context, out, notes io.Writer) error {
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
	for i := range demoRounds {
		fmt.Fprintf(notes, "round %d of %d:", i+1, demoRounds)
		if err := d.round(ctx, notes); err != nil {
			fmt.Fprintln(notes)
			return err
		}
		fmt.Fprintln(notes)
	}
	return d.print(out)
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

func (d *demo) print(out io.Writer) error {
	fmt.Fprintf(out, "\nBetween two containers on this host, medians of %d:\n\n", demoRounds)
	t := Table{Head: []string{"", "FreeFlow", "", "TCP", "", "FreeFlow is"}}
	iperf := "iperf3"
	if d.congestion != "" {
		iperf += " (" + d.congestion + ")"
	}
	t.Add("64 KiB SEND", gbits(d.send.Median()), "ib_send_bw", gbits(d.tcpBW.Median()), iperf, times(d.sendRatio.Median())+" as fast")
	t.Add("64 KiB WRITE", gbits(d.write.Median()), "ib_write_bw", gbits(d.tcpBW.Median()), iperf, times(d.writeRatio.Median())+" as fast")
	t.Add("2 B, one way", micros(d.lat.Median()), "ib_send_lat", micros(d.tcpLat.Median()), "qperf tcp_lat", times(d.latencyGain.Median())+" as fast")
	return t.Print(out)
}
