package verbs

import "github.com/freeflow-rdma/freeflow/internal/qos"

// Toll is what one message, or one stream of packets, has paid to the gates on its way. Whoever carries it holds it: one goroutine at a time.
type Toll struct {
	Begun bool   // the message itself has been paid for
	UpTo  uint32 // bytes of it that have been paid for

	asked  bool // Pay was called since Drop
	ticket qos.Ticket
	epoch  uint64
}

// Waits reports whether the message waits for a limit, or has until now.
func (t *Toll) Waits() bool { return t.ticket.Open() }

// Drop gives back what the message waits for: it will not go on, or no work is at work.
func (t *Toll) Drop() {
	if t.ticket.Open() {
		t.ticket.Return()
	}
	t.Begun, t.UpTo, t.asked = false, 0, false
}

// Pay asks a chain to let bytes and messages pass on this queue pair's account. Of the bytes a part may be granted. at is not zero if nothing may pass
// before then: the same is to be asked for again, or Drop called. SetParams wakes a queue pair that waits. Any worker, one at a time for a Toll.
func (qp *QP) Pay(t *Toll, now int64, c *qos.Chain, bytes, messages uint64) (granted uint32, at int64) {
	t.asked = true
	for {
		epoch := qp.dev.LimitEpoch()
		if t.ticket.Open() && t.epoch != epoch {
			t.ticket.Return()
		}
		t.epoch = epoch
		g := t.ticket.Ask(now, c, bytes, messages)
		if g.At == 0 {
			if g.Waited > 0 {
				qp.Stats.Limited.Add(uint64(g.Waited))
			}
			return uint32(g.Bytes), 0
		}
		if qp.waits.Load() || qp.waits.CompareAndSwap(false, true) && qp.dev.LimitEpoch() == epoch {
			return 0, g.At
		}
	}
}
