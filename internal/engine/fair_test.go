package engine

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// flow is an item of a simulation: a queue pair whose program posts depth bytes, and posts them again when they are done and it has had think ns.
type flow struct {
	Item
	shape
	left     int
	thinking bool
	wakeAt   int64
	used     int
	turns    []int64 // waits for a turn, if traced
	readyAt  int64
}

// shape is what a flow is like.
type shape struct {
	core    int // where its program posts
	depth   int // 0: endless
	think   int64
	lagging bool // while it thinks, its completions wait for it
	traced  bool
}

func (f *flow) Run(*Worker, int) Verdict { panic("not run by workers") }
func (f *flow) Lagging() bool            { return f.thinking && f.lagging }

// sim is workers in virtual time, each with its own scheduler.
type sim struct {
	fair  fair
	cores []*simCore
	flows []*flow
	now   int64
}

type simCore struct {
	s    *shares
	free int64 // when the turn that runs ends
	run  *flow
	used int
}

const simRate = 10 // bytes a ns

func newSim(cores int) *sim {
	s := &sim{now: 1}
	s.fair.init(cores)
	s.fair.on.Store(true)
	for i := range cores {
		s.cores = append(s.cores, &simCore{s: &shares{fair: &s.fair, slot: i}})
	}
	return s
}

func (s *sim) add(f *flow, g *Group) *flow {
	f.Init(f, nil)
	f.In(g)
	f.left = f.depth
	s.flows = append(s.flows, f)
	s.push(f)
	return f
}

func (s *sim) push(f *flow) {
	f.readyAt = s.now
	s.cores[f.core].s.Push(&f.Item, s.now)
}

// end ends the turn that a core has run.
func (s *sim) end(c *simCore) {
	f, v := c.run, More
	c.run = nil
	f.used += c.used
	if f.depth != 0 {
		if f.left -= c.used; f.left <= 0 {
			v, f.thinking, f.wakeAt = Idle, true, s.now+f.think
		}
	}
	c.s.Ran(&f.Item, c.used, v, s.now)
	if v == More {
		s.push(f)
	}
}

// begin starts a core's next turn, if its scheduler gives one.
func (s *sim) begin(c *simCore) {
	it, budget := c.s.Pop(s.now)
	if it == nil {
		c.free = s.now + 1_000_000
		if c.s.Len() > 0 {
			c.free = max(c.s.Next(), s.now+100)
		}
		return
	}
	f := it.runner.(*flow)
	c.run, c.used = f, budget
	if f.depth != 0 {
		c.used = min(budget, f.left)
	}
	if f.traced {
		f.turns = append(f.turns, s.now-f.readyAt)
	}
	c.free = s.now + 1000 + int64(c.used/simRate)
}

// for lets d ns pass.
func (s *sim) pass(d int64) {
	for until := s.now + d; s.now < until; {
		next := until
		for _, c := range s.cores {
			if c.free <= s.now {
				if c.run != nil {
					s.end(c)
				}
				s.begin(c)
			}
			next = min(next, c.free)
		}
		for _, f := range s.flows {
			if f.thinking {
				next = min(next, f.wakeAt)
			}
		}
		s.now = max(next, s.now+1)
		for _, f := range s.flows {
			if f.thinking && f.wakeAt <= s.now {
				f.thinking, f.left = false, f.depth
				s.push(f)
				if c := s.cores[f.core]; c.run == nil {
					c.free = s.now // its ring wakes the worker
				}
			}
		}
	}
}

// measure gives what each flow used in d ns, after it has settled.
func (s *sim) measure(d int64) []float64 {
	s.pass(d / 5)
	for _, f := range s.flows {
		f.used = 0
	}
	s.pass(d)
	var out []float64
	for _, f := range s.flows {
		out = append(out, float64(f.used)/float64(d))
	}
	return out
}

func weighted(tenant *Group, w uint32) *Group {
	g := NewGroup(tenant)
	g.weight.Store(w)
	return g
}

