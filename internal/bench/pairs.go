package bench

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// Many pairs, by bench/tools/pairs.c: the pairs are spread over pairHosts containers for senders and as many for receivers, all
// begin at once, and each counts what it completes within the same window.
const (
	pairHosts   = 8
	pairSize    = 64 << 10
	pairPort    = 7001
	pairWindow  = 3 * time.Second       // and
	pairLonger  = 30 * time.Millisecond // for each pair
	pairWarm    = time.Second
	pairConnect = 2 * time.Minute // for 1024 processes to be there
)

// The gate's words (pairs.c).
const (
	gateReady = iota
	gateStart
	gateBegin
	gateEnd
	gateSlots
	slotBytes  = 0
	slotStatus = 3
	slotWords  = 4
	wordBytes  = 8
)

// PairsResult is what many pairs came to.
type PairsResult struct {
	Bandwidth float64 // bit/s, all together
	Jain      float64
	Finished  int // pairs whose messages all arrived
}

// crowd is the containers that pairs live in.
type crowd struct {
	w                *World
	servers, clients []*Container
}

func newCrowd(ctx context.Context, w *World, hosts int) (*crowd, error) {
	c := &crowd{w: w}
	for range hosts {
		server, client, err := w.Pair(ctx)
		if err != nil {
			return nil, err
		}
		c.servers, c.clients = append(c.servers, server), append(c.clients, client)
	}
	return c, nil
}

// gate is the file that starts all at once.
type gate struct{ file *os.File }

func (c *crowd) newGate(pairs int) (*gate, error) {
	file, err := os.CreateTemp(c.w.dir, "gate-")
	if err != nil {
		return nil, fmt.Errorf("make the gate: %w", err)
	}
	return &gate{file}, file.Truncate(int64(gateSlots+slotWords*pairs) * wordBytes)
}

func (g *gate) word(i int) uint64 {
	var b [wordBytes]byte
	if _, err := g.file.ReadAt(b[:], int64(i)*wordBytes); err != nil {
		return 0
	}
	return binary.LittleEndian.Uint64(b[:])
}

func (g *gate) set(i int, v uint64) error {
	_, err := g.file.WriteAt(binary.LittleEndian.AppendUint64(nil, v), int64(i)*wordBytes)
	return err
}

func (g *gate) close() { _, _ = g.file.Close(), os.Remove(g.file.Name()) }

// start starts the programs of all pairs and waits until they are connected.
func (c *crowd) start(ctx context.Context, g *gate, pairs int) (all []*Program, err error) {
	ctx, cancel := context.WithTimeout(ctx, pairConnect)
	defer cancel()
	tool := filepath.Join(c.w.Tools, "ffpairs")
	for i, first := 0, 0; i < len(c.servers) && first < pairs; i++ {
		n := (pairs - first) / (len(c.servers) - i) // as even as can be
		if n == 0 {
			continue
		}
		args := []string{g.file.Name(), strconv.Itoa(first), strconv.Itoa(n), strconv.Itoa(pairPort), strconv.Itoa(pairSize)}
		server, err := c.servers[i].Serve(ctx, pairPort, append([]string{tool, "serve"}, args...)...)
		if err != nil {
			return all, err
		}
		all = append(all, server)
		client, err := c.clients[i].Start(ctx, append(append([]string{tool, "send"}, args...), c.servers[i].IP.String())...)
		if err != nil {
			return all, err
		}
		all = append(all, client)
		first += n
	}
	return all, c.wait(ctx, g, all, pairs)
}

