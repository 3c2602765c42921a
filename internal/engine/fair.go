package engine

import (
	"math"
	"slices"
	"sync"
	"sync/atomic"
)

// Weighted shares across workers. Each item has a virtual time, which runs as fast as what it uses is dear to it (Group.price). A worker gives the
// next turn to the item whose time is least, which is start-time fair queueing (Goyal, 1996). Since items are where their programs post, that alone
// would be fair among those of one core. So workers tell each other the least time of what they have ready, by class, and one that has only
// items which are ahead of that by more than slack lets them wait for a moment. Somebody is always least: he runs.
//
// Busy is an item that has used much of a turn. It stays busy for grace after it has run dry, for its program may be waiting for the core to
// post the next, which it was kept from by the very flows that it is to be measured with. So it goes on holding others back, for about as long as it
// was served before; longer if the program has not even looked at what was completed for it. No longer, or one that uses little would
// stop everybody else.
const (
	slack      = 1024 * Quantum // bytes that all together carry while one gets ahead by what it may
	bulk       = Quantum / 4    // bytes used in a turn that make an item busy
	grace      = 50_000_000     // ns
	missed     = 16             // bytes used, for each ns that others wait for one that has run dry
	missedMore = 4              // the same if its program is not there
	holdStep   = 50_000         // ns between looks whether those who are behind have caught up
)

// scanStep is between two looks at those who have run dry, in ns.
const scanStep = 10_000

// holdMost is how long an item waits at most for those who are behind, in ns.
const holdMost = 50_000_000

// Laggard is a Runner that can tell whether its program has yet to take what was done for it. It is called by workers, whichever, at any time, and
// must not block.
type Laggard interface{ Lagging() bool }

// fair is what the workers of an engine share.
type fair struct {
	on    atomic.Bool
	clock [numClasses]atomic.Uint64 // virtual time, as a float64: where those begin who come
	floor []floor                   // by worker
	total atomic.Int64              // weights of the tenants that have busy items

	mu     sync.Mutex
	dry    []*Item                   // busy items that have run dry
	claim  [numClasses]atomic.Uint64 // the least time of those of them that hold others back
	scanAt atomic.Int64              // when to look at them again
}

// floor is the least virtual time of what a worker has ready, by class: float64, +Inf for nothing. On a cache line of its own.
type floor struct {
	least [numClasses]atomic.Uint64
	_     [64 - 8*numClasses]byte
}

var nobody = math.Float64bits(math.Inf(1))

func (f *fair) init(workers int) {
	f.floor = make([]floor, workers)
	for c := range numClasses {
		for i := range f.floor {
			f.floor[i].least[c].Store(nobody)
		}
		f.claim[c].Store(nobody)
	}
}

// show tells the others the least time of what a worker has ready in a class.
func (f *fair) show(slot int, class uint8, v float64) {
	if b, at := math.Float64bits(v), &f.floor[slot].least[class]; at.Load() != b {
		at.Store(b)
	}
}

// arrive gives an item that comes its place: where it was, but no further behind than credit; and one that is not busy has none from when it had
// nothing to do.
func (f *fair) arrive(it *Item, class uint8, now int64) {
	if it.dry.Load() {
		f.mu.Lock()
		f.wet(it)
		if it.since != 0 {
			it.run -= min(it.run, int(now-it.since)*missed)
		}
		f.mu.Unlock()
	}
	from := math.Float64frombits(f.clock[class].Load())
	if it.was != class {
		it.v, it.was = from, class
		return
	}
	if it.more || it.busy {
		from -= 2 * f.slack()
	}
	it.v = max(it.v, from)
}

// starts notes that an item has a turn.
func (f *fair) starts(it *Item, class uint8) {
	at := &f.clock[class]
	if it.v > math.Float64frombits(at.Load()) {
		at.Store(math.Float64bits(it.v))
	}
}

// used moves an item's time on after a turn.
func (f *fair) used(it *Item, n int, v Verdict) {
	it.v += float64(n) * it.group.price()
	it.run = min(it.run+n, grace*missed)
	it.more = v == More
	if !it.busy && (n >= bulk || it.more) {
		f.mu.Lock()
		f.enter(it)
		f.mu.Unlock()
	}
}

// ended notes that a busy item has nothing to do now.
func (f *fair) ended(it *Item, v Verdict, now int64) {
	f.mu.Lock()
	it.since, it.until = 0, now+grace
	if v == Idle {
		it.since = now
	}
	if !it.dry.Swap(true) {
		f.dry = append(f.dry, it)
	}
	f.mu.Unlock()
}

// enter counts a busy item. Under mu.
func (f *fair) enter(it *Item) {
	it.busy = true
	if g := it.group; g != nil && g.items.Add(1) == 1 {
		f.count(g)
	}
}

// wet takes an item from those that have run dry. Under mu.
func (f *fair) wet(it *Item) {
	if it.dry.Load() {
		it.dry.Store(false)
		i := slices.Index(f.dry, it)
		f.dry[i] = f.dry[len(f.dry)-1]
		f.dry[len(f.dry)-1] = nil
		f.dry = f.dry[:len(f.dry)-1]
	}
}

// ahead reports whether an item at the head of a worker's class is so far ahead of what others have to do that it shall wait.
func (f *fair) ahead(slot int, it *Item, class uint8, now int64) bool {
	if !it.busy {
		return false
	}
	if now >= f.scanAt.Load() {
		f.scan(now)
	}
	least := math.Float64frombits(f.claim[class].Load())
	for i := range f.floor {
		if i != slot {
			least = min(least, math.Float64frombits(f.floor[i].least[class].Load()))
		}
	}
	return it.v > least+f.slack()
}

// slack is how far ahead in virtual time an item may be.
func (f *fair) slack() float64 { return slack / float64(max(f.total.Load(), 1)) }

// scan looks at the items that have run dry: what they claim, and whose grace is over.
func (f *fair) scan(now int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var least [numClasses]float64
	for c := range least {
		least[c] = math.Inf(1)
	}
	for i := 0; i < len(f.dry); {
		it := f.dry[i]
		if now >= it.until {
			it.busy = false
			f.wet(it)
			if g := it.group; g != nil && g.items.Add(-1) == 0 {
				f.uncount(g)
			}
			continue
		}
		if it.claims(now) {
			least[it.was] = min(least[it.was], it.v)
		}
		i++
	}
	for c := range least {
		f.claim[c].Store(math.Float64bits(least[c]))
	}
	f.scanAt.Store(now + scanStep + int64(len(f.dry))*200)
}

// claims reports whether others wait for an item that has run dry. Under mu.
func (it *Item) claims(now int64) bool {
	if it.since == 0 {
		return false
	}
	dry := int(now - it.since)
	if dry < it.run/missed {
		return true
	}
	l, ok := it.runner.(Laggard)
	return ok && dry < it.run/missedMore && l.Lagging()
}
