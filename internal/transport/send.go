package transport

import (
	"github.com/freeflow-rdma/freeflow/internal/engine"
	"github.com/freeflow-rdma/freeflow/internal/ring"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
	"github.com/freeflow-rdma/freeflow/internal/wire"
)

// ackEvery: a packet whose PSN ends in as many ones asks for an acknowledgement, so that the window moves inside big messages.
const ackEvery = 15

// burst is the most packets for which memory is looked up at once.
const burst = 32

// inFlight is the number of packets that are on their way, as far as is known. Under mu.
func (r *requester) inFlight() int { return int(r.at.Diff(r.acked)) - r.sacked }

// room is how many packets may be sent now. Under mu.
func (c *Conn) room(env *Env) int {
	r := c.req
	room := env.Out.Room()
	if !r.acks {
		return room
	}
	room = min(room, r.cc.window()-r.inFlight(), wire.SACKBits-int(r.at.Diff(r.acked)))
	return room
}

// send sends packets of the cursor's message. full says that no more can be sent now. Under mu.
func (c *Conn) send(env *Env, p *Path, budget int) (used int, full bool) {
	r := c.req
	if r.cur == r.n {
		return 0, false
	}
	m := r.messages.at(r.cur)
	if m.kind == kindLocal {
		if m.status != verbs.WCSuccess {
			return 0, true
		}
		r.cur++
		return 0, false
	}
	if p == nil || p.Gone || env.Now < r.rnrUntil {
		return 0, c.qp.Type == verbs.TypeRC || c.vanish(m)
	}
	room := c.room(env)
	if room <= 0 {
		return 0, true
	}
	off := uint32(r.at.Diff(m.psn))
	if m.replied() {
		return c.ask(env, p, m, off)
	}
	if off == 0 && m.takes && r.acks && !r.credits.allow(r, m) {
		return 0, true
	}
	k := min(m.packets-off, uint32(room), burst, uint32(max(1, budget/int(r.mtu))))
	if r.sacked > 0 {
		if r.has(r.at) {
			c.moved(env, m, 1)
			return 0, false
		}
		k = r.clear(r.at, k)
	}
	paced := c.paced()
	if paced {
		if k = c.afford(env, m, off, k); k == 0 {
			return 0, true
		}
	}
	last := r.acks && (int(k) == room || paced)
	fresh := r.at.Diff(r.sent) >= 0
	if status := c.emit(env, p, m, off, k, last); status != verbs.WCSuccess {
		m.status, r.broken = status, true
		return 0, true
	}
	c.moved(env, m, k)
	if paced && fresh {
		r.spent(m, off, k)
	}
	return int(min(k*r.mtu, m.Length+engine.MessageCost)), false
}

// vanish is a UC message with no way to its peer: lost, which the sender does not notice.
func (c *Conn) vanish(m *message) bool {
	r := c.req
	r.at = m.end()
	r.sent = r.at
	r.cur++
	return false
}

// moved moves the cursor over k packets of m that were sent. Under mu.
func (c *Conn) moved(env *Env, m *message, k uint32) {
	r := c.req
	if r.acked == r.sent { // nothing was in flight
		r.arm(env.Now)
	}
	r.at = r.at.Add(int(k))
	if d := r.at.Diff(r.sent); d > 0 {
		if r.probeAt == 0 {
			r.probe, r.probeAt = r.at.Add(-1), env.Now
		}
		r.sent = r.at
		if int32(k) > d {
			c.resent(env, uint64(int32(k)-d))
		}
	} else {
		c.resent(env, uint64(k))
	}
	if r.at == m.end() {
		r.cur++
	}
}

// resent counts packets sent again. Under mu.
func (c *Conn) resent(env *Env, n uint64) {
	env.Host.Counters.Retransmits.Add(n)
	c.qp.Stats.Resent.Add(n)
}

