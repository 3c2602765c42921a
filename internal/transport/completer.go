package transport

import (
	"encoding/binary"

	"github.com/freeflow-rdma/freeflow/internal/mem"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
	"github.com/freeflow-rdma/freeflow/internal/wire"
)

// answer takes one acknowledgement or response for the requester. It reports true if the item has something to do. Under mu.
func (c *Conn) answer(env *Env, a *Arrived) (again bool) {
	r, h := c.req, &a.H
	if r == nil || r.n == 0 {
		return false // of something that is done already
	}
	info := h.Opcode.Info()
	if info == nil {
		return false
	}
	if h.BECN || h.FECN && info.Kind == wire.KindReadResponse { // of the data that come to us we are the ones to ask for less
		c.marked(env.Now)
	}
	if c.qp.Type == verbs.TypeUC && (!r.acks || info.Kind != wire.KindAck || !wire.IsAck(h.Syndrome)) {
		env.Host.Counters.BadResponses.Add(1)
		return false
	}
	switch info.Kind {
	case wire.KindReadResponse:
		return c.readResponse(env, a, info)
	case wire.KindAtomicAck:
		return c.atomicAnswer(env, a)
	case wire.KindCNP:
		env.Host.Counters.CNPsReceived.Add(1)
		c.marked(env.Now)
		return false
	}
	switch {
	case wire.IsAck(h.Syndrome):
		return c.acknowledged(env, h)
	case wire.IsRNR(h.Syndrome):
		return c.notReady(env, h)
	case wire.IsNAK(h.Syndrome):
		return c.refused(env, h)
	}
	env.Host.Counters.BadResponses.Add(1)
	return false
}

// marked is a congestion mark or notification. Under mu.
func (c *Conn) marked(now int64) {
	c.qp.Stats.Marks.Add(1)
	c.req.cc.marked(now)
}

// progress moves acked to p, which is past nothing that was not sent. Under mu.
func (c *Conn) progress(env *Env, p wire.PSN) {
	r := c.req
	d := p.Diff(r.acked)
	if d <= 0 {
		return
	}
	full := r.inFlight()*2 >= r.cc.window()
	if r.probeAt != 0 && p.Diff(r.probe) > 0 {
		r.cc.sample(env.Now - r.probeAt)
		r.probeAt = 0
	}
	r.cc.acked(env.Now, int(d), full)
	r.acked = p
	for r.done < r.n {
		m := r.messages.at(r.done)
		if m.end().Diff(p) > 0 {
			break
		}
		r.doneSeq = m.seq
		r.done++
	}
	if r.at.Diff(p) < 0 {
		r.at, r.cur = p, r.done
	}
	r.trim()
	r.rnrs = 0
	c.heardFrom(env)
}

// heardFrom starts the timers anew after progress.
func (c *Conn) heardFrom(env *Env) {
	r := c.req
	r.heard, r.backoff, r.rnrUntil = env.Now, 0, 0
	r.rtoAt = env.Now + c.interval()
}

// inSent reports whether a PSN is one that was sent, and counts it if not. An acknowledgement may be for the one before acked.
func (c *Conn) inSent(env *Env, p wire.PSN) bool {
	r := c.req
	if p.Diff(r.sent) >= 0 {
		env.Host.Counters.BadResponses.Add(1)
		return false
	}
	return true
}

// acknowledged is an ACK, of everything up to its PSN (IBTA 9.7.5.1). Under mu.
func (c *Conn) acknowledged(env *Env, h *wire.Header) (again bool) {
	r := c.req
	if !c.inSent(env, h.PSN) {
		return false
	}
	next := h.PSN.Add(1)
	if next.Diff(r.acked) < 0 {
		return false // an old one that was overtaken
	}
	c.alive(env.Now, next) // but perhaps no further: keep from sending again
	held := r.credits.limited
	c.progress(env, next)
	r.credits.grant(h.Syndrome)
	if h.Opcode == wire.OpFFAck {
		r.learn(next, &h.SACK)
	}
	return c.gaps(env.Now) || held || r.cur < r.n
}

// notReady is an RNR NAK: the peer has no receive posted, and says how long to wait (IBTA 9.7.5.2.8). Under mu.
func (c *Conn) notReady(env *Env, h *wire.Header) (again bool) {
	r := c.req
	if !c.inSent(env, h.PSN) || h.PSN.Diff(r.acked) < 0 {
		return false
	}
	if env.Now < r.rnrUntil {
		return false // of a packet sent before the last one came
	}
	env.Host.Counters.RNRsReceived.Add(1)
	c.qp.Stats.RNRWaits.Add(1)
	rnrs := r.rnrs
	if h.PSN != r.acked {
		c.progress(env, h.PSN)
		rnrs = 0
	}
	if limit := c.qp.Attr().RNRRetry; limit != 7 && rnrs >= limit {
		c.failAt(r.done, verbs.WCRNRRetryExcErr)
		return true
	}
	c.goBack()
	r.rnrs = rnrs + 1
	if r.rnrs == 255 {
		r.rnrs = 254
	}
	r.heard = env.Now
	r.rnrUntil = env.Now + verbs.RNRTime(h.Syndrome)
	r.rtoAt = r.rnrUntil + c.interval()
	return true
}

