package qos

import (
	"math/rand/v2"
	"testing"
)

// sender is one that always has something to send, in messages of a size.
type sender struct {
	ticket  Ticket
	chain   func() Chain
	size    uint64
	left    uint64
	passed  uint64
	sent    uint64 // messages
	again   int64
	late    int64 // the most that it wakes up too late
	waiting int64
}

// turn lets the sender pass what it may, at most budget bytes, and gives the time to come again.
func (s *sender) turn(now int64, budget uint64) int64 {
	for budget > 0 {
		first := uint64(0)
		if s.left == 0 {
			s.left, first = s.size, 1
		}
		c := s.chain()
		g := s.ticket.Ask(now, &c, s.left, first)
		if g.At != 0 {
			if first == 1 {
				s.left = 0
			}
			return g.At
		}
		s.waiting += g.Waited
		n := g.Bytes
		s.left -= n
		s.sent += first
		s.passed += n
		budget -= min(budget, max(n, 1024))
	}
	return now + 20_000
}

// run lets senders take turns for a while, each woken up to late ns after its time.
func run(r *rand.Rand, until int64, all []*sender) {
	for now := int64(1); now < until; {
		next := all[0]
		for _, s := range all {
			if s.again < next.again {
				next = s
			}
		}
		now = max(now, next.again)
		at := next.turn(now, 256<<10)
		if at > now+20_000 {
			at += r.Int64N(next.late + 1)
		}
		next.again = at
	}
}

func gates(gs ...*Gate) func() Chain {
	return func() (c Chain) {
		c.Add(gs)
		return c
	}
}

// TestCaps: the caps that operators ask for, within half a percent over five seconds, with workers that wake up 50 µs late.
func TestCaps(t *testing.T) {
	for _, gbit := range []uint64{1, 2, 5, 10, 20, 40, 100} {
		for _, size := range []uint64{64 << 10, 1 << 20, 1000} {
			if size == 1000 && gbit > 2 {
				continue // more messages than a worker carries
			}
			var g Gate
			g.Set(0, Rate{Bits: gbit * second})
			s := &sender{chain: gates(&g), size: size, late: 50_000}
			run(rand.New(rand.NewPCG(gbit, size)), 5*second, []*sender{s})
			if got := float64(s.passed*8) / float64(5*gbit*second); got < 0.995 || got > 1.005 {
				t.Errorf("%d Gbit/s, messages of %d: %.4f of the cap", gbit, size, got)
			}
			if s.waiting == 0 {
				t.Error("nobody has waited")
			}
		}
	}
}

// TestMessageCaps: messages a second, whatever their size.
func TestMessageCaps(t *testing.T) {
	for _, rate := range []uint64{10, 1000, 100_000} {
		var g Gate
		g.Set(0, Rate{Messages: rate})
		s := &sender{chain: gates(&g), size: 64, late: 50_000}
		run(rand.New(rand.NewPCG(rate, 3)), 5*second, []*sender{s})
		if got := float64(s.sent) / float64(5*rate); got < 0.995 || got > 1.025 {
			t.Errorf("%d a second: %.4f of the cap", rate, got)
		}
	}
}

// TestTenFlows: ten flows at 1 to 10 units, each with its own cap, beside each other.
func TestTenFlows(t *testing.T) {
	var all []*sender
	for i := range uint64(10) {
		g := new(Gate)
		g.Set(0, Rate{Bits: (i + 1) * 500_000_000})
		all = append(all, &sender{chain: gates(g), size: 64 << 10, late: 50_000})
	}
	run(rand.New(rand.NewPCG(1, 4)), 5*second, all)
	for i, s := range all {
		if got := float64(s.passed*8) / float64(5*(i+1)*500_000_000); got < 0.995 || got > 1.005 {
			t.Errorf("flow %d: %.4f of its cap", i, got)
		}
	}
}

// TestChain: of queue pair, container and tenant the tightest counts, and those who share one have equal parts of it.
func TestChain(t *testing.T) {
	var tenant, cont, other Gate
	tenant.Set(0, Rate{Bits: 8 * second})
	cont.Set(0, Rate{Bits: 2 * second})
	other.Set(0, Rate{})
	var all []*sender
	for range 4 {
		all = append(all, &sender{chain: gates(&cont, &tenant), size: 1 << 20, late: 50_000})
	}
	for range 3 {
		qp := new(Gate)
		qp.Set(0, Rate{Bits: second})
		all = append(all, &sender{chain: gates(qp, &other, &tenant), size: 30_000, late: 50_000})
	}
	all = append(all, &sender{chain: gates(&other, &tenant), size: 50_000, late: 50_000})
	run(rand.New(rand.NewPCG(1, 5)), 5*second, all)
	want := []float64{0.5, 0.5, 0.5, 0.5, 1, 1, 1, 3}
	for i, s := range all {
		if got := float64(s.passed*8) / (5 * second) / want[i]; got < 0.97 || got > 1.03 {
			t.Errorf("sender %d has %.3f of its part", i, got)
		}
	}
}

// TestReturned: what is given back is there for others, at once.
func TestReturned(t *testing.T) {
	var g Gate
	g.Set(0, Rate{Bits: 8000})
	var c Chain
	c.Add([]*Gate{&g, new(Gate)})
	var tickets [40]Ticket
	for i := range tickets {
		tickets[i].Ask(1, &c, 1<<20, 1)
	}
	behind := g.Behind(1)
	if behind < 10*second {
		t.Fatalf("behind by %d", behind)
	}
	for i := range tickets {
		tickets[i].Return()
	}
	if g.Behind(1) != 0 {
		t.Errorf("behind by %d after all was given back", g.Behind(1))
	}
	var fresh Ticket
	if g := fresh.Ask(second, &c, 10, 1); g.At != 0 || g.Bytes != 10 {
		t.Errorf("%+v", g)
	}
}
