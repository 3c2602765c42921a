package local

import (
	"github.com/freeflow-rdma/freeflow/internal/mem"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
)

// recvError ends the receive that was taken with an error: the responder goes to error (IBTA 10.10.2.2). The caller holds the peer's Resp.
func recvError(peer *verbs.QP, status verbs.WCStatus) {
	peer.CompleteRecv(&verbs.Received{Status: status, Opcode: verbs.WCRecv})
	peer.Fail()
}

// badRecv is a receive queue entry that is not well formed.
func (b *burst) badRecv(peer *verbs.QP) (outcome, verbs.WCStatus) {
	recvError(peer, verbs.WCLocQPOpErr)
	return b.afterNAK(verbs.WCRemOpErr)
}

// send carries a slice of a SEND. With the first it takes a receive, with the last it completes both. What the sender's own memory is
// at fault for is found before the responder hears of the message.
func (b *burst) send(peer *verbs.QP, budget int) (outcome, verbs.WCStatus) {
	w, qp := b.w, b.qp
	s := &qp.Send
	n := min(s.Length-s.Done, uint32(budget))
	src, f := gather(qp, w.Scratch.A[:0], s.Done, n, 0)
	if f != verbs.FaultNone {
		return refused, localStatus(f)
	}
	if s.Stage == 0 {
		if o, status := b.accept(peer); o != carried {
			return o, status
		}
		s.Stage = 1
	} else if !peer.Resp.Taken {
		return b.lost() // the responder has been reset under the message
	}
	if n > 0 {
		rw := &peer.Resp.WQE
		dst, f := peer.Scatter(w.Scratch.B[:0], rw.SGE[:rw.NumSGE], s.Done, n, verbs.AccessLocalWrite)
		if f != verbs.FaultNone {
			recvError(peer, verbs.WCLocProtErr)
			return b.afterNAK(verbs.WCRemOpErr)
		}
		if ok, err := mem.Copy(dst, src, w.Scratch.Bounce[:]); err != nil {
			if ok {
				recvError(peer, verbs.WCLocProtErr)
			}
			return b.copyFailed(peer, ok)
		}
		s.Done += n
	}
	if s.Done < s.Length {
		return carried, 0
	}
	return b.delivered(peer)
}

// accept takes a receive for the message and checks that it fits.
func (b *burst) accept(peer *verbs.QP) (outcome, verbs.WCStatus) {
	s := &b.qp.Send
	if ok, bad := peer.TakeRecv(); !ok {
		return noRecv, 0
	} else if bad {
		return b.badRecv(peer)
	}
	heard(b.w, b.qp)
	if uint64(s.Length) <= peer.RecvRoom() {
		return carried, 0
	}
	tooLong(peer)
	return b.afterNAK(verbs.WCRemInvReqErr)
}

// tooLong is a message that the receive in hand has no room for (IBTA 9.9.3). RC ends in error. A datagram or an unreliable message is dropped
// and the receive is for the next one (class D), so that a stranger's datagram cannot end a queue pair; a receive of an SRQ
// completes with the error, and the queue pair goes on (class E). The caller holds the peer's Resp.
func tooLong(peer *verbs.QP) {
	switch {
	case peer.Type == verbs.TypeRC:
		recvError(peer, verbs.WCLocLenErr)
	case peer.HasSRQ():
		peer.CompleteRecv(&verbs.Received{Status: verbs.WCLocLenErr, Opcode: verbs.WCRecv})
	}
}

// delivered completes a SEND on both sides, the receiver's first.
func (b *burst) delivered(peer *verbs.QP) (outcome, verbs.WCStatus) {
	qp := b.qp
	s := &qp.Send
	x := verbs.Received{Opcode: verbs.WCRecv, Length: s.Length, SrcQP: qp.Num, Solicited: solicited(qp)}
	switch verbs.Opcode(s.WQE.Opcode) {
	case verbs.OpSendImm:
		x.Flags, x.Imm = verbs.WCWithImm, s.WQE.Imm
	case verbs.OpSendInv:
		if !peer.Invalidate(verbs.RKey(s.WQE.Imm)) {
			recvError(peer, verbs.WCMWBindErr)
			return b.afterNAK(verbs.WCRemAccessErr)
		}
		x.Flags, x.Imm = verbs.WCWithInv, s.WQE.Imm
	}
	b.advance(peer)
	peer.CompleteRecv(&x)
	return done(qp)
}
