package local

import (
	"github.com/freeflow-rdma/freeflow/internal/engine"
	"github.com/freeflow-rdma/freeflow/internal/pcap"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
)

// Carrier is verbs.Carrier for peers on the same host. It has no state of its own.
type Carrier struct {
	Away Away      // nil: there are no other hosts
	Tap  *pcap.Tap // where messages are shown to whoever captures; may be nil
}

// Away carries what a UD queue pair sends to other hosts and gets from them; a connected queue pair is wholly here or there.
type Away interface {
	// Datagram sends the current work request. Idle: it is sent, or failed with the status. More: there is no room now. Wait: not
	// before the item's WakeAt.
	Datagram(w *engine.Worker, qp *verbs.QP, av *verbs.AHAttr) (verbs.WCStatus, engine.Verdict)
	// Idle is the turn of a queue pair that has nothing to send.
	Idle(w *engine.Worker, qp *verbs.QP) engine.Verdict
}

// Open is verbs.Carrier's: there is nothing to keep.
func (Carrier) Open(*verbs.QP) {}

// Reset is verbs.Carrier's.
func (Carrier) Reset(*verbs.QP) {}

// flushBatch bounds the flush completions of one turn.
const flushBatch = 256

// Run lets a queue pair carry about budget bytes.
func (c Carrier) Run(w *engine.Worker, qp *verbs.QP, budget int) engine.Verdict {
	if qp.Cut() {
		sever(qp)
	}
	switch qp.State() {
	case verbs.StateRTS:
		return c.run(w, qp, budget)
	case verbs.StateSQD:
		if qp.Send.Active && qp.Send.Peer != nil {
			return c.run(w, qp, budget) // a message that has begun is finished first
		}
		qp.Drained()
		return engine.Idle
	case verbs.StateSQE:
		return flushSend(qp)
	case verbs.StateError:
		return flushAll(w, qp)
	case verbs.StateRTR:
		return c.lonely(w, qp)
	}
	return engine.Idle
}

// run takes work requests one after the other, in bursts.
func (c Carrier) run(w *engine.Worker, qp *verbs.QP, budget int) engine.Verdict {
	messages, most := 0, min(budget, slice)
	defer func() { w.Did(&qp.Item, messages) }()
	for budget > 0 {
		b := burst{c: c, w: w, qp: qp, slice: most}
		v := b.run(min(budget, burstBudget))
		b.let()
		messages += b.messages
		budget -= b.used
		qp.Used += b.used
		if v != engine.More || b.stalled {
			return v
		}
		if s := qp.State(); s != verbs.StateRTS {
			return again(qp)
		}
	}
	return engine.More
}

// burstBudget ends a burst, so that its first completion does not wait for long: MaxBurst small messages, or one big slice.
const burstBudget = verbs.MaxBurst * engine.MessageCost

// burst is some work requests in a row that are completed together. It keeps the responder's lock from one to the next.
type burst struct {
	c        Carrier
	w        *engine.Worker
	qp       *verbs.QP
	held     *verbs.QP // the responder whose Resp is held
	used     int       // of the budget
	slice    int       // the most that a big message moves at once
	messages int
	found    uint64 // by the last atomic operation
	stalled  bool   // there is no room on the way to other hosts
	limited  bool   // the queue pair or held has limits
}

// run carries work requests until the budget is used. More: there may be more to do.
func (b *burst) run(budget int) engine.Verdict {
	qp := b.qp
	for b.used < budget {
		if !qp.Send.Active {
			ok, bad := qp.Next()
			if !ok {
				b.let() // it may be the responder itself that is held: a queue pair hears what it sends to its own group
				return b.c.lonely(b.w, qp)
			}
			if status := begin(qp, bad); status != verbs.WCSuccess {
				fail(qp, status)
				return again(qp)
			}
		}
		used, wait := b.step()
		if wait {
			return engine.Wait
		}
		if b.stalled {
			return engine.More
		}
		if !qp.Send.Active {
			b.messages++
		}
		b.used += max(used, engine.MessageCost)
		if qp.State() != verbs.StateRTS {
			return again(qp)
		}
	}
	return engine.More
}

// hold takes the responder's lock, unless the burst has it already.
func (b *burst) hold(peer *verbs.QP) {
	if b.held != peer {
		b.let()
		peer.Resp.Lock()
		b.held = peer
		b.limited = b.qp.Limited() || peer.Limited() || b.qp.Send.Toll.Waits()
	}
}

// let shows the completions of both sides, in the order that package verbs asks for, and gives the responder's lock back.
func (b *burst) let() {
	var notice verbs.Notice
	if b.held != nil {
		notice = b.held.PublishRecv()
		b.held.Resp.Unlock()
		b.held = nil
	}
	b.qp.Publish()
	notice.Send()
}

// again asks for another turn if the change of state left something to do.
func again(qp *verbs.QP) engine.Verdict {
	if s := qp.State(); s == verbs.StateError || s == verbs.StateSQE || s == verbs.StateSQD {
		return engine.More
	}
	return engine.Idle
}

// fail completes the current work request with an error and takes the queue pair where the specification has it:
// ERR for RC, SQE for UC and UD (IBTA 10.3.1).
func fail(qp *verbs.QP, status verbs.WCStatus) {
	if qp.Type == verbs.TypeRC {
		qp.Fail()
	} else {
		qp.FailSend()
	}
	qp.Complete(status)
}

// sever ends a connection whose right to talk was taken away, as if its peer had died and the retries were used up.
func sever(qp *verbs.QP) {
	st := qp.State()
	if st < verbs.StateRTR || st == verbs.StateError {
		return
	}
	has := qp.Send.Active
	if !has && st == verbs.StateRTS {
		has, _ = qp.Next()
	}
	first := qp.Fail()
	if has {
		qp.Complete(verbs.WCRetryExcErr)
		qp.Publish()
	} else if first {
		qp.Event(verbs.EventQPFatal)
	}
}

func flushSend(qp *verbs.QP) engine.Verdict {
	if qp.FlushSend(flushBatch) == flushBatch {
		return engine.More
	}
	return engine.Idle
}

// flushAll empties both queues of a queue pair in error, and looks again now and then: receives are posted without a doorbell.
func flushAll(w *engine.Worker, qp *verbs.QP) engine.Verdict {
	s, r := qp.FlushSend(flushBatch), qp.FlushRecv(flushBatch)
	if s == flushBatch || r == flushBatch {
		return engine.More
	}
	if next := &qp.Send.FlushWait; s+r > 0 || *next == 0 {
		*next = flushFirst
	} else {
		*next = min(2**next, flushLast)
	}
	qp.WakeAt = w.Now() + qp.Send.FlushWait
	return engine.Wait
}

// lonely is a queue pair with nothing to send. If its peer's process died it goes to error when the retry time is over, so
// that a program that only waits for messages hears of it.
func (c Carrier) lonely(w *engine.Worker, qp *verbs.QP) engine.Verdict {
	if qp.Type == verbs.TypeUD && c.Away != nil {
		return c.Away.Idle(w, qp)
	}
	if !qp.PeerGone() || qp.Type != verbs.TypeRC {
		return engine.Idle
	}
	s := &qp.Send
	if s.GoneBy == 0 {
		s.GoneBy = w.Now() + retryTime(qp.Attr())
	}
	if w.Now() < s.GoneBy {
		qp.WakeAt = s.GoneBy
		return engine.Wait
	}
	s.GoneBy = 0
	if qp.Fail() {
		qp.Event(verbs.EventQPFatal)
	}
	return engine.More
}
