package transport

import (
	"github.com/freeflow-rdma/freeflow/internal/engine"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
	"github.com/freeflow-rdma/freeflow/internal/wire"
)

// requester is what a queue pair that has sent something keeps: the work requests taken, and where in their packets it is.
//
//	 oldest message                                 cursor          end of what was taken
//	──┼──────────────┬──────────────┬─────────────────┼───────────────┼──
//	                 acked: the responder has all before
//	                                └── in flight ────┘
//
// PSNs are given to messages when they are taken. A READ's are those of its responses; what of them has come is in the message, and does
// not hold acked back. A cursor that went back (a NAK, a timer) runs over the same messages again.
type requester struct {
	messages
	next  wire.PSN // of the next message to be taken
	at    wire.PSN // cursor: next to be sent
	cur   uint32   // index of the cursor's message; n at the end
	sent  wire.PSN // everything before was sent at least once
	acked wire.PSN
	done  uint32 // index of the first message that is not acked whole

	mtu     uint32
	loaded  uint32 // 1 + slot of the entry in qp.Send.WQE
	acks    bool   // the peer acknowledges: RC, and UC between routers
	replies uint32 // messages that wait for data
	reads   chunks // requests for data that are in flight
	fenced  bool   // the next work request waits for replies
	broken  bool   // the last message taken fails; nothing after it is taken

	cc   congestion
	pace pace
	selective
	timers
	credits
}

// chunks are the PSNs at which the READ and atomic requests in flight end, oldest first.
type chunks struct {
	end  [verbs.MaxRdAtomic]wire.PSN
	head uint8
	n    uint8
}

func (k *chunks) push(p wire.PSN) {
	k.end[(int(k.head)+int(k.n))%len(k.end)] = p
	k.n++
}

// upTo drops those that end at or before p.
func (k *chunks) upTo(p wire.PSN) {
	for k.n > 0 && k.end[k.head].Diff(p) <= 0 {
		k.head = (k.head + 1) % uint8(len(k.end))
		k.n--
	}
}

// back drops those that end after p.
func (k *chunks) back(p wire.PSN) {
	for k.n > 0 && k.end[(int(k.head)+int(k.n)-1)%len(k.end)].Diff(p) > 0 {
		k.n--
	}
}

// answered drops the requests whose answers are all here: the responder remembers no more of them than its limit, for when one is asked for
// again. Under mu.
func (r *requester) answered() {
	if r.reads.n == 0 {
		return
	}
	p := r.acked
	if r.n > 0 {
		if m := r.at0(); m.replied() && m.got < m.packets && m.psn.Add(int(m.got)).Diff(p) < 0 {
			p = m.psn.Add(int(m.got))
		}
	}
	r.reads.upTo(p)
}

// requester gives the requester's state, and makes it with the first work request. Under mu.
func (c *Conn) requester() *requester {
	if c.req == nil {
		r := &requester{next: wire.PSN(c.qp.SentPSN())}
		r.at, r.sent, r.acked = r.next, r.next, r.next
		c.req = r
	}
	return c.req
}

// turn takes and sends work requests until budget, window or output are full. Under mu.
func (c *Conn) turn(env *Env, p *Path, budget int) engine.Verdict {
	r := c.requester()
	r.acks, r.plain, r.pace.at = c.acknowledges(p), p != nil && !p.SACK, 0
	c.adjust(p)
	if c.expired(env, p) {
		return again(c.qp)
	}
	if p != nil && r.n > 0 && r.acks {
		c.repair(env, p)
	}
	full, given := false, budget
	defer func() { env.Used += given - budget }()
	for budget > 0 && !full {
		if r.cur == r.n && !c.take(env) {
			break
		}
		var used int
		used, full = c.send(env, p, budget)
		budget -= max(used, engine.MessageCost)
		if c.retire() {
			return again(c.qp)
		}
	}
	if c.retire() {
		return again(c.qp)
	}
	if c.qp.State() == verbs.StateSQD && r.n == 0 {
		c.qp.Drained()
		return engine.Idle
	}
	if budget <= 0 || env.Out.Room() == 0 && p != nil && r.n > 0 {
		return engine.More
	}
	return engine.Idle
}

// adjust takes the MTU over when nothing is under way.
func (c *Conn) adjust(p *Path) {
	r := c.req
	if r.n > 0 && r.mtu != 0 {
		return
	}
	if mtu := mtuOf(c.qp, p); mtu != r.mtu {
		r.mtu = mtu
		r.cc.start(mtu)
	}
}

// mtuOf gives the payload of a full packet.
func mtuOf(qp *verbs.QP, p *Path) uint32 {
	mtu := uint32(128) << qp.Attr().PathMTU
	for p != nil && p.MTU != 0 && mtu > p.MTU && mtu > 256 {
		mtu /= 2
	}
	return mtu
}

// again asks for another turn if the change of state left something to do.
func again(qp *verbs.QP) engine.Verdict {
	if s := qp.State(); s == verbs.StateError || s == verbs.StateSQE || s == verbs.StateSQD {
		return engine.More
	}
	return engine.Idle
}

