package transport

import (
	"sync/atomic"

	"github.com/freeflow-rdma/freeflow/internal/verbs"
	"github.com/freeflow-rdma/freeflow/internal/wire"
)

// told is the acknowledgement that the responder gave last, for the requester to send along with what the program says in answer.
//
// An acknowledgement and an answer leave by different workers and arrive at different ones: the answer may be taken first. Programs expect
// the completion of what they sent before the answer to it, as a NIC has it, and some have room for one completion only. So what takes a
// receive of a router's brings the acknowledgement with it, and that is taken first.
type told struct {
	last atomic.Uint64 // packed; 0: none
	rode uint64        // what was sent along last; under mu
}

const toldValid = 1 << 63

func (t *told) forget() {
	t.last.Store(0)
	t.rode = 0
}

// note keeps an acknowledgement that is about to be sent, before the program sees what it acknowledges. The caller holds Resp.
func (t *told) note(h *wire.Header) {
	t.last.Store(toldValid | uint64(h.Syndrome)<<48 | uint64(h.MSN)<<24 | uint64(h.PSN))
}

// ride puts it into a packet, if it is news. Under mu.
func (t *told) ride(h *wire.Header) {
	v := t.last.Load()
	if v == t.rode {
		return
	}
	t.rode = v
	h.Rider = wire.Rider{OK: true, Syndrome: uint8(v >> 48), MSN: uint32(v>>24) & uint32(wire.PSNMask), PSN: wire.PSN(v) & wire.PSNMask}
}

// ridden takes an acknowledgement that came with a request, and shows what it completes.
func (c *Conn) ridden(env *Env, x *wire.Rider) (again bool) {
	c.mu.Lock()
	st := c.qp.State()
	if r := c.req; r != nil && r.n > 0 && r.acks && (st == verbs.StateRTS || st == verbs.StateSQD) && wire.IsAck(x.Syndrome) &&
		x.PSN.Add(1).Diff(r.acked) > 0 {
		h := wire.Header{Opcode: wire.OpRCAcknowledge, PSN: x.PSN, Syndrome: x.Syndrome, MSN: x.MSN}
		again = c.acknowledged(env, &h)
		again = c.retire() || again
		again = again || r.fenced && r.replies == 0 || r.n == 0 && st == verbs.StateSQD
	}
	n := c.qp.PublishSend()
	c.mu.Unlock()
	n.Send()
	return again
}
