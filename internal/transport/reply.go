package transport

import (
	"github.com/freeflow-rdma/freeflow/internal/mem"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
	"github.com/freeflow-rdma/freeflow/internal/wire"
)

// reply is the response to a READ or an atomic, on its way out.
type reply struct {
	psn     wire.PSN // of the next packet
	packets uint32   // still to be sent
	first   bool     // nothing of it was sent
	again   bool     // of a duplicate request
	atomic  bool
	rkey    verbs.RKey
	va      uint64 // of the next byte
	left    uint32 // bytes
	value   uint64 // atomic: what stood there
	msn     uint32
}

// replies are what the responder still has to send, oldest first, and the results of atomics for when they are asked for again.
type replies struct {
	pending pending
	fresh   int // of pending: not of duplicates
	gap     bool
	results []saved // a ring of MaxDestRdAtomic
	next    int
}

// saved is the result of an atomic.
type saved struct {
	psn   wire.PSN
	used  bool
	value uint64
	msn   uint32
}

// pending is a queue that keeps its room.
type pending struct {
	list []reply
	head int
}

func (q *pending) empty() bool { return q.head == len(q.list) }

func (q *pending) push(r *reply) {
	if q.head > 0 && q.head == len(q.list) {
		q.list, q.head = q.list[:0], 0
	}
	q.list = append(q.list, *r)
}

func (q *pending) drop() { q.list, q.head = q.list[:0], 0 }

// maxAgain bounds the responses to duplicate requests that are kept at a time.
const maxAgain = 2 * verbs.MaxRdAtomic

// newRead takes a READ request. The caller holds Resp.
func (c *Conn) newRead(env *Env, a *Arrived) result {
	r, qp, h := &c.resp, c.qp, &a.H
	attr := qp.Attr()
	if attr.MaxDestRdAtomic == 0 || attr.Access&verbs.AccessRemoteRead == 0 || h.Length > verbs.MaxMessage ||
		r.fresh >= int(attr.MaxDestRdAtomic) || len(a.Payload) > 0 {
		return c.invalid(env)
	}
	if h.Length > 0 && qp.RemoteCovers(verbs.RKey(h.RKey), h.VA, int(h.Length), verbs.AccessRemoteRead) != verbs.FaultNone {
		return c.accessError(env)
	}
	x := c.readReply(h)
	r.msn = (r.msn + 1) & 0xffffff
	x.msn = r.msn
	r.pending.push(&x)
	r.fresh++
	qp.Answered(h.Length)
	c.step(x.packets)
	return taken
}

// readReply is the response to a READ request, from its own PSN and range.
func (c *Conn) readReply(h *wire.Header) reply {
	mtu := c.replyMTU()
	return reply{psn: h.PSN, packets: max(1, uint32((uint64(h.Length)+uint64(mtu)-1)/uint64(mtu))), first: true, rkey: verbs.RKey(h.RKey),
		va: h.VA, left: h.Length, msn: c.resp.msn}
}

func (c *Conn) replyMTU() uint32 {
	if c.resp.pathMTU == 0 {
		return mtuOf(c.qp, nil)
	}
	return c.resp.pathMTU
}

// readAgain executes a duplicate READ request. The caller holds Resp.
func (c *Conn) readAgain(env *Env, a *Arrived) {
	r, h := &c.resp, &a.H
	x := c.readReply(h)
	if x.psn.Add(int(x.packets)).Diff(wire.PSN(c.qp.Expected())) > 0 || h.Length > verbs.MaxMessage || len(r.pending.list)-r.pending.head > maxAgain ||
		c.qp.Attr().Access&verbs.AccessRemoteRead == 0 {
		env.Host.Counters.DropPSN.Add(1)
		return
	}
	if h.Length > 0 && c.qp.RemoteCovers(verbs.RKey(h.RKey), h.VA, int(h.Length), verbs.AccessRemoteRead) != verbs.FaultNone {
		env.Host.Counters.DropKey.Add(1)
		return
	}
	for i := r.pending.head; i < len(r.pending.list); i++ {
		if y := &r.pending.list[i]; !y.atomic && y.psn.Diff(x.psn) <= 0 && x.psn.Add(int(x.packets)).Diff(y.psn.Add(int(y.packets))) <= 0 {
			return // it is on its way
		}
	}
	x.again = true
	r.pending.push(&x)
}

