package local

import (
	"github.com/freeflow-rdma/freeflow/internal/mem"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
)

// accessError is a request that names memory it may not have: the responder goes to error and says so, and the requester
// completes with a remote access error (IBTA 9.9.3). The caller holds the peer's Resp.
func (b *burst) accessError(peer *verbs.QP) (outcome, verbs.WCStatus) {
	peer.Fail()
	peer.Event(verbs.EventQPAccessErr)
	return b.afterNAK(verbs.WCRemAccessErr)
}

// invalidRequest is a request that the responder does not take.
func (b *burst) invalidRequest(peer *verbs.QP) (outcome, verbs.WCStatus) {
	peer.Fail()
	peer.Event(verbs.EventQPReqErr)
	return b.afterNAK(verbs.WCRemInvReqErr)
}

// afterNAK gives the requester's status; UC has no NAK and drops what the responder refuses.
func (b *burst) afterNAK(status verbs.WCStatus) (outcome, verbs.WCStatus) {
	if b.qp.Type == verbs.TypeUC {
		b.pass()
		return vanished, 0
	}
	if b.c.Tap.Active() {
		b.record(syndromes[status])
	}
	return refused, status
}

// write carries a slice of an RDMA WRITE, and after the last, with immediate data, takes a receive.
func (b *burst) write(peer *verbs.QP, budget int) (outcome, verbs.WCStatus) {
	w, qp := b.w, b.qp
	s := &qp.Send
	n := min(s.Length-s.Done, uint32(budget))
	src, f := gather(qp, w.Scratch.A[:0], s.Done, n, 0)
	if f != verbs.FaultNone {
		return refused, localStatus(f)
	}
	if peer.Attr().Access&verbs.AccessRemoteWrite == 0 {
		return b.notEnabled(peer)
	}
	if n > 0 {
		dst, f := peer.Remote(w.Scratch.B[:0], verbs.RKey(s.WQE.RKey), s.WQE.RemoteAddr+uint64(s.Done), int(n), verbs.AccessRemoteWrite)
		if f == verbs.FaultNone && s.Done == 0 && n < s.Length {
			// The whole range is checked before the first byte moves, as a responder does with the RETH.
			f = peer.RemoteCovers(verbs.RKey(s.WQE.RKey), s.WQE.RemoteAddr, int(s.Length), verbs.AccessRemoteWrite)
		}
		if f != verbs.FaultNone {
			return b.accessOrDrop(peer)
		}
		if ok, err := mem.Copy(dst, src, w.Scratch.Bounce[:]); err != nil {
			return b.copyFailed(peer, ok)
		}
		s.Done += n
	}
	if s.Done < s.Length {
		return carried, 0
	}
	if verbs.Opcode(s.WQE.Opcode) == verbs.OpRDMAWriteImm {
		ok, bad := peer.TakeRecv()
		if !ok {
			return noRecv, 0
		}
		if bad {
			return b.badRecv(peer)
		}
		heard(w, qp)
		b.advance(peer)
		peer.CompleteRecv(&verbs.Received{Opcode: verbs.WCRecvRDMAImm, Flags: verbs.WCWithImm, Length: s.Length, Imm: s.WQE.Imm,
			SrcQP: qp.Num, Solicited: solicited(qp)})
		return done(qp)
	}
	b.advance(peer)
	peer.Arrived(s.Length)
	return done(qp)
}

// accessOrDrop is accessError for RC; a UC responder drops the message and stays as it is.
func (b *burst) accessOrDrop(peer *verbs.QP) (outcome, verbs.WCStatus) {
	if b.qp.Type == verbs.TypeUC {
		b.pass()
		return vanished, 0
	}
	return b.accessError(peer)
}

// notEnabled is an operation that the responder's access flags do not have: not a matter of keys, but a request that it does not take
// (IBTA 9.7.5.2.4, as Soft-RoCE's check_op_valid has it).
func (b *burst) notEnabled(peer *verbs.QP) (outcome, verbs.WCStatus) {
	if b.qp.Type == verbs.TypeUC {
		return b.accessOrDrop(peer)
	}
	return b.invalidRequest(peer)
}

// copyFailed is memory that went away under its registration: srcOK says that it was the destination's.
func (b *burst) copyFailed(peer *verbs.QP, srcOK bool) (outcome, verbs.WCStatus) {
	if !srcOK {
		return refused, verbs.WCLocProtErr
	}
	return b.remoteFault(peer)
}

// remoteFault is a responder that cannot reach its own memory, with no receive to say so: it goes to error with an event.
func (b *burst) remoteFault(peer *verbs.QP) (outcome, verbs.WCStatus) {
	if peer.Fail() {
		peer.Event(verbs.EventQPFatal)
	}
	return b.afterNAK(verbs.WCRemOpErr)
}

