package transport

import (
	"github.com/freeflow-rdma/freeflow/internal/qos"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
	"github.com/freeflow-rdma/freeflow/internal/wire"
)

// Limits of what is sent. A packet is paid for before it is sent for the first time; what is sent again is free, so that a limit is of what arrives
// and not of what a bad network makes of it. The gates are the queue pair's, its container's and its tenant's:
//
//	SEND, WRITE   bytes and message   out of the requester, here
//	READ          the message         out of the requester, here
//	              bytes               out of the responder, in pace_reply.go, and into the requester, which asks for no more than may come
//	atomics       the message         out of the requester, here
//	all           what arrives        into the responder, in pace_arrive.go
//
// A requester that waits for a limit with nothing in flight waits for nobody: its timers stand.
type pace struct {
	toll verbs.Toll // UpTo is what is paid for and not sent
	at   int64      // when more may be sent; 0: no limit holds it back
}

// afford says how many of the k packets from off on of a message may be sent now; 0: none before pace.at. Under mu.
func (c *Conn) afford(env *Env, m *message, off, k uint32) uint32 {
	r := c.req
	if again := r.sent.Diff(r.at); again > 0 {
		return min(k, uint32(again))
	}
	t := &r.pace.toll
	left := m.Length - off*r.mtu
	if !t.Begun || t.UpTo < min(left, r.mtu) {
		var out qos.Chain
		c.qp.Egress(&out)
		if !c.pay(env, &out, left-t.UpTo, !t.Begun) {
			return 0
		}
	}
	if t.UpTo < left {
		k = min(k, t.UpTo/r.mtu) // no less than 1: the least that is granted is a packet
	}
	return k
}

// pay pays for bytes, or some of them, and for the message if it has not begun. False: not before pace.at. Under mu.
func (c *Conn) pay(env *Env, chain *qos.Chain, bytes uint32, begins bool) bool {
	r := c.req
	t := &r.pace.toll
	messages := uint64(0)
	if begins {
		messages = 1
	}
	granted, at := c.qp.Pay(t, env.Now, chain, uint64(bytes), messages)
	if at != 0 {
		r.pace.at = at
		return false
	}
	t.Begun = true
	t.UpTo += granted
	return true
}

// spent notes that k packets from off on were sent for the first time. Under mu.
func (r *requester) spent(m *message, off, k uint32) {
	t := &r.pace.toll
	if off+k == m.packets {
		t.Begun, t.UpTo = false, 0
		return
	}
	t.UpTo -= min(t.UpTo, k*r.mtu)
}

// affordAsk says whether the request for the responses off to off+k of a READ, or for an atomic, may be sent now. Under mu.
func (c *Conn) affordAsk(env *Env, m *message, off, k uint32) bool {
	r := c.req
	if r.at.Diff(r.sent) < 0 {
		return true
	}
	t := &r.pace.toll
	if !t.Begun {
		var out qos.Chain
		c.qp.Egress(&out)
		if !c.pay(env, &out, 0, true) {
			return false
		}
	}
	if m.kind == kindAtomic {
		return true
	}
	bytes := min(k*r.mtu, m.Length-off*r.mtu)
	var in qos.Chain
	c.qp.Ingress(&in)
	for t.UpTo < bytes {
		if !c.pay(env, &in, bytes-t.UpTo, false) {
			return false
		}
	}
	return true
}

// paced reports whether limits are to be looked at. Under mu.
func (c *Conn) paced() bool {
	return c.qp.Limited() || c.req.pace.toll.Waits() || c.req.pace.toll.Begun
}

// idle reports whether the requester waits for nobody, but for a limit. Under mu.
func (r *requester) idle() bool {
	return r.pace.toll.Waits() && r.acked == r.sent && r.reads.n == 0
}

// alive is an acknowledgement of nothing new from a peer that is held back by limits. Under mu.
func (c *Conn) alive(now int64, next wire.PSN) {
	if r := c.req; next == r.acked && r.rtoAt != 0 {
		r.rtoAt = max(r.rtoAt, now+c.interval())
		r.heard = now
	}
}
