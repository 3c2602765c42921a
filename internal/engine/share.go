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
	if n := int32(w.ready.n); w.load.Load() != n {
		w.load.Store(n)
	}
	if w.ready.n < shareFrom {
		return
	}
	least := w
	for _, o := range w.e.cores {
		if o.load.Load() < least.load.Load() {
			least = o
		}
	}
	if more := w.ready.n - int(least.load.Load()); more >= shareFrom {
		w.give(least, more/2)
	}
}

// give leaves the n items that have waited longest to another worker.
func (w *Worker) give(o *Worker, n int) {
	o.load.Add(int32(n))
	w.load.Add(-int32(n))
	o.leave(func() {
		for range n {
			o.inbox = append(o.inbox, w.ready.pop())
		}
	})
	w.Given.Add(uint64(n))
}
