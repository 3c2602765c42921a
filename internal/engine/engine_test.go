package engine

import (
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// program rings as the C library does.
type program struct {
	d *Doorbell
	e *Engine
}

func (p program) ring(handle uint32, worker int) {
	p.mark(handle)
	if atomic.LoadUint32((*uint32)(p.d.bell.at(offPoll))) == 0 {
		p.wake(worker)
	}
}

func (p program) mark(handle uint32) {
	word := uintptr(handle / 64)
	atomic.OrUint64((*uint64)(p.d.bell.at(offBits+8*word)), 1<<(handle%64))
	atomic.OrUint64((*uint64)(p.d.bell.at(offSummary+8*(word/64))), 1<<(word%64))
}

func (p program) wake(worker int) {
	one := [8]byte{1}
	_, _ = unix.Write(int(p.d.files[worker%len(p.d.files)].Fd()), one[:])
}

// counter is a queue pair with a number of messages to do.
type counter struct {
	Item
	todo, done atomic.Int64
	runs       atomic.Int64
	inside     atomic.Int32
	t          *testing.T
}

func (c *counter) Run(w *Worker, budget int) Verdict {
	if c.inside.Add(1) != 1 {
		c.t.Error("two workers run one item")
	}
	defer c.inside.Add(-1)
	c.runs.Add(1)
	for n := 0; budget > 0; budget -= MessageCost {
		if c.todo.Load() == 0 {
			w.Did(&c.Item, n)
			return Idle
		}
		c.todo.Add(-1)
		c.done.Add(1)
		n++
	}
	return More
}

func start(t *testing.T, mode Mode, items int) (*Engine, program, []*counter) {
	t.Helper()
	e, err := New(slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	cs := make([]*counter, items)
	var ready atomic.Bool // what the race detector does not see a ring to order
	d, err := e.Add(mode, func(h uint32) *Item {
		if ready.Load() && int(h) < len(cs) {
			return &cs[h].Item
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Remove(d) })
	for i := range cs {
		cs[i] = &counter{t: t}
		cs[i].Init(cs[i], d)
	}
	ready.Store(true)
	return e, program{d, e}, cs
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for until := time.Now().Add(20 * time.Second); !ok(); time.Sleep(50 * time.Microsecond) {
		if time.Now().After(until) {
			t.Fatalf("not within 20 s: %s", what)
		}
	}
}

// TestNoRingIsLost rings from several goroutines, in bursts and one by one, through streaming and back, in every mode.
func TestNoRingIsLost(t *testing.T) {
	for _, mode := range []Mode{Auto, Fast, Low} {
		t.Run(mode.String(), func(t *testing.T) {
			_, p, cs := start(t, mode, 70)
			const rounds = 400
			done := make(chan struct{})
			for g := range 3 {
				go func() {
					defer func() { done <- struct{}{} }()
					for i := range rounds {
						for h := g; h < len(cs); h += 3 {
							cs[h].todo.Add(1)
							p.ring(uint32(h), g)
							if i%50 == 0 {
								time.Sleep(10 * time.Microsecond)
							}
						}
					}
				}()
			}
			for range 3 {
				<-done
			}
			eventually(t, "all messages", func() bool {
				sum := int64(0)
				for _, c := range cs {
					sum += c.done.Load()
				}
				return sum == rounds*int64(len(cs))
			})
		})
	}
}

// TestRingsForNothing: bits of no queue pair and rings without bits do no harm, are muted, and a real ring afterwards is heard.
func TestRingsForNothing(t *testing.T) {
	e, p, cs := start(t, Auto, 1)
	for i := range 2000 {
		p.mark(uint32(60000 + i))
		p.wake(0)
	}
	eventually(t, "a mute", func() bool {
		p.wake(0)
		return e.cores[0].Mutes.Load() > 0
	})
	cs[0].todo.Store(1)
	p.ring(0, 0)
	eventually(t, "the real message", func() bool { return cs[0].done.Load() == 1 })
}

// TestTurns: an item with endless work does not keep another from its turn.
func TestTurns(t *testing.T) {
	_, p, cs := start(t, Low, 2)
	cs[0].todo.Store(1 << 40)
	p.ring(0, 0)
	eventually(t, "the busy item runs", func() bool { return cs[0].runs.Load() > 10 })
	for i := range int64(20) {
		cs[1].todo.Store(1)
		p.ring(1, 0)
		eventually(t, "the other item", func() bool { return cs[1].done.Load() == i+1 })
	}
	cs[0].todo.Store(0)
}

// sleeperItem says Wait a number of times.
type sleeperItem struct {
	Item
	left atomic.Int64
	done atomic.Bool
}

func (s *sleeperItem) Run(w *Worker, _ int) Verdict {
	if s.left.Add(-1) <= 0 {
		s.done.Store(true)
		return Idle
	}
	s.WakeAt = w.Now() + 100_000
	return Wait
}

// TestWait: an item that waits runs again by itself, and at once when it is scheduled.
func TestWait(t *testing.T) {
	e, p, _ := start(t, Auto, 0)
	s := &sleeperItem{}
	s.Init(s, p.d)
	s.left.Store(50)
	e.Schedule(&s.Item)
	eventually(t, "50 waits", s.done.Load)
	s.done.Store(false)
	s.left.Store(1000)
	e.Schedule(&s.Item)
	for range 2000 {
		e.Schedule(&s.Item)
	}
	eventually(t, "waits cut short", s.done.Load)
}

// timerItem has a timer that is put off by each run, as one for an acknowledgement is.
type timerItem struct {
	Item
	fired atomic.Int64
	runs  atomic.Int64
	most  atomic.Int64 // sleepers seen
}

func (s *timerItem) Run(w *Worker, _ int) Verdict {
	s.runs.Add(1)
	s.most.Store(max(s.most.Load(), int64(len(w.waiting))))
	if s.WakeAt != 0 && w.Now() >= s.WakeAt {
		s.fired.Add(1)
		s.WakeAt = 0
		return Idle
	}
	s.WakeAt = w.Now() + 20_000_000
	return Wait
}

// TestPutOffTimer: an item that is scheduled all the time and says Wait each time has one sleeper a worker, and is run when its time comes.
func TestPutOffTimer(t *testing.T) {
	e, p, _ := start(t, Auto, 0)
	s := &timerItem{}
	s.Init(s, p.d)
	for range 2000 {
		e.Schedule(&s.Item)
		time.Sleep(5 * time.Microsecond)
	}
	eventually(t, "the timer", func() bool { return s.fired.Load() > 0 })
	if n := s.most.Load(); n > 2 {
		t.Errorf("%d sleepers of one item after %d runs", n, s.runs.Load())
	}
}

// TestRemove takes a doorbell away while it rings, and leaks nothing.
func TestRemove(t *testing.T) {
	e, _, _ := start(t, Auto, 0)
	for range 50 {
		d, err := e.Add(Auto, func(uint32) *Item { return nil })
		if err != nil {
			t.Fatal(err)
		}
		p := program{d, e}
		for i := range 50 {
			p.ring(uint32(i), i)
		}
		e.Remove(d)
	}
	if n := len(*e.slots.Load()); n > 2 {
		t.Fatalf("%d slots for one doorbell", n)
	}
}

// TestArm: what fires when.
func TestArm(t *testing.T) {
	_, p, _ := start(t, Auto, 0)
	a, err := p.d.Arm(7)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		set       uint32
		solicited bool
		fires     bool
	}{{ArmNone, true, false}, {ArmSolicited, false, false}, {ArmSolicited, true, true}, {ArmNext, false, true}, {ArmNext, true, true}, {77, false, true}} {
		a.Set(c.set)
		if got := a.Fire(c.solicited); got != c.fires {
			t.Errorf("armed %d, solicited %v: fires %v", c.set, c.solicited, got)
		}
		if c.fires && a.Fire(true) {
			t.Errorf("armed %d fires twice", c.set)
		}
	}
	if _, err := p.d.Arm(handles); err == nil {
		t.Error("a handle beyond the file was armed")
	}
}

// TestSleepers: whoever was pushed in whatever order comes out by time.
func TestSleepers(t *testing.T) {
	var h sleepers
	rng := rand.New(rand.NewPCG(1, 1))
	for range 1000 {
		at := rng.Int64N(500)
		h.push(sleeper{it: &Item{WakeAt: at}, at: at})
		if rng.IntN(3) == 0 {
			h.pop()
		}
	}
	for last := int64(-1); len(h) > 0; {
		at := h.pop().at
		if at < last {
			t.Fatalf("%d came after %d", at, last)
		}
		last = at
	}
}
