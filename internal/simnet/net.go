package simnet

import (
	"container/heap"
	"math/rand/v2"
)

// Net is a network and its clock.
type Net struct {
	Now    int64 // ns
	Rand   *rand.Rand
	events events
	serial uint64
}

// New makes an empty network. The same seed makes the same run.
func New(seed uint64) *Net { return &Net{Now: 1, Rand: rand.New(rand.NewPCG(seed, 0xfee1))} }

// At lets f happen at a time, which may be over: then it happens next.
func (n *Net) At(t int64, f func()) {
	n.serial++
	heap.Push(&n.events, event{max(t, n.Now), n.serial, f})
}

// Step lets the next event happen, and sets the clock to its time. It reports false if there is none.
func (n *Net) Step() bool {
	if len(n.events) == 0 {
		return false
	}
	e := heap.Pop(&n.events).(event)
	n.Now = e.at
	e.do()
	return true
}

// Next gives the time of the next event. ok is false if there is none.
func (n *Net) Next() (at int64, ok bool) {
	if len(n.events) == 0 {
		return 0, false
	}
	return n.events[0].at, true
}

// RunUntil lets everything happen up to a time, and sets the clock to it.
func (n *Net) RunUntil(t int64) {
	for len(n.events) > 0 && n.events[0].at <= t {
		n.Step()
	}
	n.Now = max(n.Now, t)
}

// event is something that happens at a time; of several, in the order in which they were asked for.
type event struct {
	at     int64
	serial uint64
	do     func()
}

type events []event

func (e events) Len() int { return len(e) }
func (e events) Less(i, j int) bool {
	return e[i].at < e[j].at || e[i].at == e[j].at && e[i].serial < e[j].serial
}
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)   { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	old := *e
	x := old[len(old)-1]
	*e = old[:len(old)-1]
	return x
}
