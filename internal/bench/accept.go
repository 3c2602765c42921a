package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// ErrTooSlow says that a bar was not reached.
var ErrTooSlow = errors.New("accept: not every bar was reached")

// bar is one of the project's aims: a measured median that has to be at least, or at most, something.
type bar struct {
	what   string
	kind   barKind
	atMost bool
	limit  float64
	unit   string
	sample Sample
}

type barKind int

const (
	must barKind = iota // it fails if it is not reached
	goal                // what we want in the end; whether it is reached is told
	fact                // no aim, but what an aim is compared with
)

func (b *bar) reached() bool {
	if b.atMost {
		return b.sample.Median() <= b.limit
	}
	return b.sample.Median() >= b.limit
}

// acceptance gathers the bars, in the order in which they are first mentioned.
type acceptance struct {
	o    Options
	bars []*bar
}

func (a *acceptance) atLeast(what string, limit, value float64, unit string) {
	a.add(bar{what: what, limit: limit, unit: unit}, value)
}

func (a *acceptance) atMost(what string, limit, value float64, unit string) {
	a.add(bar{what: what, atMost: true, limit: limit, unit: unit}, value)
}

func (a *acceptance) add(b bar, value float64) {
	for _, known := range a.bars {
		if known.what == b.what {
			known.sample = append(known.sample, value)
			return
		}
	}
	b.sample = Sample{value}
	a.bars = append(a.bars, &b)
}

// show adds what others are compared with.
func (a *acceptance) show(what string, value float64, unit string) {
	a.add(bar{what: what, kind: fact, unit: unit}, value)
}

// sections are what Options.Figures can hold for Accept.
var sections = []struct {
	name string
	run  func(*acceptance, context.Context) error
}{
	{"messages", (*acceptance).messages},
	{"registration", (*acceptance).registration},
	{"pairs", (*acceptance).many},
	{"idle", (*acceptance).idle},
	{"hosts", (*acceptance).hosts},
	{"sockets", (*acceptance).sockets},
	{"policies", (*acceptance).policies},
}

// SectionNames are the sections of Accept.
func SectionNames() []string {
	var names []string
	for _, s := range sections {
		names = append(names, s.name)
	}
	return names
}

// Accept measures what the project has promised and prints each bar beside the median of Runs.
func Accept(ctx context.Context, o Options) error {
	for _, name := range o.Figures {
		if !slices.Contains(SectionNames(), name) {
			return fmt.Errorf("bench: no section %q: there are %s", name, strings.Join(SectionNames(), ", "))
		}
	}
	a := &acceptance{o: o}
	for _, s := range sections {
		if !o.wants(s.name) {
			continue
		}
		if err := s.run(a, ctx); err != nil {
			return fmt.Errorf("accept %s: %w", s.name, err)
		}
	}
	return a.print()
}

// messages compares with TCP, one after the other in each round.
func (a *acceptance) messages(ctx context.Context) error {
	return a.o.rounds(ctx, "latency, throughput", "auto", func(_ *World, server, client *Container) error {
		if err := a.latency(ctx, server, client); err != nil {
			return err
		}
		return a.throughput(ctx, server, client)
	})
}

func (a *acceptance) latency(ctx context.Context, server, client *Container) error {
	send, err := MeasureLatency(ctx, server, client, "send", 2, 20_000)
	if err != nil {
		return err
	}
	tcp, err := MeasureTCPLatency(ctx, server, client, 2, 1)
	if err != nil {
		return err
	}
	write, err := MeasureLatency(ctx, server, client, "write", 2, 20_000)
	if err != nil {
		return err
	}
	a.atMost("ib_send_lat -s 2, typical", 4, send.Typical, "µs")
	a.atMost("ib_send_lat -s 2, 99th percentile", 20, send.P99, "µs")
	a.atLeast("qperf tcp_lat ÷ ib_send_lat, typical", 6, tcp/send.Typical, "×")
	a.atMost("ib_write_lat ÷ ib_send_lat, typical", 1, write.Typical/send.Typical, "×")
	a.atMost("ib_write_lat -s 2, typical", 4, write.Typical, "µs")
	return nil
}

