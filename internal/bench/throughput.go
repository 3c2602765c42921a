package bench

import (
	"context"
	"strconv"
	"strings"
)

// throughput is the paper's figure 9, and messages a second from the same runs: by message size, SEND, WRITE and READ with
// perftest's defaults, and TCP with writes of that size.
func throughput(ctx context.Context, o Options) ([]*Figure, error) {
	bw := &Figure{
		Name: "throughput", Title: "Throughput by message size", XName: "message", X: inBytes, YName: "Gbit/s", Y: twoDigits,
	}
	rate := &Figure{
		Name: "rate", Title: "Messages a second by message size", XName: "message", X: inBytes, YName: "million/s", Y: three,
	}
	err := o.rounds(ctx, "throughput", "auto", func(_ *World, server, client *Container) error {
		for size := 2; size <= 8<<20; size *= o.step(2, 8) {
			for _, op := range []string{"send", "write", "read"} {
				b, err := volume(ctx, server, client, op, messages{size: size, bytes: 4 << 30, most: 200_000})
				if err != nil {
					return err
				}
				bw.Add(strings.ToUpper(op), float64(size), b.Average/1e9)
				rate.Add(strings.ToUpper(op), float64(size), b.Rate/1e6)
			}
			tcp, err := MeasureTCPBandwidth(ctx, server, client, size, 1)
			if err != nil {
				return err
			}
			bw.Add("TCP (qperf tcp_bw)", float64(size), tcp/1e9)
		}
		return nil
	})
	return []*Figure{bw, rate}, err
}

// messages are as many of a size as make about so many bytes, at most so many.
type messages struct{ size, bytes, most int }

func (m messages) count() int { return min(max(m.bytes/m.size, 1000), m.most) }

// volume runs ib_OP_bw for a number of messages.
func volume(ctx context.Context, server, client *Container, op string, m messages) (Bandwidth, error) {
	argv := []string{"ib_" + op + "_bw", "-F", "-s", strconv.Itoa(m.size), "-n", strconv.Itoa(m.count())}
	text, err := pairUp(ctx, server, client, argv, nil)
	if err != nil {
		return Bandwidth{}, err
	}
	return oneLine(parseBandwidth(text))
}

// latency is the paper's figure 10: one way, 50th, 99th and 99.9th percentile; TCP's is an average, since qperf tells no more.
func latency(ctx context.Context, o Options) ([]*Figure, error) {
	f := &Figure{
		Name: "latency", Title: "Latency by message size, one way", XName: "message", X: inBytes, YName: "µs", Y: twoDigits,
	}
	err := o.rounds(ctx, "latency", "auto", func(_ *World, server, client *Container) error {
		for size := 2; size <= 64<<10; size *= o.step(2, 32) {
			for _, op := range []string{"send", "write", "read"} {
				l, err := MeasureLatency(ctx, server, client, op, size, 20_000)
				if err != nil {
					return err
				}
				f.Add(strings.ToUpper(op)+" p50", float64(size), l.Typical)
				f.Add(strings.ToUpper(op)+" p99", float64(size), l.P99)
				f.Add(strings.ToUpper(op)+" p99.9", float64(size), l.P999)
			}
			tcp, err := MeasureTCPLatency(ctx, server, client, size, 1)
			if err != nil {
				return err
			}
			f.Add("TCP mean", float64(size), tcp)
		}
		return nil
	})
	return []*Figure{f}, err
}

// step is the factor from one size to the next.
func (o Options) step(full, quick int) int {
	if o.Quick {
		return quick
	}
	return full
}
