package rdmacm

import (
	"container/heap"
	"math"
)

// timers are the IDs that look for their peers' addresses, the soonest to look again first.
type timers struct{ ids []*id }

// timer is an ID's place there.
type timer struct {
	at    int64
	place int   // in the heap, from 1; 0: not there
	since int64 // since when it looks
	until int64 // when it has lasted too long
}

// set makes an ID's timer expire at a time.
func (t *timers) set(i *id, at int64) {
	i.timer.at = at
	if i.timer.place == 0 {
		heap.Push(t, i)
		return
	}
	heap.Fix(t, i.timer.place-1)
}

// stop takes an ID's timer away, if it runs.
func (t *timers) stop(i *id) {
	if i.timer.place != 0 {
		heap.Remove(t, i.timer.place-1)
	}
}

func (t *timers) next() int64 {
	if len(t.ids) == 0 {
		return math.MaxInt64
	}
	return t.ids[0].timer.at
}

// due takes the first ID whose timer has expired; nil if there is none.
func (t *timers) due(now int64) *id {
	if t.next() > now {
		return nil
	}
	return heap.Pop(t).(*id)
}

// Len, Less, Swap, Push and Pop are heap.Interface's.
func (t *timers) Len() int           { return len(t.ids) }
func (t *timers) Less(a, b int) bool { return t.ids[a].timer.at < t.ids[b].timer.at }
func (t *timers) Swap(a, b int) {
	t.ids[a], t.ids[b] = t.ids[b], t.ids[a]
	t.ids[a].timer.place, t.ids[b].timer.place = a+1, b+1
}

// Push is heap.Interface's.
func (t *timers) Push(v any) {
	i := v.(*id)
	t.ids = append(t.ids, i)
	i.timer.place = len(t.ids)
}

// Pop is heap.Interface's.
func (t *timers) Pop() any {
	i := t.ids[len(t.ids)-1]
	t.ids[len(t.ids)-1] = nil
	t.ids = t.ids[:len(t.ids)-1]
	i.timer.place = 0
	return i
}