// TestWeights: containers get as their weights are, wherever their programs post, whether they always have something to post or are kept from
// it by others.
func TestWeights(t *testing.T) {
	for _, cores := range []int{1, 2, 4} {
		for _, kind := range []shape{{}, {depth: 8 << 20, think: 1_000_000, lagging: true}, {depth: 8 << 20, think: 20_000}} {
			for place := range 4 {
				s := newSim(cores)
				tenant := NewGroup(nil)
				r := rand.New(rand.NewPCG(uint64(place), 3))
				for _, w := range []uint32{1, 2, 4} {
					x := kind
					x.core = r.IntN(cores)
					s.add(&flow{shape: x}, weighted(tenant, w))
				}
				got := s.measure(400_000_000)
				for i, w := range []float64{1, 2, 4} {
					if part := got[i] / (got[0] + got[1] + got[2]) * 7 / w; part < 0.95 || part > 1.05 {
						t.Errorf("%d cores, depth %d, place %d: weight %v has %.3f of its part (%.2f)", cores, kind.depth, place, w, part, got)
					}
				}
			}
		}
	}
}

// TestHierarchy: tenants share by their weights, whatever the number of their containers, and those whatever the number of their queue pairs.
func TestHierarchy(t *testing.T) {
	s := newSim(2)
	big, small := NewGroup(nil), NewGroup(nil)
	big.weight.Store(3)
	one, other, alone := weighted(big, 1), weighted(big, 2), weighted(small, 7)
	want := map[*Group]float64{one: 1, other: 2, alone: 1}
	got := map[*Group]float64{}
	for g, n := range map[*Group]int{one: 8, other: 2, alone: 5} {
		for i := range n {
			s.add(&flow{shape: shape{core: i % 2}}, g)
		}
	}
	sum := 0.0
	for i, x := range s.measure(400_000_000) {
		got[s.flows[i].group] += x
		sum += x
	}
	for g, w := range want {
		if part := got[g] / sum * 4 / w; part < 0.95 || part > 1.05 {
			t.Errorf("a container has %.3f of its part", part)
		}
	}
	if sum < 2*simRate*0.9 {
		t.Errorf("the workers do %.2f bytes a ns, could do %d", sum, 2*simRate)
	}
}

// TestEqual: flows without weights, spread unevenly over cores.
func TestEqual(t *testing.T) {
	s := newSim(2)
	tenant := NewGroup(nil)
	for i := range 64 {
		s.add(&flow{shape: shape{core: min(i%4, 1)}}, weighted(tenant, 1))
	}
	got := s.measure(2_000_000_000)
	sum, squares := 0.0, 0.0
	for _, x := range got {
		sum += x
		squares += x * x
	}
	if jain := sum * sum / squares / float64(len(got)); jain < 0.99 {
		t.Errorf("Jain's index %.4f", jain)
	}
}

// TestWorkConserving: what one does not use others get: nobody waits for who has nothing to do, or has gone.
func TestWorkConserving(t *testing.T) {
	for name, idler := range map[string]shape{
		"light":   {core: 1, depth: 4096, think: 20_000},
		"bursty":  {core: 1, depth: 4 << 20, think: 5_000_000},
		"stopped": {core: 1, depth: 4 << 20, think: math.MaxInt64 / 2, lagging: true},
	} {
		s := newSim(2)
		tenant := NewGroup(nil)
		greedy := s.add(&flow{}, weighted(tenant, 1))
		s.add(&flow{shape: idler}, weighted(tenant, 100))
		got := s.measure(500_000_000)
		if got[0] < simRate*0.8 {
			t.Errorf("%s: the greedy flow has %.2f of %d bytes a ns (%d used)", name, got[0], simRate, greedy.used)
		}
	}
}

// TestLate: who comes late, or comes back, has no credit from before, and owes nothing.
func TestLate(t *testing.T) {
	s := newSim(2)
	tenant := NewGroup(nil)
	s.add(&flow{}, weighted(tenant, 1))
	s.pass(1_000_000_000)
	s.add(&flow{shape: shape{core: 1}}, weighted(tenant, 1))
	s.add(&flow{shape: shape{core: 1}}, weighted(tenant, 1))
	got := s.measure(100_000_000)
	sum := got[0] + got[1] + got[2]
	for i := range got {
		if part := got[i] / sum * 3; part < 0.95 || part > 1.05 {
			t.Errorf("flow %d has %.3f of its part", i, part)
		}
	}
}

