package bench

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Rate limits: the paper's figure 13.

// Caps of one flow in Gbit/s, and how long each is measured.
var (
	capsHere  = []float64{1, 2, 5, 10, 20, 40}
	capsThere = []float64{0.1, 0.5, 1, 2, 5}
)

const (
	capSeconds = 5
	capSize    = 64 << 10
)

// capMessages is how many messages a cap lets through in capSeconds.
func capMessages(gbits float64) string {
	return strconv.Itoa(int(gbits * 1e9 / 8 / capSize * capSeconds))
}

// capSpec is a rate limit for all containers: the receiver's is not in the way.
func capSpec(gbits float64) string {
	return fmt.Sprintf("{egress: {rate: %dMbit}}", int(math.Round(gbits*1000)))
}

// limited measures one flow of RDMA WRITE under a cap.
func limited(ctx context.Context, server, client *Container, gbits float64) (Bandwidth, error) {
	argv := []string{"ib_write_bw", "-F", "-s", strconv.Itoa(capSize), "-n", capMessages(gbits), "--report_gbits"}
	text, err := pairUp(ctx, server, client, argv, nil)
	if err != nil {
		return Bandwidth{}, err
	}
	return oneLine(parseBandwidth(text))
}

// limits is the figure: what passes beside the cap, and what the limiter costs the router.
func limits(ctx context.Context, o Options) ([]*Figure, error) {
	inGbits := func(v float64) string { return strings.TrimSuffix(fmt.Sprintf("%.1f", v), ".0") }
	rate := &Figure{Name: "limits", Title: "One flow under a rate limit", XName: "cap, Gbit/s", X: inGbits, YName: "Gbit/s", Y: three}
	cost := &Figure{Name: "limits-cpu", Title: "Router's CPU at one rate, held by the limiter and by the program", XName: "", X: named("limiter", "program"),
		YName: "% of a core", Y: oneDigit}
	for _, mode := range []string{"auto", "fast"} {
		err := o.rounds(ctx, "limits, mode "+mode, mode, func(w *World, server, client *Container) error {
			for _, c := range capsHere {
				if err := w.Apply(ctx, "RateLimit", capSpec(c)); err != nil {
					return err
				}
				b, err := limited(ctx, server, client, c)
				if err != nil {
					return err
				}
				rate.Add("one host, "+mode, c, b.Average/1e9)
			}
			return limiterCost(ctx, w, server, client, cost, mode)
		})
		if err != nil {
			return nil, err
		}
	}
	return []*Figure{rate, cost}, distantLimits(ctx, o, rate)
}

func distantLimits(ctx context.Context, o Options, rate *Figure) error {
	c, err := NewCluster(ctx, jumboMTU)
	if err != nil {
		return err
	}
	defer c.Close()
	server, client, err := c.pair(ctx)
	if err != nil {
		return err
	}
	for i := range o.Runs {
		fmt.Fprintf(o.Notes, "limits, two hosts: round %d of %d\n", i+1, o.Runs)
		for _, gbits := range capsThere {
			if err := c.Apply(ctx, "RateLimit", capSpec(gbits)); err != nil {
				return err
			}
			b, err := limited(ctx, server, client, gbits)
			if err != nil {
				return err
			}
			rate.Add("two hosts", gbits, b.Average/1e9)
		}
	}
	return nil
}

// pair is a container on each host.
func (c *Cluster) pair(ctx context.Context) (server, client *Container, err error) {
	if server, err = c.Hosts[1].Container(ctx); err != nil {
		return nil, nil, err
	}
	client, err = c.Hosts[0].Container(ctx)
	return server, client, err
}

// costRate is where the limiter's cost is measured, in Gbit/s: low enough that perftest can hold it by itself.
const costRate = 5

// limiterCost compares the router's CPU where the limiter holds a rate with that where perftest does (--rate_limit, by software).
func limiterCost(ctx context.Context, w *World, server, client *Container, f *Figure, mode string) error {
	argv := []string{"ib_write_bw", "-F", "-s", strconv.Itoa(capSize), "-D", strconv.Itoa(transferSeconds)}
	watchRouter := func(x float64) func(int, int) {
		return func(int, int) { f.Add(mode, x, 100*watch(w.RouterPID())[0]) }
	}
	if err := w.Apply(ctx, "RateLimit", capSpec(costRate)); err != nil {
		return err
	}
	if _, err := pairUp(ctx, server, client, argv, watchRouter(0)); err != nil {
		return err
	}
	if err := w.Forget(ctx, "RateLimit", 1); err != nil {
		return err
	}
	paced := append(slices.Clone(argv), "--rate_limit", strconv.Itoa(costRate), "--rate_units", "g", "--rate_limit_type", "SW", "--burst_size", "1")
	_, err := pairUp(ctx, server, client, paced, watchRouter(1))
	return err
}
