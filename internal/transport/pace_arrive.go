package transport

import (
	"github.com/freeflow-rdma/freeflow/internal/qos"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
	"github.com/freeflow-rdma/freeflow/internal/wire"
)

// Limits of what arrives. Nothing that has come is dropped or kept: it is booked, and acknowledged when it would have been let in. The window of
// the sender, wherever it is and whatever it is, then makes the rate what the limit says. Between routers marks make the window smaller
// where more waits than the limit brings in a moment, so that little is in memory before its time; and acknowledgements of nothing new say that
// nobody is dead. Where the program answers, the answer brings the acknowledgement along for as long as that is no way around the limit.
const (
	holdStep  = 50_000      // ns between two acknowledgements that are held
	holdMark  = 2_000_000   // ns: more than this behind, and the sender is told to have less in flight
	floodLast = 100_000_000 // ns: datagrams and messages that nobody acknowledges, and that are further behind than this, are dropped
	pauseMost = 50_000_000  // ns: the longest that the sender of datagrams is told to pause
)

// hold is packets that are not acknowledged yet: from psn on, up to those of the next.
type hold struct {
	psn wire.PSN
	msn uint32 // before them
	due int64  // of the last
}

// holds is a queue of them.
type holds struct {
	list []hold
	head int
}

func (q *holds) empty() bool { return q.head == len(q.list) }

// last is when all may be acknowledged; 0: now.
func (q *holds) last() int64 {
	if q.empty() {
		return 0
	}
	return q.list[len(q.list)-1].due
}

// first is the oldest that may not be acknowledged yet; nil: there is none.
func (q *holds) first(now int64) *hold {
	for !q.empty() {
		if h := &q.list[q.head]; h.due > now {
			return h
		}
		q.head++
	}
	q.list, q.head = q.list[:0], 0
	return nil
}

// push adds a packet.
func (q *holds) push(h hold) {
	if n := len(q.list); !q.empty() && (h.due-q.list[n-1].due < holdStep && n-q.head > 1 || n-q.head >= windowSlots) {
		q.list[n-1].due = max(h.due, q.list[n-1].due)
		return
	}
	if q.head > windowSlots {
		q.list = q.list[:copy(q.list, q.list[q.head:])]
		q.head = 0
	}
	q.list = append(q.list, h)
}

func (q *holds) drop() { q.list, q.head = nil, 0 }

// letIn books a packet of a SEND or WRITE that has been taken. psn is its own. The caller holds Resp.
func (c *Conn) letIn(env *Env, psn wire.PSN, n int, last bool) {
	r := &c.resp
	var in qos.Chain
	c.qp.Ingress(&in)
	messages := uint64(0)
	if last {
		messages = 1
	}
	due := in.Book(env.Now, uint64(n), messages)
	if due <= env.Now || c.qp.Type == verbs.TypeUC && !c.sack {
		return
	}
	if r.holds.empty() {
		r.heldFrom = env.Now
	}
	r.holds.push(hold{psn: psn, msn: r.msn, due: due})
	if due-env.Now > holdMark && c.sack {
		r.becn = true
	}
}

// flood reports whether something that nobody acknowledges is so far over a limit that it is dropped. The caller holds Resp.
func (c *Conn) flood(env *Env) bool {
	var in qos.Chain
	c.qp.Ingress(&in)
	if in.Behind(env.Now) <= floodLast {
		return false
	}
	c.qp.Stats.Dropped.Add(1)
	return true
}

// release makes h, an acknowledgement of all that has come, one of what is before the first packet that is held. False: the peer knows that, and has
// heard of us. The caller holds Resp.
func (c *Conn) release(env *Env, h *wire.Header) bool {
	r := &c.resp
	x := r.holds.first(env.Now)
	if x == nil || r.wait.n > 0 && r.waiting == 0 { // of a gap the peer hears at once
		return true
	}
	r.later = true
	near := r.holds.last()-env.Now <= holdMark
	if c.sack && near {
		c.told.note(h) // an answer may say so
	}
	psn := x.psn.Add(-1)
	if r.said && psn.Diff(r.saidPSN) < 0 {
		psn = r.saidPSN // of a gap, or a NAK
	}
	if r.said && psn == r.saidPSN && (!c.sack || env.Now-max(r.toldAt, r.heldFrom) < tellEvery) {
		return false
	}
	h.PSN, h.MSN, r.toldAt = psn, x.msn, env.Now
	if c.sack && !near {
		c.told.note(h)
	}
	return true
}

// heldUntil is when to look again at what is held; 0: nothing is. The caller holds Resp.
func (c *Conn) heldUntil(env *Env) int64 {
	x := c.resp.holds.first(env.Now)
	if x == nil {
		return 0
	}
	if c.sack {
		return min(x.due, max(c.resp.toldAt, c.resp.heldFrom)+tellEvery)
	}
	return x.due
}

// slower tells the sender of a datagram, if it is a router's, for how long not to send. The caller holds Resp.
func (c *Conn) slower(env *Env, p *Path, a *Arrived, due int64) {
	r := &c.resp
	if p == nil || !p.SACK || due-env.Now < crowdEvery || env.Now-r.toldAt < crowdEvery || env.Out.Room() <= 0 {
		return
	}
	r.toldAt = env.Now
	h := &env.h
	*h = wire.Header{Opcode: wire.OpCNP, PKey: 0xffff, MigReq: true, BECN: true, DestQP: a.H.SrcQP, PSN: wire.PSN(min(due-env.Now, pauseMost) / 1000)}
	env.Host.Counters.CNPsSent.Add(1)
	env.Out.Packet(p, c.qp, h, nil, 0, false)
}
