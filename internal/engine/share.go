package engine

// Sharing: an item runs on the core that rang for it, and the scheduler of the machine likes to keep a program on the core that wakes it. So
// one worker may come to have hundreds of items and another a few, which then get many times the others' turns. A worker with many
// more than another gives it half of the difference.

// shareFrom is the difference in items from which on giving is worth a wake-up.
const shareFrom = 16

// share tells the others how many items wait for a turn here, and gives some away if another has far fewer.
func (w *Worker) share() {
	if !w.urgent {
		return // fast and low are alone of their kind
	}
	n := w.sched.Len()
	if w.load.Load() != int32(n) {
		w.load.Store(int32(n))
	}
	if n < shareFrom {
		return
	}
	least := w
	for _, o := range w.e.cores {
		if o.load.Load() < least.load.Load() {
			least = o
		}
	}
	if more := n - int(least.load.Load()); more >= shareFrom {
		w.give(least, more/2)
	}
}

// give leaves the n items that have waited longest to another worker.
func (w *Worker) give(o *Worker, n int) {
	given := 0
	o.leave(func() {
		for ; given < n; given++ {
			it := w.sched.Take()
			if it == nil {
				break
			}
			o.inbox = append(o.inbox, it)
		}
	})
	o.load.Add(int32(given))
	w.load.Add(-int32(given))
	w.Given.Add(uint64(given))
}