// load puts m's entry into qp.Send.WQE. Under mu.
func (c *Conn) load(m *message) bool {
	if c.req.loaded == m.Slot+1 {
		return true
	}
	if !c.qp.Retake(&m.Outstanding) {
		c.req.loaded = 0
		return false
	}
	c.req.loaded = m.Slot + 1
	return true
}

// emit sends packets off to off+k of a SEND or WRITE. ask makes the last of them ask for an acknowledgement. Under mu.
func (c *Conn) emit(env *Env, p *Path, m *message, off, k uint32, ask bool) verbs.WCStatus {
	qp, mtu := c.qp, c.req.mtu
	if !c.load(m) {
		return verbs.WCLocQPOpErr
	}
	from := off * mtu
	n := min(k*mtu, m.Length-from)
	spans, f := gather(qp, &m.Outstanding, env.Scratch.A[:0], from, n, 0)
	if f != verbs.FaultNone {
		return verbs.WCLocProtErr
	}
	cut := cutter{spans: spans}
	w, h := &qp.Send.WQE, &env.h
	c.header(h, m.psn.Add(int(off)))
	acks := c.req.acks
	copyNow := w.InlineLength != 0 || !acks // whose memory is the program's again as soon as it is sent
	set := opcodes(m.Opcode, qp.Type)
	for i := range k {
		first, last := off+i == 0, off+i == m.packets-1
		size := mtu
		switch {
		case first && last:
			h.Opcode, size = set.only, m.Length
		case first:
			h.Opcode = set.first
		case last:
			h.Opcode, size = set.last, m.Length-(m.packets-1)*mtu
		default:
			h.Opcode = set.middle
		}
		if first && m.kind == kindWrite {
			h.VA, h.RKey, h.Length = w.RemoteAddr, w.RKey, m.Length
		}
		if last {
			h.Solicited = m.Flags&verbs.SendSolicited != 0
			h.Imm, h.InvRKey = w.Imm, w.Imm
			if m.takes && p.SACK && (m.kind == kindSend || size+wire.RiderSize <= mtu) { // no longer than the longest packet without
				c.told.ride(h)
			}
		}
		h.AckReq = acks && (last || h.PSN&ackEvery == ackEvery || ask && i == k-1)
		env.Out.Packet(p, qp, h, cut.next(&env.cut, int(size)), int(size), copyNow)
		h.PSN = h.PSN.Add(1)
	}
	return verbs.WCSuccess
}

// header begins a packet to the connected peer.
func (c *Conn) header(h *wire.Header, psn wire.PSN) {
	*h = wire.Header{PKey: 0xffff, MigReq: true, DestQP: uint32(c.qp.Attr().DestQPN), PSN: psn}
}

// readBytes is the most that one READ request asks for. A big READ goes out as several requests, each with the PSNs of its own responses, so
// that the requester's window governs the responses too. They always end in the same places, so that a request which is sent again
// does not ask for more than the one before it.
const readBytes = 64 << 10

// piece is how many responses a READ request that begins with response off asks for.
func (r *requester) piece(m *message, off uint32) uint32 {
	most := max(1, readBytes/r.mtu)
	return min(m.packets-off, most-off%most)
}

// ask sends the request of an atomic, or the next of a READ if the window is open.
// A READ may go over the window by less than one request. Under mu.
func (c *Conn) ask(env *Env, p *Path, m *message, off uint32) (used int, full bool) {
	r := c.req
	if m.kind == kindAtomic && m.got == 1 {
		c.moved(env, m, 1)
		return 0, false
	}
	k := r.piece(m, off)
	if ahead := int(r.at.Diff(r.acked)); ahead > 0 && ahead+int(k) > wire.SACKBits {
		return 0, true // more than is noted of what arrives out of order
	}
	if int(r.reads.n) >= int(c.qp.Attr().MaxRdAtomic) {
		return 0, true
	}
	paced, fresh := c.paced(), r.at.Diff(r.sent) >= 0
	if paced && !c.affordAsk(env, m, off, k) {
		return 0, true
	}
	if status := c.askFor(env, p, m, off, k); status != verbs.WCSuccess {
		m.status, r.broken = status, true
		return 0, true
	}
	c.moved(env, m, k)
	if paced && fresh {
		r.spent(m, off, k)
	}
	r.reads.push(r.at)
	return int(min(k*r.mtu, m.Length)), false
}