// TestClasses: one of a higher class that does little at a time hardly ever waits for more than a short turn of a lower; the lower are not starved.
func TestClasses(t *testing.T) {
	s := newSim(2)
	tenant := NewGroup(nil)
	low := weighted(tenant, 1)
	for i := range 100 {
		s.add(&flow{shape: shape{core: i % 2}}, low)
	}
	high := NewGroup(tenant)
	high.class.Store(uint32(ClassHigh))
	f := s.add(&flow{shape: shape{depth: MessageCost, think: 3000, traced: true}}, high)
	got := s.measure(100_000_000)
	late, longest := 0, int64(0)
	for _, d := range f.turns[10:] {
		if d > 0 {
			late++
		}
		longest = max(longest, d)
	}
	if longest > 1000+short/simRate || late*10 > len(f.turns) {
		t.Errorf("of %d turns %d were late, by up to %d ns", len(f.turns), late, longest)
	}
	sum := 0.0
	for _, x := range got[:100] {
		sum += x
	}
	if sum < simRate*0.9 { // the other core's
		t.Errorf("the lower class has %.2f bytes a ns", sum)
	}
}

// TestChangedStanding: new weights and classes count from now on.
func TestChangedStanding(t *testing.T) {
	s := newSim(2)
	e := &Engine{}
	tenant := NewGroup(nil)
	a, b := NewGroup(tenant), NewGroup(tenant)
	s.add(&flow{}, a)
	s.add(&flow{shape: shape{core: 1}}, b)
	for _, w := range []uint32{1, 3, 1} {
		for _, class := range []uint8{ClassNormal, ClassLow, ClassHigh} {
			s.fair.mu.Lock()
			for _, g := range []*Group{a, b} {
				g.class.Store(uint32(class))
			}
			s.fair.mu.Unlock()
			e.SetGroup(b, Standing{Parent: tenant, Class: class, Weight: w})
			got := s.measure(100_000_000)
			if r := got[1] / got[0] / float64(w); r < 0.93 || r > 1.07 {
				t.Errorf("weight %d, class %d: %.3f", w, class, r)
			}
		}
	}
}

// TestNothingLost: whatever comes and goes, classes and weights change, and items are taken away, each that was pushed is given out once.
func TestNothingLost(t *testing.T) {
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 1))
		s := newSim(3)
		var groups []*Group
		for range 5 {
			groups = append(groups, weighted(NewGroup(nil), 1+r.Uint32N(10)))
		}
		in := map[*Item]int{} // where each is
		var items []*Item
		for i := range 40 {
			f := &flow{shape: shape{core: i % 3}}
			f.Init(f, nil)
			f.In(groups[i%5])
			items = append(items, &f.Item)
		}
		for range 5000 {
			s.now += r.Int64N(50_000)
			core := r.IntN(3)
			sched := s.cores[core].s
			switch r.IntN(5) {
			case 0, 1:
				it := items[r.IntN(len(items))]
				if _, there := in[it]; !there {
					in[it] = core
					sched.Push(it, s.now)
				}
			case 2:
				if it, budget := sched.Pop(s.now); it != nil {
					leave(t, in, it, core)
					v := []Verdict{Idle, More, Wait}[r.IntN(3)]
					sched.Ran(it, r.IntN(budget), v, s.now)
					if v == More {
						in[it] = core
						sched.Push(it, s.now)
					}
				}
			case 3:
				if it := sched.Take(); it != nil {
					leave(t, in, it, core)
					in[it] = (core + 1) % 3
					s.cores[in[it]].s.Push(it, s.now)
				}
			case 4:
				g := groups[r.IntN(5)]
				g.class.Store(r.Uint32N(uint32(numClasses)))
				s.fair.on.Store(r.IntN(10) > 0)
			}
		}
		for i := 0; len(in) > 0 && i < 300_000; i++ {
			core := i % 3
			s.now += 30_000
			if it, _ := s.cores[core].s.Pop(s.now); it != nil {
				leave(t, in, it, core)
				s.cores[core].s.Ran(it, 100, Idle, s.now)
			}
		}
		if len(in) != 0 {
			t.Fatalf("seed %d: %d items are stuck", seed, len(in))
		}
		s.now += 2 * grace
		s.fair.scan(s.now)
		for _, g := range groups {
			if n, sum := g.items.Load(), g.parent.Load().sum.Load(); n != 0 || sum != 0 || len(s.fair.dry) != 0 {
				t.Fatalf("seed %d: %d items count, weights %d", seed, n, sum)
			}
		}
	}
}

func leave(t *testing.T, in map[*Item]int, it *Item, core int) {
	t.Helper()
	if at, there := in[it]; !there || at != core {
		t.Fatal(fmt.Sprint("given out where it is not: ", there, at, core))
	}
	delete(in, it)
}
