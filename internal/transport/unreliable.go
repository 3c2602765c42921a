package transport

import (
	"github.com/freeflow-rdma/freeflow/internal/verbs"
	"github.com/freeflow-rdma/freeflow/internal/wire"
)

// unreliable takes one packet of a UC queue pair (IBTA 9.8.2). A message with a gap is lost; the next first packet begins anew. The caller holds Resp.
func (c *Conn) unreliable(env *Env, a *Arrived, info *wire.Info) {
	r, qp := &c.resp, c.qp
	if r.waiting != 0 { // everything behind a message that waits waits too
		if d := a.H.PSN.Diff(wire.PSN(qp.Expected())); d < 0 || d > wire.SACKBits || r.wait.get(int(d)) != nil || !c.keep(env, a, int(d)) {
			env.Host.Counters.DropNoRecv.Add(1)
		}
		return
	}
	if r.wait.n > 0 {
		c.forgetWaiting(env) // of a time when the peer was a router
	}
	if d := a.H.PSN.Diff(wire.PSN(qp.Expected())); d != 0 {
		env.Host.Counters.DropPSN.Add(1)
		r.kind = 0
		if d < 0 && !info.First {
			return
		}
		qp.Expect(uint32(d) & uint32(wire.PSNMask))
	}
	if info.First {
		r.kind = 0
	}
	if info.First && qp.Limited() && c.flood(env) || !info.First && r.kind == 0 {
		qp.Expect(1)
		return // of a message that is lost
	}
	switch c.execute(env, a) {
	case blocked:
		if c.keep(env, a, 0) {
			r.waiting = env.Now
			env.Host.Counters.Parked.Add(1)
		}
	case dropped:
		qp.Expect(1)
	}
}

// UC between routers. Nothing in the specification forbids to lose less than it allows, and a network without a lossless class loses
// what a burst of unacknowledged packets does to its queues. So the packets of UC are acknowledged (OpFFAck), kept in order and sent again
// like RC's, and the window and the credits hold the sender back. What stays UC's: a message that its responder does not take is
// dropped without a word, and a peer that is silent is given up without one.

// acknowledges says whether the peer acknowledges what is sent to it.
func (c *Conn) acknowledges(p *Path) bool {
	return c.qp.Type == verbs.TypeRC || c.qp.Type == verbs.TypeUC && p != nil && p.SACK && !p.Gone
}

// assured takes one packet of a UC queue pair from a router. The caller holds Resp.
func (c *Conn) assured(env *Env, a *Arrived, info *wire.Info) {
	r, qp := &c.resp, c.qp
	d := a.H.PSN.Diff(wire.PSN(qp.Expected()))
	if !r.met && info.First && (d < 0 || d > wire.SACKBits) { // the two programs need not agree where to begin (IBTA 9.8.2.2.1)
		c.forgetWaiting(env)
		qp.Expect(uint32(d) & uint32(wire.PSNMask))
		d = 0
	}
	switch {
	case d == 0 && r.waiting == 0:
		r.met = true
		switch c.executeKept(env, a) {
		case blocked:
			if r.waiting = env.Now; !c.keep(env, a, 0) {
				c.giveUp(env)
			}
			env.Host.Counters.Parked.Add(1)
		default:
			if r.wait.n > 0 {
				c.drain(env)
			}
		}
	case d < 0:
		env.Host.Counters.Duplicates.Add(1)
		r.owed = true
	default:
		c.early(env, a, int(d))
	}
}

// executeKept does the expected packet; of UC between routers what is refused is passed over. The caller holds Resp.
func (c *Conn) executeKept(env *Env, a *Arrived) result {
	r := &c.resp
	if c.qp.Type != verbs.TypeUC || !c.sack {
		return c.execute(env, a)
	}
	info := a.H.Opcode.Info()
	if info.First {
		r.kind = 0
	}
	if info.First || r.kind != 0 {
		if res := c.execute(env, a); res != dropped {
			r.passed = r.passed && res != taken
			return res
		}
	}
	if c.qp.State() == verbs.StateError {
		return dropped
	}
	r.kind, r.owed = 0, r.owed || a.H.AckReq
	c.step(1)
	return taken
}

// passOver drops the message that waits for a receive, and goes on with what is behind it. The caller holds Resp.
func (c *Conn) passOver(env *Env) {
	r := &c.resp
	env.Host.Counters.DropNoRecv.Add(1)
	if k := r.wait.get(0); k != nil {
		r.owed = r.owed || k.a.H.AckReq
		defer env.Host.pool.put(k)
	}
	r.kind, r.waiting, r.passed = 0, 0, true
	c.step(1)
	c.drain(env)
}
