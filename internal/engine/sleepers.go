package engine

import "golang.org/x/sys/unix"

// sleeper is an item that said Wait, and until when. It may have been scheduled and run since, here or elsewhere.
type sleeper struct {
	it   *Item
	at   int64
	near bool // its time was less than nearBy away
}

// nearBy tells those who look again in a moment from those who wait for a timer that is not expected to fire.
const nearBy = 1_000_000 // ns

// alarm says when and on which worker an item's next sleeper fires, so that an item which says Wait again and again for a distant
// time, as one does that waits for acknowledgements, has one sleeper and not one for each turn. Zero: none.
func (w *Worker) alarm(at int64) uint64 { return uint64(at)>>10<<8 | uint64(w.index+1) }

// sleepUntil makes sure that the item is looked at by a time. It is called before the item is waiting, and may turn out to be for nothing.
func (w *Worker) sleepUntil(it *Item, at int64) {
	want := w.alarm(at)
	if has := it.alarm.Load(); has&0xff == want&0xff && has>>8 <= want>>8 {
		return // an earlier one on this worker: then the item says again until when
	}
	it.alarm.Store(want)
	near := at-w.now < nearBy
	if near {
		w.near++
	}
	w.waiting.push(sleeper{it, at, near})
}

// wakeWaiting queues the waiting items whose time has come.
func (w *Worker) wakeWaiting() {
	for len(w.waiting) > 0 && w.waiting[0].at <= w.now {
		s := w.waiting.pop()
		if s.near {
			w.near--
		}
		if s.it.alarm.CompareAndSwap(w.alarm(s.at), 0) && s.it.state.Load() == itemWaiting {
			w.Schedule(s.it)
		}
	}
}

// Crowded reports that so many items wait for a moment that they should do so less eagerly.
func (w *Worker) Crowded() bool { return w.near > 16 }

// sleepers is a heap: the first is who wakes up next.
type sleepers []sleeper

func (h *sleepers) push(s sleeper) {
	*h = append(*h, s)
	q := *h
	for i := len(q) - 1; i > 0; {
		parent := (i - 1) / 2
		if q[parent].at <= q[i].at {
			return
		}
		q[parent], q[i] = q[i], q[parent]
		i = parent
	}
}

func (h *sleepers) pop() sleeper {
	q := *h
	first := q[0]
	last := len(q) - 1
	q[0] = q[last]
	q[last] = sleeper{}
	q = q[:last]
	*h = q
	for i := 0; ; {
		child := 2*i + 1
		if child >= last {
			return first
		}
		if child+1 < last && q[child+1].at < q[child].at {
			child++
		}
		if q[i].at <= q[child].at {
			return first
		}
		q[i], q[child] = q[child], q[i]
		i = child
	}
}

// setAlarm sees to it that the worker is woken at a time that is not near. Most sleepers wait for timers that are put off before they
// fire, and to set the timer of each sleep anew, and take it back, costs more than the sleep. False: it cannot be done.
func (w *Worker) setAlarm(at int64) bool {
	if w.alarmAt != 0 && w.alarmAt <= at {
		return true // it goes off before, for whoever waited then, and is set again
	}
	ts := unix.ItimerSpec{Value: unix.NsecToTimespec(max(at, 1))}
	if err := unix.TimerfdSettime(w.alarmFD, unix.TFD_TIMER_ABSTIME, &ts, nil); err != nil {
		return false
	}
	w.alarmAt = at
	return true
}
