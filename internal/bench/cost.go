package bench

import (
	"context"
	"errors"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// How long a transfer is watched for what it costs, and how long it lasts.
const (
	costSettle  = 700 * time.Millisecond
	costWindow  = 2 * time.Second
	costSeconds = 4
	costSize    = 64 << 10
)

// errShort says that a transfer ended while it was watched.
var errShort = errors.New("the transfer ended before it had been watched")

// MeasureCost is what ib_OP_bw costs between two hosts. Its programs wait by events: polling, they would use whatever cores are left. perftest has no
// events for WRITE, so there what its programs use is taken off, and with it what the kernel did in their name. Nor has it a duration with
// events, so the number of messages comes from a short transfer before.
func (d *Distant) MeasureCost(ctx context.Context, op string) (Cost, error) {
	b, err := d.transfer(ctx, op, 10_000, nil)
	if err != nil {
		return Cost{}, err
	}
	for range 3 {
		var cost Cost
		var whole bool
		n := int(max(b.Rate, 1000) * costSeconds)
		b, err = d.transfer(ctx, op, n, func(server, client int) { cost, whole = d.watch(server, client) })
		if err != nil || whole {
			if op == "write" {
				cost.All, cost.Programs = cost.All-cost.Programs, 0
			}
			return cost.per(gigabytes(b.Average)), err
		}
	}
	return Cost{}, errShort
}

// transfer runs ib_OP_bw for a number of messages, by events where it can.
func (d *Distant) transfer(ctx context.Context, op string, n int, during func(server, client int)) (Bandwidth, error) {
	argv := []string{"ib_" + op + "_bw", "-F", "-s", strconv.Itoa(costSize), "-n", strconv.Itoa(n)}
	if op != "write" {
		argv = append(argv, "-e")
	}
	text, err := pairUp(ctx, d.Server, d.Client, argv, during)
	if err != nil {
		return Bandwidth{}, err
	}
	return oneLine(parseBandwidth(text))
}

// MeasureTCPCost is what iperf3 costs between two containers, or between the hosts themselves.
func (d *Distant) MeasureTCPCost(ctx context.Context, server, client *Container) (Cost, error) {
	const port = 5202
	ctx, cancel := context.WithTimeout(ctx, programTime)
	defer cancel()
	s, err := server.Serve(ctx, port, "iperf3", "-s", "-1", "-p", strconv.Itoa(port))
	if err != nil {
		return Cost{}, err
	}
	c, err := client.Start(ctx, "iperf3", "-J", "-t", strconv.Itoa(costSeconds), "-p", strconv.Itoa(port), "-c", server.IP.String())
	if err != nil {
		s.kill()
		return Cost{}, err
	}
	cost, whole := d.watch(s.PID, c.PID)
	text, err := c.Wait(ctx)
	if err != nil {
		s.kill()
		return Cost{}, err
	}
	if _, err := s.Wait(ctx); err != nil {
		return Cost{}, err
	}
	r, err := parseIperf(text)
	if err == nil && !whole {
		err = errShort
	}
	return cost.per(gigabytes(r.Bandwidth)), err
}

// watch tells what is spent over costWindow in the middle of a transfer, and whether that went on for all of it.
func (d *Distant) watch(server, client int) (cost Cost, whole bool) {
	time.Sleep(costSettle)
	l := openLedger(d.Cluster.servicePIDs(), []int{server, client})
	time.Sleep(costWindow)
	cost = l.close()
	return cost, unix.Kill(client, 0) == nil
}

// gigabytes are those that pass in costWindow at so many bit/s.
func gigabytes(bandwidth float64) float64 { return bandwidth / 8 / 1e9 * costWindow.Seconds() }
