package bench

import (
	"context"
	"fmt"
)

// The aims of sockets over RDMA, beside TCP between the same containers.
const (
	socketSize         = 1 << 20 // of throughput
	socketSmall        = 2       // of latency
	socketLatencyRatio = 0.33
	socketRatio        = 1.5 // on one host
	socketDistantRatio = 1   // over two, TCP's being the overlay's
)

// sockets compares iperf (version 2) and NetPIPE over `freeflow run --sockets` with themselves over TCP, one after the other in each round.
func (a *acceptance) sockets(ctx context.Context) error {
	w, err := NewWorld(ctx, "auto")
	if err != nil {
		return err
	}
	defer w.Close()
	pair, err := socketPairOn(ctx, w, w)
	if err != nil {
		return err
	}
	for i := range a.o.Runs {
		fmt.Fprintf(a.o.Notes, "sockets: round %d of %d\n", i+1, a.o.Runs)
		if err := a.socketRound(ctx, pair, "sockets: ", socketRatio, socketLatencyRatio); err != nil {
			return err
		}
	}
	return a.distantSockets(ctx)
}

func (a *acceptance) distantSockets(ctx context.Context) error {
	c, err := NewCluster(ctx, jumboMTU)
	if err != nil {
		return err
	}
	defer c.Close()
	pair, err := socketPairOn(ctx, c.Hosts[0], c.Hosts[1])
	if err != nil {
		return err
	}
	for i := range a.o.Runs {
		fmt.Fprintf(a.o.Notes, "sockets, two hosts, MTU %d: round %d of %d\n", jumboMTU, i+1, a.o.Runs)
		if err := a.socketRound(ctx, pair, fmt.Sprintf("sockets, 2 hosts, MTU %d: ", jumboMTU), socketDistantRatio, 0); err != nil {
			return err
		}
	}
	return nil
}

// socketRound measures both transports once. There is no bar of latency if its ratio is 0.
func (a *acceptance) socketRound(ctx context.Context, p socketPair, where string, ratio, latencyRatio float64) error {
	var bits, wait [2]float64
	for _, t := range []transport{overRDMA, overTCP} {
		var err error
		if bits[t], err = p.throughput(ctx, t, socketSize, 2); err != nil {
			return err
		}
		if wait[t], err = p.latency(ctx, t, socketSmall, 20_000); err != nil {
			return err
		}
	}
	a.atLeast(where+"iperf -l 1M ÷ TCP", ratio, bits[overRDMA]/bits[overTCP], "×")
	a.show(where+"iperf -l 1M", bits[overRDMA]/1e9, "Gbit/s")
	a.show(where+"iperf -l 1M, TCP", bits[overTCP]/1e9, "Gbit/s")
	if latencyRatio != 0 {
		a.atMost(where+"NPtcp, 2 B, one way ÷ TCP", latencyRatio, wait[overRDMA]/wait[overTCP], "×")
	}
	a.show(where+"NPtcp, 2 B, one way", wait[overRDMA], "µs")
	a.show(where+"NPtcp, 2 B, one way, TCP", wait[overTCP], "µs")
	return nil
}
