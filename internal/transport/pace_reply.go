package transport

import (
	"github.com/freeflow-rdma/freeflow/internal/qos"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
	"github.com/freeflow-rdma/freeflow/internal/wire"
)

// Limits of what a responder sends: the data of READs. While it is held back, a router tells the other that it is alive.
type replyPace struct {
	toll verbs.Toll // UpTo is what is paid for and not sent
	at   int64      // when more may be sent; 0: no limit holds it back
}

// affordReply says how many of the next k packets of a response may be sent now; 0: none before pace.at. A response acknowledges what came before
// the request, so it waits until that may be acknowledged. The caller holds Resp.
func (c *Conn) affordReply(env *Env, x *reply, k uint32) uint32 {
	r := &c.resp
	if at := r.holds.last(); at > env.Now {
		r.pace.at = at
		return 0
	}
	mtu, t := c.replyMTU(), &r.pace.toll
	if x.atomic || x.left == 0 {
		return k
	}
	if t.UpTo < min(mtu, x.left) {
		var out qos.Chain
		c.qp.Egress(&out)
		granted, at := c.qp.Pay(t, env.Now, &out, uint64(x.left-t.UpTo), 0)
		if at != 0 {
			r.pace.at = at
			return 0
		}
		t.UpTo += granted
	}
	if t.UpTo < x.left {
		k = min(k, t.UpTo/mtu)
	}
	t.UpTo -= min(k*mtu, x.left, t.UpTo)
	return k
}

// replyPaced reports whether limits are to be looked at before a response is sent. The caller holds Resp.
func (c *Conn) replyPaced() bool {
	t := &c.resp.pace.toll
	return c.qp.Limited() || t.Waits() || t.UpTo != 0 || !c.resp.holds.empty()
}

// excuse keeps a peer that waits for a response from asking for it again. It gives the time of the next look. The caller holds Resp.
func (c *Conn) excuse(env *Env) (wake int64) {
	r := &c.resp
	if !c.sack || r.pending.empty() || r.pace.at-env.Now <= tellEvery {
		return r.pace.at
	}
	if env.Now-r.toldAt >= tellEvery && env.Out.Room() > 0 {
		r.toldAt = env.Now
		h := &env.h
		c.header(h, r.pending.list[r.pending.head].psn.Add(-1))
		h.Opcode, h.Syndrome, h.MSN = wire.OpRCAcknowledge, syndrome(c.qp), r.msn
		c.out(env, nil, 0)
	}
	return min(r.pace.at, env.Now+tellEvery)
}