// newAtomic does an atomic. It waits until READs before it have been answered, whose data it must not change. The caller holds Resp.
func (c *Conn) newAtomic(env *Env, a *Arrived) result {
	r, qp, h := &c.resp, c.qp, &a.H
	attr := qp.Attr()
	if attr.MaxDestRdAtomic == 0 || h.VA%8 != 0 || attr.Access&verbs.AccessRemoteAtomic == 0 {
		return c.invalid(env)
	}
	if r.fresh > 0 {
		c.stream(env, runPackets)
		if qp.State() == verbs.StateError {
			return dropped
		}
		if r.fresh > 0 {
			return blocked
		}
	}
	at, f := qp.Remote(env.Scratch.A[:0], verbs.RKey(h.RKey), h.VA, 8, verbs.AccessRemoteAtomic)
	if f != verbs.FaultNone {
		return c.accessError(env)
	}
	if len(at) != 1 { // the memory of aligned bytes is never in two pieces, unless iova and address differ by less than 8
		return c.invalid(env)
	}
	var old uint64
	var err error
	if h.Opcode == wire.OpRCCompareSwap {
		old, err = at[0].CompareAndSwap(h.Compare, h.SwapAdd)
	} else {
		old, err = at[0].FetchAdd(h.SwapAdd)
	}
	if err != nil {
		return c.memoryFault(env)
	}
	r.msn = (r.msn + 1) & 0xffffff
	r.save(saved{psn: h.PSN, used: true, value: old, msn: r.msn}, int(attr.MaxDestRdAtomic))
	r.pending.push(&reply{psn: h.PSN, packets: 1, atomic: true, value: old, msn: r.msn})
	r.fresh++
	qp.Answered(8)
	c.step(1)
	return taken
}

func (r *replies) save(s saved, depth int) {
	if len(r.results) < depth {
		r.results = append(make([]saved, 0, depth), r.results...)[:depth]
	}
	r.results[r.next] = s
	r.next = (r.next + 1) % len(r.results)
}

// atomicAgain gives the saved result of a duplicate atomic (IBTA 9.7.5.1.4). The caller holds Resp.
func (c *Conn) atomicAgain(env *Env, a *Arrived) {
	r := &c.resp
	for i := range r.results {
		if s := &r.results[i]; s.used && s.psn == a.H.PSN {
			if len(r.pending.list)-r.pending.head <= maxAgain {
				r.pending.push(&reply{psn: s.psn, packets: 1, atomic: true, again: true, value: s.value, msn: s.msn})
			}
			return
		}
	}
	env.Host.Counters.DropPSN.Add(1)
}

// stream sends responses, at most n packets. The caller holds Resp.
func (c *Conn) stream(env *Env, n int) {
	r := &c.resp
	r.pace.at = 0
	if n = min(n, env.Out.Room()); r.path == nil {
		return
	}
	for n > 0 && !r.pending.empty() {
		x := &r.pending.list[r.pending.head]
		k := min(uint32(n), burst, x.packets)
		if !x.again && c.replyPaced() {
			if k = c.affordReply(env, x, k); k == 0 {
				return
			}
		}
		if x.atomic {
			c.streamAtomic(env, x)
		} else if !c.streamRead(env, x, k) {
			return
		}
		n -= int(k)
		if x.packets == 0 {
			if !x.again {
				r.fresh--
			}
			r.pending.head++
		}
	}
}

// streamAtomic sends the result of an atomic. The caller holds Resp.
func (c *Conn) streamAtomic(env *Env, x *reply) {
	h := &env.h
	c.header(h, x.psn)
	h.Opcode, h.AtomicAck, h.MSN, h.Syndrome = wire.OpRCAtomicAcknowledge, x.value, x.msn, wire.SyndromeAck
	c.out(env, nil, 0)
	x.packets = 0
}

