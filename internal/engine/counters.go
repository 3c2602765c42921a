package engine

// EachCounter calls f with each counter of each worker. Any goroutine.
func (e *Engine) EachCounter(f func(worker, name string, value uint64)) {
	for _, w := range e.all {
		f(w.Name, "wakeups", w.Wakeups.Load())
		f(w.Name, "turns", w.Turns.Load())
		f(w.Name, "looks", w.Looks.Load())
		f(w.Name, "mutes", w.Mutes.Load())
		f(w.Name, "given", w.Given.Load())
		f(w.Name, "arrivals", w.Arrivals.Load())
		f(w.Name, "moderated", w.Moderated.Load())
		f(w.Name, "held", w.Held.Load())
	}
}