// take takes the next work request, if there is one and the order of operations lets it begin. Under mu.
func (c *Conn) take(env *Env) bool {
	r, qp := c.req, c.qp
	if r.broken || qp.State() != verbs.StateRTS {
		return false
	}
	var o verbs.Outstanding
	ok, bad := qp.Take(r.n, &o)
	if !ok {
		return false
	}
	if o.Flags&verbs.SendFence != 0 && r.replies > 0 {
		r.loaded, r.fenced = 0, true
		return false
	}
	r.fenced = false
	env.Began++
	m := r.add()
	*m = message{Outstanding: o, psn: r.next, seq: r.taken}
	r.loaded = o.Slot + 1
	if m.status = begin(qp, m, bad); m.status == verbs.WCSuccess && m.kind == kindLocal {
		m.status = qp.Alone(o.Opcode)
	}
	if m.status != verbs.WCSuccess {
		m.kind, r.broken = kindLocal, true
	}
	if m.kind == kindLocal {
		return true
	}
	m.packets = max(1, (m.Length+r.mtu-1)/r.mtu)
	if m.kind == kindAtomic {
		m.packets = 1
	}
	if m.replied() {
		r.replies++
	}
	if m.takes {
		r.taken++
		m.seq = r.taken
	}
	r.next = m.end()
	qp.Advance(m.packets)
	if r.n == 1 || r.heard == 0 {
		r.arm(env.Now)
	}
	return true
}

// begin checks a new work request as far as it can be checked here (IBTA 10.7.2), sums its length and says what it is.
func begin(qp *verbs.QP, m *message, bad bool) verbs.WCStatus {
	w := &qp.Send.WQE
	if bad || !qp.Type.Permits(m.Opcode) {
		return verbs.WCLocQPOpErr
	}
	sum := uint64(w.InlineLength)
	for i := range w.NumSGE {
		sum += uint64(w.SGE[i].Length)
	}
	if sum > verbs.MaxMessage {
		return verbs.WCLocLenErr
	}
	m.Length = uint32(sum)
	switch m.Opcode {
	case verbs.OpSend, verbs.OpSendImm, verbs.OpSendInv:
		m.kind, m.takes = kindSend, true
	case verbs.OpRDMAWrite, verbs.OpRDMAWriteImm, verbs.OpAtomicWrite:
		m.kind, m.takes = kindWrite, m.Opcode == verbs.OpRDMAWriteImm
	case verbs.OpRDMARead:
		m.kind = kindRead
	case verbs.OpAtomicCmpAndSwp, verbs.OpAtomicFetchAdd:
		m.kind = kindAtomic
	}
	if m.replied() && (m.Flags&verbs.SendInline != 0 || qp.Attr().MaxRdAtomic == 0) {
		return verbs.WCLocQPOpErr
	}
	if m.kind == kindAtomic {
		if m.Length < 8 {
			return verbs.WCLocLenErr
		}
		m.Length = 8
	}
	return verbs.WCSuccess
}

// retire completes what is done, in order. It reports true if a work request failed. Under mu.
func (c *Conn) retire() (failed bool) {
	r, qp := c.req, c.qp
	for r.n > 0 {
		m := r.at0()
		switch {
		case m.status != verbs.WCSuccess:
			c.fail(m, m.status)
			return true
		case m.kind == kindLocal:
			if r.cur == 0 {
				r.cur = 1
			}
		case m.replied():
			if m.got < m.packets && !(m.kind == kindAtomic && m.got == 1) {
				return false
			}
			r.replies--
		case !r.acks:
			if r.at.Diff(m.end()) < 0 {
				return false
			}
		case r.acked.Diff(m.end()) < 0:
			return false
		}
		qp.Finish(&m.Outstanding, verbs.WCSuccess)
		r.drop()
	}
	return false
}

func (r *requester) at0() *message { return r.messages.at(0) }

// drop forgets the oldest message.
func (r *requester) drop() {
	r.pop()
	if r.cur > 0 {
		r.cur--
	}
	if r.done > 0 {
		r.done--
	}
}

// fail completes the oldest work request with an error and takes the queue pair where the specification has it: ERR for RC, SQE for UC
// (IBTA 10.3.1). Under mu.
func (c *Conn) fail(m *message, status verbs.WCStatus) {
	if c.qp.Type == verbs.TypeRC {
		c.qp.Fail()
	} else {
		c.qp.FailSend()
	}
	c.qp.Finish(&m.Outstanding, status)
	c.req.drop()
	c.flushTaken()
}

// failAt fails the message of an index: those before it are done, or else flushed. Under mu.
func (c *Conn) failAt(i uint32, status verbs.WCStatus) {
	if !c.retireBefore(i) {
		c.fail(c.req.at0(), status)
	}
}

// retireBefore completes the first i messages, with a flush error those that are not done. It reports true if one of them failed.
func (c *Conn) retireBefore(i uint32) bool {
	r := c.req
	was := r.n
	if c.retire() {
		return true
	}
	i -= min(i, was-r.n)
	if r.n == 0 {
		return true
	}
	if i > 0 {
		c.qp.Fail()
	}
	for ; i > 0 && r.n > 1; i-- {
		c.qp.Finish(&r.at0().Outstanding, verbs.WCWRFlushErr)
		r.drop()
	}
	return false
}

// flushTaken completes everything taken with a flush error. Under mu.
func (c *Conn) flushTaken() {
	r := c.req
	for r.n > 0 {
		c.qp.Finish(&r.at0().Outstanding, verbs.WCWRFlushErr)
		r.drop()
	}
	r.pace.toll.Drop()
	*r = requester{messages: messages{ring: r.ring}, mtu: r.mtu, cc: r.cc}
	r.next = wire.PSN(c.qp.SentPSN())
	r.at, r.sent, r.acked = r.next, r.next, r.next
}
