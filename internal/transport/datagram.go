package transport

import (
	"github.com/freeflow-rdma/freeflow/internal/engine"
	"github.com/freeflow-rdma/freeflow/internal/mem"
	"github.com/freeflow-rdma/freeflow/internal/qos"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
	"github.com/freeflow-rdma/freeflow/internal/wire"
)

const (
	grhSize = 40
	udMTU   = 4096 // of the port
	// datagramsKept is how many datagrams of a queue pair wait for a receive.
	datagramsKept = 512
)

// SendDatagram sends the current UD work request (qp.Send, its Length set) to one address and says what it came to; the caller completes it, and
// calls qp.Advance(1) once for it. sent is false if the output has no room: try again in the next turn. No path: the datagram is lost, with
// success. So is one that is too long (IBTA C10-93.1.1).
func SendDatagram(env *Env, p *Path, qp *verbs.QP) (status verbs.WCStatus, sent bool) {
	s := &qp.Send
	if s.Length > udMTU || p != nil && p.MTU != 0 && s.Length > p.MTU {
		return verbs.WCSuccess, true
	}
	w := &s.WQE
	var spans []mem.Span
	if w.InlineLength != 0 {
		r, slot := qp.InlineAt()
		spans = append(env.Scratch.A[:0], mem.Pointed(r.Inline(slot, 0), int(s.Length)))
	} else if s.Length > 0 {
		var f verbs.Fault
		if spans, f = qp.Scatter(env.Scratch.A[:0], w.SGE[:w.NumSGE], 0, s.Length, 0); f != verbs.FaultNone {
			return verbs.WCLocProtErr, true
		}
	}
	if p == nil || p.Gone {
		return verbs.WCSuccess, true
	}
	if env.Out.Room() <= 0 {
		return verbs.WCSuccess, false
	}
	h := &env.h
	*h = wire.Header{Opcode: wire.OpUDSendOnly, PKey: 0xffff, MigReq: true, DestQP: w.RemoteQPN & 0xffffff, PSN: wire.PSN(qp.SentPSN()),
		QKey: qp.SentQKey(w.RemoteQKey), SrcQP: uint32(qp.Num), Solicited: w.SendFlags&uint32(verbs.SendSolicited) != 0}
	if verbs.Opcode(w.Opcode) == verbs.OpSendImm {
		h.Opcode, h.Imm = wire.OpUDSendOnlyImm, w.Imm
	}
	env.Out.Packet(p, qp, h, spans, int(s.Length), true)
	return verbs.WCSuccess, true
}

// queued is the datagrams that wait for a receive, oldest first. Under qp.Resp.
type queued struct{ list []*kept }

// ReceiveDatagram takes one UD packet for this queue pair. grh is what stands before the payload in the receive's memory (IBTA 11.4.2.1,
// A17.4.5.1), p the way back. again says that the item has something to do.
func (c *Conn) ReceiveDatagram(env *Env, p *Path, a *Arrived, grh *[40]byte) (again bool) {
	qp := c.qp
	if a.H.Opcode == wire.OpCNP {
		env.Host.Counters.CNPsReceived.Add(1)
		if p != nil && p.SACK && a.H.PSN != 0 {
			c.pause.hold(env.Now + min(int64(a.H.PSN)*1000, pauseMost))
		} else {
			c.pause.ask(env.Now)
		}
		return false
	}
	if !c.mayHear(p, grh) {
		qp.Refuse()
		return false
	}
	qp.Resp.Lock()
	again = c.datagram(env, p, a, grh)
	c.crowd(env, p, a)
	notice := qp.PublishRecv()
	qp.Resp.Unlock()
	notice.Send()
	return again
}

// mayHear says whether the container may talk to whom a datagram comes from.
func (c *Conn) mayHear(p *Path, grh *[40]byte) bool {
	cont := c.qp.Container()
	sgid := 0
	if cont.HostGID != 0 && (p == nil || !p.SACK) {
		sgid = cont.HostGID
	}
	return c.qp.MayReach(sgid, verbs.GID(grh[8:24]))
}