// refused is a NAK (IBTA table 46). Everything before its PSN was taken. Under mu.
func (c *Conn) refused(env *Env, h *wire.Header) (again bool) {
	r := c.req
	if !c.inSent(env, h.PSN) || h.PSN.Diff(r.acked) < 0 {
		return false
	}
	env.Host.Counters.NAKsReceived.Add(1)
	c.progress(env, h.PSN)
	status := verbs.WCRemOpErr
	switch h.Syndrome {
	case wire.SyndromeNAKSequence:
		if env.Now-r.backAt < r.cc.round() && r.backTo == h.PSN && r.backAt != 0 {
			return false
		}
		r.backAt, r.backTo = env.Now, h.PSN
		env.Host.Counters.GoBacks.Add(1)
		r.cc.lost(env.Now)
		c.goBack()
		r.rtoAt = env.Now + c.interval()
		return true
	case wire.SyndromeNAKInvalid:
		status = verbs.WCRemInvReqErr
	case wire.SyndromeNAKAccess:
		status = verbs.WCRemAccessErr
	case wire.SyndromeNAKOp:
	default:
		env.Host.Counters.BadResponses.Add(1)
		return false
	}
	c.failAt(r.done, status)
	return true
}

// readResponse puts a READ response in its place. Under mu.
func (c *Conn) readResponse(env *Env, a *Arrived, info *wire.Info) (again bool) {
	r, h := c.req, &a.H
	m := c.asked(env, h.PSN, kindRead)
	if m == nil {
		return false
	}
	if info.HasAETH && !wire.IsAck(h.Syndrome) {
		env.Host.Counters.BadResponses.Add(1)
		return false
	}
	off := uint32(h.PSN.Diff(m.psn))
	size := r.mtu
	if off == m.packets-1 {
		size = m.Length - off*r.mtu
	}
	if uint32(len(a.Payload)) != size {
		env.Host.Counters.DropLength.Add(1)
		return false
	}
	c.answering(env.Now)
	if m.has(off) {
		env.Host.Counters.Duplicates.Add(1)
		return false
	}
	if size > 0 {
		if status := c.place(env, m, off*r.mtu, a.Payload); status != verbs.WCSuccess {
			m.status, r.broken = status, true
			return true
		}
	}
	if !m.arrived(off) {
		return false
	}
	if m.got > off {
		r.asks = 0
	}
	if next := h.PSN.Add(1); next.Diff(r.acked) > 0 {
		c.progress(env, next)
	} else {
		c.heardFrom(env)
	}
	return r.replies > 0 && c.gaps(env.Now) || r.cur < r.n
}

// asked gives the message of a kind that a response's PSN belongs to, if it was asked for. Under mu.
func (c *Conn) asked(env *Env, p wire.PSN, k kind) *message {
	r := c.req
	if p.Diff(r.sent) >= 0 {
		env.Host.Counters.BadResponses.Add(1)
		return nil
	}
	i := r.find(p)
	if i == r.n {
		return nil
	}
	m := r.messages.at(i)
	if p.Diff(m.psn) < 0 {
		return nil // of a READ that is done
	}
	if m.kind != k || m.status != verbs.WCSuccess {
		env.Host.Counters.BadResponses.Add(1)
		return nil
	}
	return m
}

// place writes b to byte off of a message's memory. Under mu.
func (c *Conn) place(env *Env, m *message, off uint32, b []byte) verbs.WCStatus {
	if !c.load(m) {
		return verbs.WCLocQPOpErr
	}
	dst, f := gather(c.qp, &m.Outstanding, env.Scratch.B[:0], off, uint32(len(b)), verbs.AccessLocalWrite)
	if f != verbs.FaultNone {
		return verbs.WCLocProtErr
	}
	env.mark[0] = mem.Mapped(b)
	if _, err := mem.Copy(dst, env.mark[:], env.Scratch.Bounce[:]); err != nil {
		return verbs.WCLocProtErr
	}
	return verbs.WCSuccess
}

// atomicAnswer puts what stood in the peer's memory into the atomic's own. Under mu.
func (c *Conn) atomicAnswer(env *Env, a *Arrived) (again bool) {
	r, h := c.req, &a.H
	m := c.asked(env, h.PSN, kindAtomic)
	if m == nil {
		return false
	}
	if m.got == 1 || !wire.IsAck(h.Syndrome) {
		env.Host.Counters.Duplicates.Add(1)
		return false
	}
	var b [8]byte
	binary.NativeEndian.PutUint64(b[:], h.AtomicAck)
	if status := c.place(env, m, 0, copyOf(env, b)); status != verbs.WCSuccess {
		m.status, r.broken = status, true
		return true
	}
	m.got = 1
	c.progress(env, h.PSN.Add(1))
	return c.gaps(env.Now) || r.cur < r.n
}

// copyOf keeps 8 bytes where taking their address does not allocate.
func copyOf(env *Env, b [8]byte) []byte {
	copy(env.Scratch.Bounce[:], b[:])
	return env.Scratch.Bounce[:8]
}
