package bench

import (
	"context"
	"strconv"
	"time"
)

// modes is the paper's table 3 and figure 12: what the engine's modes give, and what they cost, and TCP's cost beside.
func modes(ctx context.Context, o Options) ([]*Figure, error) {
	names := []string{"auto", "fast", "low", "TCP"}
	speed := modeFigures{
		&Figure{Name: "modes-latency", Title: "Latency by mode, 2 B SEND, one way", XName: "mode", X: named(names...), YName: "µs", Y: twoDigits},
		&Figure{Name: "modes-throughput", Title: "Throughput by mode, 64 KiB SEND", XName: "mode", X: named(names...), YName: "Gbit/s", Y: twoDigits},
		&Figure{Name: "modes-rate", Title: "Messages a second by mode, 64 B SEND", XName: "mode", X: named(names...), YName: "million/s", Y: three},
	}
	cpu := &Figure{
		Name: "cpu", Title: "CPU while 1 MiB messages are sent", XName: "mode", X: named(names...), YName: "% of a core", Y: oneDigit,
	}
	for i, mode := range names[:3] {
		err := o.rounds(ctx, "mode "+mode, mode, func(w *World, server, client *Container) error {
			if err := speed.measure(ctx, float64(i), server, client); err != nil {
				return err
			}
			if err := costOfMode(ctx, cpu, float64(i), w, server, client); err != nil || mode != "auto" {
				return err
			}
			return costOfTCP(ctx, cpu, 3, w, server, client)
		})
		if err != nil {
			return nil, err
		}
	}
	return []*Figure{speed.latency, speed.throughput, speed.rate, cpu}, nil
}

type modeFigures struct{ latency, throughput, rate *Figure }

// measure takes the latency of 1000 messages, as the paper does: in fast mode a machine with few cores has more that spins than
// cores, and each message waits for the scheduler.
func (f modeFigures) measure(ctx context.Context, x float64, server, client *Container) error {
	l, err := MeasureLatency(ctx, server, client, "send", 2, 1000)
	if err != nil {
		return err
	}
	f.latency.Add("p50", x, l.Typical)
	f.latency.Add("p99", x, l.P99)
	f.latency.Add("p99.9", x, l.P999)
	big, err := MeasureBandwidth(ctx, server, client, "send", 64<<10, 1)
	if err != nil {
		return err
	}
	f.throughput.Add("SEND", x, big.Average/1e9)
	small, err := MeasureBandwidth(ctx, server, client, "send", 64, 1)
	if err != nil {
		return err
	}
	f.rate.Add("SEND", x, small.Rate/1e6)
	return nil
}

// cpuWindow is how long processes are watched, in the middle of a transfer that lasts transferSeconds.
const (
	cpuWindow       = 2 * time.Second
	transferSeconds = 4
)

// costOfMode watches ib_send_bw, which polls: its two processes use what they get, and the router what it needs.
func costOfMode(ctx context.Context, f *Figure, x float64, w *World, server, client *Container) error {
	argv := []string{"ib_send_bw", "-F", "-s", "1048576", "-D", strconv.Itoa(transferSeconds)}
	_, err := pairUp(ctx, server, client, argv, func(s, c int) {
		addCost(f, x, w.RouterPID(), c, s)
	})
	return err
}

func addCost(f *Figure, x float64, router, client, server int) {
	share := watch(router, client, server)
	f.Add("router", x, 100*share[0])
	f.Add("client", x, 100*share[1])
	f.Add("server", x, 100*share[2])
}

func costOfTCP(ctx context.Context, f *Figure, x float64, w *World, server, client *Container) error {
	const port = "5202"
	s, err := server.Serve(ctx, 5202, "iperf3", "-s", "-1", "-p", port)
	if err != nil {
		return err
	}
	c, err := client.Start(ctx, "iperf3", "-t", strconv.Itoa(transferSeconds), "-p", port, "-c", server.IP.String())
	if err != nil {
		return err
	}
	addCost(f, x, w.RouterPID(), c.PID, s.PID)
	_, err = c.Wait(ctx)
	return err
}
