package orchestrator

import (
	"maps"
	"slices"

	pb "github.com/freeflow-rdma/freeflow/api/freeflow/v1"
)

// denials makes few events of many refusals. The first of a kind is an event at once; those that follow within a minute
// share one, written when the minute is over, with their count. Whatever strangers do, there are at most burst events at
// once and one a second after that, and at most maxDenials kinds are remembered: the others are one kind. No refusal goes
// uncounted. Pure: the time is an argument, ns.
type denials struct {
	open   map[denialKey]*pb.AuditEvent // what has not been written, by kind; Count 0: nothing since the first
	until  map[denialKey]int64          // when it is to be written
	budget int64                        // ns: an event costs a second
	last   int64
}

type denialKey struct{ actor, source, action, kind, object, reason string }

const (
	denialWindow = int64(60e9)
	denialCost   = int64(1e9)
	denialBurst  = 20 * denialCost
	maxDenials   = 256
)

func keyOf(e *pb.AuditEvent) denialKey {
	return denialKey{e.Actor, e.Source, e.Action, e.Kind, e.Object, e.Reason}
}

// add counts a refusal, and returns the event to write now, or nil.
func (d *denials) add(e *pb.AuditEvent, now int64) *pb.AuditEvent {
	if d.open == nil {
		d.open, d.until = make(map[denialKey]*pb.AuditEvent), make(map[denialKey]int64)
		d.budget, d.last = denialBurst, now
	}
	key := keyOf(e)
	held := d.open[key]
	if held == nil && len(d.open) >= maxDenials {
		e = &pb.AuditEvent{Actor: "several", Action: e.Action, Reason: "many kinds of refusals at once", Result: e.Result, Count: e.Count, Time: e.Time}
		key = keyOf(e)
		held = d.open[key]
	}
	if held != nil {
		hold(held, e)
		return nil
	}
	held = clone(e)
	d.open[key], d.until[key] = held, now+denialWindow
	if !d.spend(now) {
		held.First = e.Time
		return nil
	}
	held.Count = 0
	return clone(e)
}

// hold adds a refusal to those that share an event.
func hold(held, e *pb.AuditEvent) {
	if held.Count == 0 {
		held.First = e.Time
	}
	held.Count += e.Count
	held.Time = max(held.Time, e.Time)
}

// again takes an event back that could not be written now.
func (d *denials) again(e *pb.AuditEvent) {
	if held := d.open[keyOf(e)]; held != nil {
		first := e.Time
		hold(held, e)
		held.First = min(held.First, first)
	}
}

// spend says whether there may be one more event now.
func (d *denials) spend(now int64) bool {
	d.budget = min(denialBurst, d.budget+max(0, now-d.last))
	d.last = max(d.last, now)
	if d.budget < denialCost {
		return false
	}
	d.budget -= denialCost
	return true
}

// due are the events whose minute is over, the earliest first.
func (d *denials) due(now int64) []*pb.AuditEvent {
	var list []*pb.AuditEvent
	for _, key := range slices.Collect(maps.Keys(d.open)) {
		if d.until[key] > now {
			continue
		}
		if e := d.open[key]; e.Count > 0 {
			list = append(list, e)
		}
		delete(d.open, key)
		delete(d.until, key)
	}
	slices.SortFunc(list, func(a, b *pb.AuditEvent) int { return int(min(max(a.First-b.First, -1), 1)) })
	return list
}