// wait waits until all are at the gate.
func (c *crowd) wait(ctx context.Context, g *gate, all []*Program, pairs int) error {
	for g.word(gateReady) < uint64(2*pairs) {
		for _, p := range all {
			select {
			case status := <-p.status:
				return p.failed(status)
			default:
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d of %d processes are connected: %w", g.word(gateReady), 2*pairs, context.Cause(ctx))
		case <-time.After(20 * time.Millisecond):
		}
	}
	return nil
}

// run measures a number of pairs.
func (c *crowd) run(ctx context.Context, pairs int) (PairsResult, error) {
	g, err := c.newGate(pairs)
	if err != nil {
		return PairsResult{}, err
	}
	defer g.close()
	all, err := c.start(ctx, g, pairs)
	defer func() {
		if err != nil {
			for _, p := range all {
				p.killAll()
			}
		}
	}()
	if err != nil {
		return PairsResult{}, err
	}
	if err = g.open(window(pairs)); err != nil {
		return PairsResult{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, programTime)
	defer cancel()
	for _, p := range all {
		if _, err = p.Wait(ctx); err != nil {
			return PairsResult{}, err
		}
	}
	return g.result(pairs), nil
}

// window is how long pairs are counted. Two processes a pair take turns on the machine's cores; where there are a thousand, one
// has its turn about once a second, and what it does in a turn depends on whether its partner has one too. Fairness is
// that of many turns.
func window(pairs int) time.Duration { return pairWindow + time.Duration(pairs)*pairLonger }

// open says when all begin, and what is counted.
func (g *gate) open(window time.Duration) error {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return err
	}
	start := uint64(now.Nano()) + uint64(200*time.Millisecond)
	begin := start + uint64(pairWarm)
	for _, w := range []struct {
		word  int
		value uint64
	}{{gateBegin, begin}, {gateEnd, begin + uint64(window)}, {gateStart, start}} { // start last: it opens the gate
		if err := g.set(w.word, w.value); err != nil {
			return fmt.Errorf("open the gate: %w", err)
		}
	}
	return nil
}

func (g *gate) result(pairs int) PairsResult {
	var r PairsResult
	shares := make([]float64, pairs)
	for i := range shares {
		slot := gateSlots + slotWords*i
		shares[i] = float64(g.word(slot + slotBytes))
		r.Bandwidth += shares[i] * 8 / window(pairs).Seconds()
		r.Finished += int(g.word(slot + slotStatus))
	}
	r.Jain = Jain(shares)
	return r
}

// pairs is the paper's figure 11.
func pairs(ctx context.Context, o Options) ([]*Figure, error) {
	sum := &Figure{
		Name: "pairs", Title: "All pairs together, 64 KiB SEND, completions by events", XName: "pairs", X: whole, YName: "Gbit/s", Y: oneDigit,
	}
	fair := &Figure{
		Name: "fairness", Title: "Fairness among pairs", XName: "pairs", X: whole, YName: "Jain's index", Y: three,
	}
	w, err := NewWorld(ctx, "auto")
	if err != nil {
		return nil, err
	}
	defer w.Close()
	crowd, err := newCrowd(ctx, w, pairHosts)
	if err != nil {
		return nil, err
	}
	for i := range o.Runs {
		for n := 1; n <= 512; n *= o.step(2, 8) {
			fmt.Fprintf(o.Notes, "pairs: round %d of %d, %d pairs\n", i+1, o.Runs, n)
			r, err := crowd.run(ctx, n)
			if err != nil {
				return nil, err
			}
			if r.Finished != n {
				return nil, fmt.Errorf("%d of %d pairs finished", r.Finished, n)
			}
			sum.Add("SEND", float64(n), r.Bandwidth/1e9)
			fair.Add("SEND", float64(n), r.Jain)
		}
	}
	return []*Figure{sum, fair}, nil
}

// idle is how much the router uses while containers hold open, connected QPs and do nothing.
func idle(ctx context.Context, o Options) ([]*Figure, error) {
	f := &Figure{
		Name: "idle", Title: "Router with ten idle containers, a connected QP each", XName: "containers", X: named("10"),
		YName: "% of a core", Y: three,
	}
	for i := range o.Runs {
		fmt.Fprintf(o.Notes, "idle: round %d of %d\n", i+1, o.Runs)
		share, err := idleRouter(ctx)
		if err != nil {
			return nil, err
		}
		f.Add("router", 0, 100*share)
	}
	return []*Figure{f}, nil
}

func idleRouter(ctx context.Context) (float64, error) {
	const containers, window = 10, 10 * time.Second
	w, err := NewWorld(ctx, "auto")
	if err != nil {
		return 0, err
	}
	defer w.Close()
	crowd, err := newCrowd(ctx, w, containers/2)
	if err != nil {
		return 0, err
	}
	g, err := crowd.newGate(containers / 2)
	if err != nil {
		return 0, err
	}
	defer g.close()
	if _, err := crowd.start(ctx, g, containers/2); err != nil {
		return 0, err
	}
	time.Sleep(settle)
	return watchFor(window, w.RouterPID())[0], nil
}