// streamRead sends k packets of a READ response. It reports false if that ended the queue pair. The caller holds Resp.
func (c *Conn) streamRead(env *Env, x *reply, k uint32) bool {
	mtu := c.replyMTU()
	n := min(k*mtu, x.left)
	var spans []mem.Span
	if n > 0 {
		var f verbs.Fault
		spans, f = c.qp.Remote(env.Scratch.A[:0], x.rkey, x.va, int(n), verbs.AccessRemoteRead)
		if f != verbs.FaultNone {
			c.readRevoked(env, x.psn)
			return false
		}
	}
	cut := cutter{spans: spans}
	h := &env.h
	c.header(h, x.psn)
	h.Syndrome, h.MSN = wire.SyndromeAck, x.msn
	for range k {
		last := x.packets == 1
		switch {
		case x.first && last:
			h.Opcode = wire.OpRCRDMAReadResponseOnly
		case x.first:
			h.Opcode = wire.OpRCRDMAReadResponseFirst
		case last:
			h.Opcode = wire.OpRCRDMAReadResponseLast
		default:
			h.Opcode = wire.OpRCRDMAReadResponseMiddle
		}
		size := min(mtu, x.left)
		h.PSN = x.psn
		c.out(env, cut.next(&env.cut, int(size)), int(size))
		x.first = false
		x.psn, x.va, x.left, x.packets = x.psn.Add(1), x.va+uint64(size), x.left-size, x.packets-1
	}
	return true
}

// readRevoked ends the queue pair: a key was revoked under a READ that is being answered. The NAK takes the place of the response. The caller
// holds Resp.
func (c *Conn) readRevoked(env *Env, psn wire.PSN) {
	r := &c.resp
	c.qp.Fail()
	c.qp.Event(verbs.EventQPAccessErr)
	env.Host.Counters.DropKey.Add(1)
	env.Host.Counters.NAKsSent.Add(1)
	r.fatal, r.fatalPSN = wire.SyndromeNAKAccess, psn
	r.kind, r.owed, r.refusal, r.fresh = 0, false, 0, 0
	r.pending.drop()
	r.pace.toll.Drop()
	r.later = false
	c.forgetWaiting(env)
	c.nakAt(env, psn, wire.SyndromeNAKAccess)
}

// out sends a packet of the responder's: env.h and payload. The caller holds Resp.
func (c *Conn) out(env *Env, payload []mem.Span, n int) {
	r := &c.resp
	if r.becn {
		env.h.BECN, r.becn = true, false
		env.Host.Counters.CNPsSent.Add(1)
	}
	env.Out.Packet(r.path, c.qp, &env.h, payload, n, false)
}

// nak answers the expected packet. The caller holds Resp.
func (c *Conn) nak(env *Env, syndrome uint8) { c.nakAt(env, wire.PSN(c.qp.Expected()), syndrome) }

func (c *Conn) nakAt(env *Env, psn wire.PSN, syndrome uint8) {
	if c.resp.path == nil {
		return
	}
	h := &env.h
	c.header(h, psn)
	h.Opcode, h.Syndrome, h.MSN = wire.OpRCAcknowledge, syndrome, c.resp.msn
	c.out(env, nil, 0)
}

// acknowledge sends what is owed: one acknowledgement of everything so far, with what has arrived beyond. The caller holds Resp.
func (c *Conn) acknowledge(env *Env) {
	r := &c.resp
	if !r.owed && r.refusal == 0 || r.fresh > 0 || r.path == nil || env.Out.Room() <= 0 {
		return
	}
	r.owed = false
	if s := r.refusal; s != 0 {
		r.refusal = 0
		r.said, r.saidPSN = true, wire.PSN(c.qp.Expected()).Add(-1)
		if s == wire.SyndromeNAKSequence {
			env.Host.Counters.NAKsSent.Add(1)
		} else {
			env.Host.Counters.RNRsSent.Add(1)
		}
		c.nak(env, s)
		return
	}
	h := &env.h
	c.header(h, wire.PSN(c.qp.Expected()).Add(-1))
	h.Opcode, h.Syndrome, h.MSN = wire.OpRCAcknowledge, syndrome(c.qp), r.msn
	if r.later = false; !r.holds.empty() && !c.release(env, h) {
		return
	}
	if c.sack && !r.later {
		c.told.note(h)
	}
	if gap := r.waiting == 0 && r.wait.n > 0; c.sack && (gap || c.qp.Type == verbs.TypeUC) {
		h.Opcode, h.SACK = wire.OpFFAck, wire.SACK{}
		if gap {
			h.SACK = r.wait.bitmap()
		}
	}
	r.said, r.saidPSN = true, h.PSN
	c.out(env, nil, 0)
}
