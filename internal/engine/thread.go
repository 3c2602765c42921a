package engine

import (
	"golang.org/x/sys/unix"
)

// A worker's share of its core: a short slice, which since Linux 6.12 lets a thread that wakes up preempt one with a longer
// slice at once, and for an urgent worker the least nice there is. Real-time priority does the same, but a real-time thread that waits for another
// thread of the Go runtime on its core, as garbage collection has it do, keeps that from running (docs/design/0002).
const (
	urgentNice  = -20
	workerSlice = 100_000 // ns
)

// checkThread is how long in ns a worker may run on another thread than the one that has its core and priority.
const checkThread = 50_000

// settle gives the worker's thread its core and priority, now and whenever the Go scheduler has moved the worker to another.
//
// The worker is not locked to its thread. The scheduler interrupts every goroutine that has run for 10 ms; a locked one
// then waits until two other threads have passed its P on, which takes milliseconds where the cores are busy. One that is not
// locked goes on at once where it was, all but always.
func (w *Worker) settle() {
	tid := unix.Gettid()
	w.checkedAt = w.now
	if tid == w.tid {
		return
	}
	old := w.tid
	w.tid = tid
	if old != 0 {
		w.apply(old, -1, false)
	}
	w.apply(tid, w.cpu, w.urgent)
	// Timers of ordinary threads may be 50 µs late by default. Left behind on a thread that the worker leaves, this does no harm.
	if err := unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0); err != nil {
		w.complain("worker cannot have exact timers", err)
	}
}

// unsettle makes the worker's thread like any other again.
func (w *Worker) unsettle() {
	tid := w.tid
	w.tid = 0
	w.apply(tid, -1, false)
}

// apply binds a thread to a core, or to all for -1, and sets its priority. What the machine refuses is logged once and done without.
func (w *Worker) apply(tid, cpu int, urgent bool) {
	set := w.e.allowed
	if cpu >= 0 {
		set.Zero()
		set.Set(cpu)
	}
	if err := unix.SchedSetaffinity(tid, &set); err != nil {
		w.complain("worker cannot be bound to its core", err)
	}
	attr := unix.SchedAttr{Size: unix.SizeofSchedAttr}
	if tid == w.tid {
		attr.Runtime = workerSlice
	}
	if urgent {
		attr.Nice = urgentNice
	}
	if err := unix.SchedSetAttr(tid, &attr, 0); err != nil && urgent {
		w.complain("worker cannot go before other programs (needs CAP_SYS_NICE); latency will suffer", err)
	}
}

func (w *Worker) complain(what string, err error) {
	if !w.complained {
		w.complained = true
		w.e.log.Warn(what, "worker", w.Name, "err", err)
	}
}
