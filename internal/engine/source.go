package engine

import (
	"fmt"
	"slices"
)

// Source is what becomes readable without a program's doorbell: a socket. Ready is called on the worker that watches it, for as long as
// there is something to read, or by timer if it brings much; it reads some of it and gives the bytes.
type Source interface {
	Ready(w *Worker) (bytes int)
}

// Egress collects what a worker's items send, so that it leaves in few system calls and after their locks have been given back. Its
// methods are called on its worker only.
type Egress interface {
	Pressed() bool // so much is there that it should leave before the next turn
	Flush()        // sends what is there; cheap if nothing is
}

// Watch lets the worker of a core (an index into CPUs) call the source while fd is readable. The fd is the caller's, and is not closed
// before Forget.
func (e *Engine) Watch(core, fd int, s Source) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	old := *e.sources.Load()
	x := &source{Source: s, fd: fd, slot: sourceSlot - len(old), home: e.cores[core]}
	all := append(slices.Clone(old), x)
	e.sources.Store(&all)
	if err := x.watch(); err != nil {
		return fmt.Errorf("watch a socket: %w", err)
	}
	return nil
}

// Forget ends Watch. When it returns the worker does not look at fd any more, and has sent what its items left in an Egress.
func (e *Engine) Forget(core, fd int) {
	for _, s := range *e.sources.Load() {
		if s.fd == fd && s.home == e.cores[core] {
			s.gone.Store(true)
		}
	}
	e.Quiesce() // whoever watches it again does so now
	e.cores[core].unwatch(fd)
	e.Quiesce()
}

// SetEgress gives each worker its egress. To be called before what uses it.
func (e *Engine) SetEgress(of func(w *Worker) Egress) {
	for _, w := range e.all {
		w.egress.Store(&egress{of(w)})
	}
}

// egress wraps the interface for an atomic pointer.
type egress struct{ Egress }

// Workers is the number of workers; Worker.Index is less.
func (e *Engine) Workers() int { return len(e.all) }

// CPUs gives the CPUs of the core workers: Watch's core i is the worker of CPU CPUs()[i].
func (e *Engine) CPUs() []int {
	var cpus []int
	for _, w := range e.cores {
		cpus = append(cpus, w.cpu)
	}
	return cpus
}

// Index tells the workers of an engine apart: 0 to Workers-1, the cores first.
func (w *Worker) Index() int { return w.index }

// press sends early what the worker's items have left, if it is much.
func (w *Worker) press() {
	if x := w.egress.Load(); x != nil && x.Pressed() {
		x.Flush()
	}
}

// flush sends what the worker's items have left.
func (w *Worker) flush() {
	if x := w.egress.Load(); x != nil {
		x.Flush()
	}
}
