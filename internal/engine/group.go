package engine

import "sync/atomic"

// Classes of items, strict: on a worker, an item has no turn while one of a higher class could.
const (
	ClassLow uint8 = iota
	ClassNormal
	ClassHigh
	numClasses
)

// Group is what shares are given to: a container, whose parent is its tenant, or a tenant, which has none. In its class a tenant gets as its weight is
// to that of the other tenants that have something to do, a container as its weight is to that of the tenant's others; the items of a container
// get the same. Make one with NewGroup. Any goroutine.
type Group struct {
	parent atomic.Pointer[Group]
	class  atomic.Uint32
	weight atomic.Uint32

	items atomic.Int32 // of a container: busy items
	sum   atomic.Int64 // of a tenant: weights of containers with busy items

	in      *Group // container: in whose sum it is; under fair.mu
	counted int64  // container: as what; tenant: its weight as it is in fair.total; under fair.mu
}

// NewGroup makes a tenant, or for a parent that is not nil a container of it.
func NewGroup(parent *Group) *Group {
	g := &Group{}
	g.parent.Store(parent)
	g.class.Store(uint32(ClassNormal))
	g.weight.Store(1)
	return g
}

// Standing is what a group is given: its class, if it is a container, its weight, and its tenant.
type Standing struct {
	Parent *Group
	Class  uint8
	Weight uint32
}

// SetGroup changes a group's standing, from the next turn of each of its items on. Any goroutine.
func (e *Engine) SetGroup(g *Group, s Standing) {
	f := &e.fair
	f.mu.Lock()
	defer f.mu.Unlock()
	g.parent.Store(s.Parent)
	g.class.Store(uint32(min(s.Class, ClassHigh)))
	g.weight.Store(max(s.Weight, 1))
	if g.items.Load() > 0 {
		f.uncount(g)
		f.count(g)
	}
}

// SetShares says whether classes and weights count. If not, items take turns in the order in which they come, which is cheaper. Any goroutine.
func (e *Engine) SetShares(on bool) { e.fair.on.Store(on) }

// count adds a container to its tenant's sum, and a tenant that has not had one to the total; one without a tenant is like one. Under mu.
func (f *fair) count(g *Group) {
	g.in, g.counted = g.parent.Load(), int64(g.weight.Load())
	t := g.in
	if t == nil {
		f.total.Add(g.counted)
	} else if t.sum.Add(g.counted) == g.counted {
		t.counted = int64(t.weight.Load())
		f.total.Add(t.counted)
	}
}

// uncount takes it out. Under mu.
func (f *fair) uncount(g *Group) {
	if t := g.in; t == nil {
		f.total.Add(-g.counted)
	} else if t.sum.Add(-g.counted) == 0 {
		f.total.Add(-t.counted)
	}
	g.in, g.counted = nil, 0
}

// price is what a byte costs an item of the group in virtual time: the inverse of its part of what there is.
func (g *Group) price() float64 {
	if g == nil {
		return 1
	}
	p := float64(max(g.items.Load(), 1))
	if t := g.parent.Load(); t != nil {
		w := float64(g.weight.Load())
		return p * max(float64(t.sum.Load()), w) / w / float64(t.weight.Load())
	}
	return p / float64(g.weight.Load())
}

// In makes the item one of a group's. To be called before the item is scheduled.
func (it *Item) In(g *Group) { it.group = g }

// class is the item's class.
func (it *Item) class() uint8 {
	if it.group == nil {
		return ClassNormal
	}
	return uint8(it.group.class.Load())
}