func (a *acceptance) throughput(ctx context.Context, server, client *Container) error {
	for _, op := range []string{"send", "write", "read"} {
		tcp, err := MeasureIperf(ctx, server, client, 2)
		if err != nil {
			return err
		}
		for _, c := range []struct {
			size  int
			ratio float64
		}{{64 << 10, 4}, {2 << 10, 1}} {
			b, err := MeasureBandwidth(ctx, server, client, op, c.size, 2)
			if err != nil {
				return err
			}
			a.atLeast(fmt.Sprintf("ib_%s_bw, %s ÷ iperf3", op, bytesText(c.size)), c.ratio, b.Average/tcp.Bandwidth, "×")
		}
	}
	for _, op := range []string{"send", "write"} {
		b, err := MeasureBandwidth(ctx, server, client, op, 64, 2)
		if err != nil {
			return err
		}
		a.atLeast(fmt.Sprintf("ib_%s_bw, 64 B messages", op), 1.5, b.Rate/1e6, "M/s")
	}
	return nil
}

func (a *acceptance) registration(ctx context.Context) error {
	return a.o.rounds(ctx, "registration", "auto", func(_ *World, _, client *Container) error {
		for _, c := range []struct {
			kind  string
			limit float64
		}{{"untouched", 20}, {"populated", 1000}} {
			reg, _, err := register(ctx, client, 1<<30, c.kind)
			if err != nil {
				return err
			}
			a.atMost("ibv_reg_mr of 1 GiB, "+c.kind, c.limit, reg/1e3, "ms")
		}
		return nil
	})
}

// many compares 512 pairs with the best of fewer.
func (a *acceptance) many(ctx context.Context) error {
	const most = 512
	w, err := NewWorld(ctx, "auto")
	if err != nil {
		return err
	}
	defer w.Close()
	crowd, err := newCrowd(ctx, w, pairHosts)
	if err != nil {
		return err
	}
	for i := range a.o.Runs {
		var best float64
		var last PairsResult
		for n := 1; n <= most; n *= a.o.step(2, 8) {
			fmt.Fprintf(a.o.Notes, "pairs: round %d of %d, %d pairs\n", i+1, a.o.Runs, n)
			if last, err = crowd.run(ctx, n); err != nil {
				return err
			}
			best = max(best, last.Bandwidth)
		}
		a.atLeast("512 pairs, that finish", most, float64(last.Finished), "")
		a.atLeast("512 pairs, Jain's index", 0.97, last.Jain, "")
		a.atLeast("512 pairs, all together ÷ best of 1 to 512", 0.8, last.Bandwidth/best, "×")
	}
	return nil
}

func (a *acceptance) idle(ctx context.Context) error {
	for i := range a.o.Runs {
		fmt.Fprintf(a.o.Notes, "idle: round %d of %d\n", i+1, a.o.Runs)
		share, err := idleRouter(ctx)
		if err != nil {
			return err
		}
		a.atMost("router, ten idle containers with open QPs", 1, 100*share, "% of a core")
	}
	return nil
}

func (a *acceptance) print() error {
	t := Table{Head: []string{"", "bar", "measured", "lowest", "highest", ""}}
	var err error
	for _, b := range a.bars {
		if b.kind == must && !b.reached() {
			err = ErrTooSlow
		}
		low, high := b.sample.Range()
		t.Add(b.what, b.aim(), digits(b.sample.Median())+" "+b.unit, digits(low), digits(high), b.verdict())
	}
	fmt.Fprintf(a.o.Out, "\nMedians of %d; comparisons are ratios in one round\n\n", a.o.Runs)
	return errors.Join(t.Print(a.o.Out), err)
}

// aim is what a bar asks for, as it is shown.
func (b *bar) aim() string {
	sign := "≥"
	if b.atMost {
		sign = "≤"
	}
	text := fmt.Sprintf("%s %g %s", sign, b.limit, b.unit)
	switch b.kind {
	case goal:
		return "goal " + text
	case fact:
		return ""
	}
	return text
}

func (b *bar) verdict() string {
	switch {
	case b.kind == fact:
		return ""
	case b.kind == goal && b.reached():
		return "reached"
	case b.kind == goal:
		return "not yet"
	case b.reached():
		return "PASS"
	}
	return "FAIL"
}

// digits shows three digits that matter.
func digits(v float64) string {
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}