// askFor sends one READ request for responses off to off+k, or an atomic request. Under mu.
func (c *Conn) askFor(env *Env, p *Path, m *message, off, k uint32) verbs.WCStatus {
	qp, mtu := c.qp, c.req.mtu
	if !c.load(m) {
		return verbs.WCLocQPOpErr
	}
	w, h := &qp.Send.WQE, &env.h
	c.header(h, m.psn.Add(int(off)))
	h.AckReq = true
	h.RKey = w.RKey
	if m.kind == kindAtomic {
		if _, f := gather(qp, &m.Outstanding, env.Scratch.A[:0], 0, 8, verbs.AccessLocalWrite); f != verbs.FaultNone {
			return verbs.WCLocProtErr
		}
		h.Opcode, h.VA, h.SwapAdd = wire.OpRCFetchAdd, w.RemoteAddr, w.CompareAdd
		if m.Opcode == verbs.OpAtomicCmpAndSwp {
			h.Opcode, h.SwapAdd, h.Compare = wire.OpRCCompareSwap, w.Swap, w.CompareAdd
		}
		env.Out.Packet(p, qp, h, nil, 0, false)
		return verbs.WCSuccess
	}
	if off == 0 && m.Length > 0 && !c.writable(env, w, m.Length) {
		return verbs.WCLocProtErr
	}
	h.Opcode = wire.OpRCRDMAReadRequest
	h.VA, h.Length = w.RemoteAddr+uint64(off)*uint64(mtu), min(k*mtu, m.Length-off*mtu)
	env.Out.Packet(p, qp, h, nil, 0, false)
	return verbs.WCSuccess
}

// writable reports whether the entry's memory may be written.
func (c *Conn) writable(env *Env, w *ring.SendWQE, n uint32) bool {
	for i := range w.NumSGE {
		g := &w.SGE[i]
		k := min(n, g.Length)
		if k == 0 {
			continue
		}
		if _, f := c.qp.Local(env.Scratch.A[:0], verbs.LKey(g.LKey), g.Addr, int(k), verbs.AccessLocalWrite); f != verbs.FaultNone {
			return false
		}
		n -= k
	}
	return true
}

// sequence is the opcodes of a message's packets.
type sequence struct{ first, middle, last, only wire.Opcode }

// opcodes gives those of an operation; UC's are RC's with another service.
func opcodes(op verbs.Opcode, t verbs.QPType) sequence {
	s := sequence{wire.OpRCSendFirst, wire.OpRCSendMiddle, wire.OpRCSendLast, wire.OpRCSendOnly}
	switch op {
	case verbs.OpSendImm:
		s.last, s.only = wire.OpRCSendLastImm, wire.OpRCSendOnlyImm
	case verbs.OpSendInv:
		s.last, s.only = wire.OpRCSendLastInv, wire.OpRCSendOnlyInv
	case verbs.OpRDMAWrite, verbs.OpAtomicWrite:
		s = sequence{wire.OpRCRDMAWriteFirst, wire.OpRCRDMAWriteMiddle, wire.OpRCRDMAWriteLast, wire.OpRCRDMAWriteOnly}
	case verbs.OpRDMAWriteImm:
		s = sequence{wire.OpRCRDMAWriteFirst, wire.OpRCRDMAWriteMiddle, wire.OpRCRDMAWriteLastImm, wire.OpRCRDMAWriteOnlyImm}
	}
	if t == verbs.TypeUC {
		const uc = wire.OpUCSendFirst - wire.OpRCSendFirst
		s = sequence{s.first + uc, s.middle + uc, s.last + uc, s.only + uc}
	}
	return s
}
