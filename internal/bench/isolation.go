package bench

import (
	"context"
	"fmt"
	"strconv"
	"time"
)

// Isolation: one tenant's ping-pongs beside another's greed, and shares by weight.

const (
	greedyQPs  = 100
	greedySize = 1 << 20
	tinySize   = 64
	tinyTurns  = 20_000
)

// isolation is the figure: latency of 64-byte ping-pongs alone, and beside 100 queue pairs that send 1 MiB messages, with the ping-pong's
// containers in the high class and without any policy.
func isolation(ctx context.Context, o Options) ([]*Figure, error) {
	f := &Figure{Name: "isolation", Title: "64-byte ping-pong, one way", XName: "", X: named("alone", "beside 100 greedy, high", "beside 100 greedy, no policy"),
		YName: "µs", Y: twoDigits}
	err := o.rounds(ctx, "isolation", "auto", func(w *World, server, client *Container) error {
		for x, l := range [3]Latency{} {
			err := beside(ctx, w, server, client, x, &l)
			if err != nil {
				return err
			}
			f.Add("median", float64(x), l.Typical)
			f.Add("p99", float64(x), l.P99)
		}
		return nil
	})
	return []*Figure{f}, err
}

// beside measures the ping-pong: 0 alone, 1 in the high class beside greed, 2 the same without a policy.
func beside(ctx context.Context, w *World, server, client *Container, x int, l *Latency) (err error) {
	if x == 1 {
		high := func(c *Container) string { return fmt.Sprintf("{select: {container: %s}, class: high}", c.name) }
		if err = w.Apply(ctx, "Priority", high(server), high(client)); err != nil {
			return err
		}
		defer func() { _ = w.Forget(ctx, "Priority", 2) }()
		time.Sleep(settle) // it holds
	}
	if x > 0 {
		end, err := greed(ctx, w)
		if err != nil {
			return err
		}
		defer end()
	}
	*l, err = MeasureLatency(ctx, server, client, "send", tinySize, tinyTurns)
	return err
}

// greed starts a pair of containers that take what they can get, until end.
func greed(ctx context.Context, w *World) (end func(), err error) {
	server, client, err := w.Pair(ctx)
	if err != nil {
		return nil, err
	}
	// By events: what is to be shared is the router, not the cores that pollers take.
	argv := []string{"ib_send_bw", "-F", "-e", "-q", strconv.Itoa(greedyQPs), "-s", strconv.Itoa(greedySize), "-n", "100000000", "-t", "2", "-r", "4", "-p", "18600"}
	s, err := server.Serve(ctx, 18600, argv...)
	if err != nil {
		return nil, err
	}
	c, err := client.Start(ctx, append(argv, server.IP.String())...)
	if err != nil {
		s.kill()
		return nil, err
	}
	time.Sleep(2 * settle) // all are connected
	return func() {
		c.kill()
		s.kill()
		_, _ = c.Wait(ctx)
		_, _ = s.Wait(ctx)
	}, nil
}
