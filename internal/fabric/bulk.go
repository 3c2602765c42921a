package fabric

import "github.com/freeflow-rdma/freeflow/internal/engine"

// Bulk. A packet is handled on the core that it arrives at, which is best while few come: nobody is woken on another core. But what
// comes in bulk keeps that core busy with receiving, beside the interrupts that bring it (and, where both hosts are one machine, beside
// the sender), while another core has nothing to do. So an inlet through which bulk comes is handed to the idlest
// core's worker, and goes home when the bulk has passed. And a queue pair that sends bulk goes on where it is: the acknowledgements, which
// come to the other core then, do not take it there.
const (
	bulkWindow = 2_000_000 // ns over which an inlet's bytes are counted
	bulkBytes  = 1 << 20   // in it: 4 Gbit/s
	idleBelow  = 0.5       // of its time, a worker that takes an inlet over is busy at most
	bulkBurst  = 8         // packets queued in one turn make a queue pair one that sends bulk
)

// gauge counts what comes in by an inlet.
type gauge struct {
	since int64
	bytes int
}

// settle counts what came and lets another worker look after the inlet if that is better. The last of Ready.
func (in *inlet) settle(w *engine.Worker, bytes int) {
	g := &in.gauge
	g.bytes += bytes
	d := w.Now() - g.since
	if d < bulkWindow {
		return
	}
	rate := int(int64(g.bytes) * bulkWindow / d)
	g.since, g.bytes = w.Now(), 0
	to := w.Index()
	switch {
	case to != in.home && rate < bulkBytes/4:
		to = in.home
	case to == in.home && rate >= bulkBytes:
		if core, busy := w.Idlest(); busy < idleBelow {
			to = core
		}
	}
	if to != w.Index() {
		in.c.Counters.Handovers.Add(1)
		in.turn.Add(1)
		w.HandOver(in.watched, to)
	}
}

// noteBulk remembers after a turn whether and where the queue pair sends bulk.
func (l *link) noteBulk(w *engine.Worker, packets int) {
	on := int32(0)
	if packets >= bulkBurst && w.IsCore() {
		on = int32(w.Index()) + 1
	}
	if l.bulkOn.Load() != on && (on != 0 || packets > 0) {
		l.bulkOn.Store(on)
	}
}

// wake lets a queue pair run that has something to do after packets came for it.
func (in *inlet) wake(w *engine.Worker, l *link, it *engine.Item) {
	if core := int(l.bulkOn.Load()) - 1; core >= 0 && core != w.Index() {
		w.ScheduleOn(core, it)
		return
	}
	w.Schedule(it)
}