func (c *Conn) datagram(env *Env, p *Path, a *Arrived, grh *[40]byte) (again bool) {
	qp := c.qp
	st := qp.State()
	switch {
	case qp.Type != verbs.TypeUD || qp.Dead() || st < verbs.StateRTR || st == verbs.StateError:
		env.Host.Counters.DropState.Add(1)
		return false
	case qp.Attr().QKey != a.H.QKey:
		env.Host.Counters.DropQKey.Add(1)
		return false
	case len(a.Payload) > udMTU:
		env.Host.Counters.DropLength.Add(1)
		return false
	}
	if qp.Limited() {
		if c.flood(env) {
			return false
		}
		var in qos.Chain
		qp.Ingress(&in)
		c.slower(env, p, a, in.Book(env.Now, uint64(len(a.Payload)), 1))
	}
	c.host = env.Host
	q := &c.resp.datagrams
	if len(q.list) == 0 && c.hand(env, a, grh) {
		return false
	}
	var k *kept
	if len(q.list) < datagramsKept {
		k = env.Host.pool.take(a, env.Now)
	}
	if k == nil {
		env.Host.Counters.DropNoRecv.Add(1)
		return false
	}
	k.grh = *grh
	q.list = append(q.list, k)
	env.Host.Counters.Parked.Add(1)
	return len(q.list) == 1
}

// hand puts a datagram into a receive. It reports false if none is posted. The caller holds Resp.
func (c *Conn) hand(env *Env, a *Arrived, grh *[40]byte) bool {
	qp := c.qp
	if ok, bad := qp.TakeRecv(); !ok {
		return false
	} else if bad {
		c.recvFailed(env, verbs.WCLocQPOpErr, 0)
		return true
	}
	w := &qp.Resp.WQE
	total := uint32(len(a.Payload) + grhSize)
	if uint64(total) > qp.RecvRoom() {
		c.tooLong(env)
		return true
	}
	dst, f := qp.Scatter(env.Scratch.B[:0], w.SGE[:w.NumSGE], 0, total, verbs.AccessLocalWrite)
	if f != verbs.FaultNone {
		c.recvFailed(env, verbs.WCLocProtErr, 0)
		return true
	}
	from := append(env.Scratch.C[:0], mem.Mapped(copyGRH(env, grh)), mem.Mapped(a.Payload))
	if _, err := mem.Copy(dst, from, nil); err != nil {
		c.recvFailed(env, verbs.WCLocProtErr, 0)
		return true
	}
	x := verbs.Received{Opcode: verbs.WCRecv, Flags: verbs.WCGRH, Length: total, SrcQP: verbs.QPN(a.H.SrcQP), Solicited: a.H.Solicited}
	if a.H.Opcode == wire.OpUDSendOnlyImm {
		x.Flags, x.Imm = x.Flags|verbs.WCWithImm, a.H.Imm
	}
	qp.Expect(1)
	qp.CompleteRecv(&x)
	return true
}

// copyGRH keeps the header where taking its address does not allocate.
func copyGRH(env *Env, grh *[40]byte) []byte {
	return env.Scratch.Bounce[:copy(env.Scratch.Bounce[:], grh[:])]
}

// Datagrams is the turn of a UD queue pair that has no work request left: it gives waiting datagrams to receives posted meanwhile, and drops
// the old.
func (c *Conn) Datagrams(env *Env) engine.Verdict {
	qp := c.qp
	qp.Resp.Lock()
	q := &c.resp.datagrams
	ended := qp.State() < verbs.StateRTR || qp.State() == verbs.StateError
	for len(q.list) > 0 {
		k := q.list[0]
		if !ended && !c.hand(env, &k.a, &k.grh) {
			if env.Now-k.at < verbs.OffCoreTime {
				break
			}
			env.Host.Counters.DropNoRecv.Add(1)
		}
		q.list = q.list[:copy(q.list, q.list[1:])]
		env.Host.pool.put(k)
	}
	left := len(q.list)
	notice := qp.PublishRecv()
	qp.Resp.Unlock()
	notice.Send()
	if left == 0 {
		return engine.Idle
	}
	qp.WakeAt = env.Now + lookEvery
	return engine.Wait
}

// drop gives everything back.
func (q *queued) drop(p *pool) {
	for _, k := range q.list {
		p.put(k)
	}
	q.list = nil
}