// read carries a slice of an RDMA READ.
func (b *burst) read(peer *verbs.QP, budget int) (outcome, verbs.WCStatus) {
	w, qp := b.w, b.qp
	s := &qp.Send
	a := peer.Attr()
	if a.MaxDestRdAtomic == 0 || a.Access&verbs.AccessRemoteRead == 0 {
		return b.invalidRequest(peer)
	}
	if n := min(s.Length-s.Done, uint32(budget)); n > 0 {
		dst, f := gather(qp, w.Scratch.B[:0], s.Done, n, verbs.AccessLocalWrite)
		if f != verbs.FaultNone {
			return refused, localStatus(f)
		}
		src, f := peer.Remote(w.Scratch.A[:0], verbs.RKey(s.WQE.RKey), s.WQE.RemoteAddr+uint64(s.Done), int(n), verbs.AccessRemoteRead)
		if f == verbs.FaultNone && s.Done == 0 && n < s.Length {
			f = peer.RemoteCovers(verbs.RKey(s.WQE.RKey), s.WQE.RemoteAddr, int(s.Length), verbs.AccessRemoteRead)
		}
		if f != verbs.FaultNone {
			return b.accessError(peer)
		}
		if ok, err := mem.Copy(dst, src, w.Scratch.Bounce[:]); err != nil {
			if ok {
				return refused, verbs.WCLocProtErr
			}
			return b.remoteFault(peer)
		}
		s.Done += n
	}
	if s.Done < s.Length {
		return carried, 0
	}
	b.advance(peer)
	peer.Answered(s.Length)
	return done(qp)
}

// atomic does a compare-and-swap or fetch-and-add of 8 bytes.
func (b *burst) atomic(peer *verbs.QP) (outcome, verbs.WCStatus) {
	w, qp := b.w, b.qp
	s := &qp.Send
	a := peer.Attr()
	if s.Length < 8 {
		return refused, verbs.WCLocLenErr
	}
	if s.Length = 8; a.MaxDestRdAtomic == 0 || s.WQE.RemoteAddr%8 != 0 || a.Access&verbs.AccessRemoteAtomic == 0 {
		return b.invalidRequest(peer)
	}
	dst, f := gather(qp, w.Scratch.B[:0], 0, 8, verbs.AccessLocalWrite)
	if f != verbs.FaultNone {
		return refused, localStatus(f)
	}
	at, f := peer.Remote(w.Scratch.A[:0], verbs.RKey(s.WQE.RKey), s.WQE.RemoteAddr, 8, verbs.AccessRemoteAtomic)
	if f != verbs.FaultNone {
		return b.accessError(peer)
	}
	if len(at) != 1 { // the memory of aligned bytes is never in two pieces, unless iova and address differ by less than 8
		return b.invalidRequest(peer)
	}
	var old uint64
	var err error
	if verbs.Opcode(s.WQE.Opcode) == verbs.OpAtomicCmpAndSwp {
		old, err = at[0].CompareAndSwap(s.WQE.CompareAdd, s.WQE.Swap)
	} else {
		old, err = at[0].FetchAdd(s.WQE.CompareAdd)
	}
	if err != nil {
		return b.remoteFault(peer)
	}
	if err := mem.PutUint64(dst, old, &w.Scratch); err != nil {
		return refused, verbs.WCLocProtErr
	}
	s.Done, b.found = 8, old
	b.advance(peer)
	peer.Answered(8)
	return done(qp)
}

// atomicWrite stores 8 bytes, of which no reader sees a part (IBTA A19.4.5).
func (b *burst) atomicWrite(peer *verbs.QP) (outcome, verbs.WCStatus) {
	qp := b.qp
	s := &qp.Send
	if s.WQE.RemoteAddr%8 != 0 || peer.Attr().Access&verbs.AccessRemoteWrite == 0 {
		return b.invalidRequest(peer)
	}
	var room [1]mem.Span
	at, f := peer.Remote(room[:0], verbs.RKey(s.WQE.RKey), s.WQE.RemoteAddr, 8, verbs.AccessRemoteWrite)
	if f != verbs.FaultNone {
		return b.accessError(peer)
	}
	if len(at) != 1 {
		return b.invalidRequest(peer)
	}
	r, slot := qp.InlineAt()
	if err := at[0].Store(r.InlineUint64(slot)); err != nil {
		return b.remoteFault(peer)
	}
	s.Done = 8
	b.advance(peer)
	peer.Arrived(8)
	return done(qp)
}

// advance moves both sides' PSNs over the message.
func (b *burst) advance(peer *verbs.QP) {
	b.pass()
	peer.Expect(packets(b.qp))
}

func solicited(qp *verbs.QP) bool { return qp.Send.WQE.SendFlags&uint32(verbs.SendSolicited) != 0 }
