package engine

import "sync/atomic"

// Verdict is what a run came to.
type Verdict uint8

// The verdicts of Runner.Run.
const (
	Idle Verdict = iota // nothing left to do until it is scheduled again
	More                // the budget is used up and there is more to do
	Wait                // nothing can be done before Item.WakeAt, unless it is scheduled before
)

// Runner does an item's work. Run may use about budget units: bytes, or MessageCost for a smaller message. It is called
// by one worker at a time and must not block.
type Runner interface {
	Run(w *Worker, budget int) Verdict
}

// Item states. Schedule moves idle and waiting to queued, and running to again; only the worker that has the item does the rest.
const (
	itemIdle int32 = iota
	itemQueued
	itemRunning
	itemAgain
	itemWaiting
)

// Item is the engine's handle of something that runs. Embed it; call Init before use.
type Item struct {
	state  atomic.Int32
	runner Runner
	bell   *Doorbell
	next   *Item         // in a worker's queue
	alarm  atomic.Uint64 // Worker.alarm

	// The scheduler's, of whoever has the item: fair.go.
	group *Group
	v     float64     // virtual time
	was   uint8       // class in which it is
	busy  bool        // it counts in its group
	more  bool        // its last turn ended with more to do
	since int64       // when dry began; 0: it claims nothing
	run   int         // bytes used that it has not been missed for
	until int64       // when dry ends
	dry   atomic.Bool // it is among fair.dry; then busy, since and until are under fair.mu

	// WakeAt is set by Run before it says Wait: the time (Worker.Now) to run again.
	WakeAt int64
}

// Init ties the item to what it runs and to the doorbell whose context it belongs to.
func (it *Item) Init(r Runner, d *Doorbell) { it.runner, it.bell = r, d }

// claim reports whether the caller is to queue the item.
func (it *Item) claim() bool {
	for {
		switch s := it.state.Load(); s {
		case itemIdle, itemWaiting:
			if it.state.CompareAndSwap(s, itemQueued) {
				return true
			}
		case itemRunning:
			if it.state.CompareAndSwap(itemRunning, itemAgain) {
				return false
			}
		default:
			return false
		}
	}
}

// queue is a list of items in turn.
type queue struct {
	head, tail *Item
	n          int
}

func (q *queue) push(it *Item) {
	it.next = nil
	if q.tail == nil {
		q.head = it
	} else {
		q.tail.next = it
	}
	q.tail = it
	q.n++
}

func (q *queue) pop() *Item {
	it := q.head
	if it == nil {
		return nil
	}
	if q.head = it.next; q.head == nil {
		q.tail = nil
	}
	it.next = nil
	q.n--
	return it
}
