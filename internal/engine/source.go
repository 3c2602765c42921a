package engine

import (
	"fmt"
	"math"
	"slices"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Source is what becomes readable without a program's doorbell: a socket. Ready is called on the worker that watches it, for as long as
// there is something to read, and reads some of it.
type Source interface {
	Ready(w *Worker)
}

// Egress collects what a worker's items send, so that it leaves in few system calls and after their locks have been given back. Its
// methods are called on its worker only.
type Egress interface {
	Pressed() bool // so much is there that it should leave before the next turn
	Flush()        // sends what is there; cheap if nothing is
}

// Watched is a source that a worker looks after.
type Watched struct {
	fd, slot int
}

// AddSource makes a source known; nobody looks after it before Watch. The fd is the caller's, and is not closed before Forget.
func (e *Engine) AddSource(fd int, s Source) *Watched {
	e.mu.Lock()
	defer e.mu.Unlock()
	all := append(slices.Clone(*e.sources.Load()), s)
	e.sources.Store(&all)
	return &Watched{fd: fd, slot: sourceSlot - (len(all) - 1)}
}

// Watch lets the worker of a core (an index into CPUs) call the source while its fd is readable.
func (e *Engine) Watch(core int, h *Watched) error { return e.cores[core].watchSource(h) }

func (w *Worker) watchSource(h *Watched) error {
	ev := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(h.slot)}
	if err := unix.EpollCtl(w.ep, unix.EPOLL_CTL_ADD, h.fd, &ev); err != nil {
		return fmt.Errorf("watch a socket: %w", err)
	}
	return nil
}

// HandOver lets another core's worker look after the source from now on. It is the last that the source's Ready does.
func (w *Worker) HandOver(h *Watched, core int) {
	w.unwatch(h.fd)
	if err := w.e.cores[core].watchSource(h); err != nil {
		_ = w.watchSource(h)
	}
}

// Forget ends Watch. When it returns no worker looks at the source any more, and what its items left in an Egress is sent.
func (e *Engine) Forget(h *Watched) {
	for range 2 { // a worker may have been handing it over
		for _, w := range e.cores {
			w.unwatch(h.fd)
		}
		e.Quiesce()
	}
}

// Idlest is the core whose worker has been the least busy of late, and how busy that is: from 0 to 1.
func (w *Worker) Idlest() (core int, busy float64) {
	busy = 2
	for i, o := range w.e.cores {
		if b := o.busy.recent(w.now); b < busy {
			core, busy = i, b
		}
	}
	return core, busy
}

// ScheduleOn lets an item run soon on another core's worker, from within Run or Ready: one that is at work with it and has its
// memory at hand.
func (w *Worker) ScheduleOn(core int, it *Item) {
	if it.claim() {
		w.e.cores[core].post(it)
	}
}

// busyTime is how much of its time a worker was not asleep. It writes, all read.
type busyTime struct {
	from  int64 // of the window
	spent int64 // in it
	share atomic.Uint64
	at    atomic.Int64 // when share was written
}

// busyWindow is over how long that is measured, in ns.
const busyWindow = 2_000_000

// worked counts the time from a wake-up to the next sleep.
func (b *busyTime) worked(woke, slept int64) {
	b.spent += slept - woke
	if d := slept - b.from; d >= busyWindow {
		b.share.Store(math.Float64bits(min(1, float64(b.spent)/float64(d))))
		b.at.Store(slept)
		b.from, b.spent = slept, 0
	}
}

// recent is the share of the last window; a worker that has written nothing for long is asleep.
func (b *busyTime) recent(now int64) float64 {
	if now-b.at.Load() > 4*busyWindow {
		return 0
	}
	return math.Float64frombits(b.share.Load())
}

// SetEgress gives each worker its egress. To be called before there are doorbells and sources.
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

// IsCore says whether the worker is a core's.
func (w *Worker) IsCore() bool { return w.urgent }

// takeSource serves a source that has become readable.
func (w *Worker) takeSource(slot int) {
	w.Arrivals.Add(1)
	(*w.e.sources.Load())[sourceSlot-slot].Ready(w)
}

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
