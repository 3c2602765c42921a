package engine

import (
	"golang.org/x/sys/unix"
)

// realtimePriority is below the kernel's own threads' (50), above every ordinary program's.
const realtimePriority = 10

// settle gives the worker's thread its core and priority. What the machine refuses is logged once and done without.
func (w *Worker) settle() {
	if w.cpu >= 0 {
		var set unix.CPUSet
		set.Set(w.cpu)
		if err := unix.SchedSetaffinity(0, &set); err != nil {
			w.e.log.Warn("worker cannot be bound to its core", "worker", w.Name, "err", err)
		}
	}
	if !w.realtime {
		return
	}
	attr := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: realtimePriority}
	if err := unix.SchedSetAttr(0, &attr, 0); err != nil {
		w.e.log.Warn("worker has no real-time priority (needs CAP_SYS_NICE); latency will suffer", "worker", w.Name, "err", err)
	}
}
