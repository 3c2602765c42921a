package local

import (
	"github.com/freeflow-rdma/freeflow/internal/engine"
	"github.com/freeflow-rdma/freeflow/internal/mem"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
)

// begin checks a new work request as far as it can be checked here (IBTA 10.7.2), and sums its length.
func begin(qp *verbs.QP, bad bool) verbs.WCStatus {
	s := &qp.Send
	s.Length = 0
	op := verbs.Opcode(s.WQE.Opcode)
	if bad || !qp.Type.Permits(op) {
		return verbs.WCLocQPOpErr
	}
	if replied(op) && (s.WQE.SendFlags&uint32(verbs.SendInline) != 0 || qp.Attr().MaxRdAtomic == 0) {
		return verbs.WCLocQPOpErr
	}
	sum := uint64(s.WQE.InlineLength)
	for i := range s.WQE.NumSGE {
		sum += uint64(s.WQE.SGE[i].Length)
	}
	if sum > verbs.MaxMessage {
		return verbs.WCLocLenErr
	}
	s.Length = uint32(sum)
	return verbs.WCSuccess
}

// replied says which operations come back with data or a result, and so count as outstanding (IBTA 9.4.4, 9.4.5).
func replied(op verbs.Opcode) bool {
	return op == verbs.OpRDMARead || op == verbs.OpAtomicCmpAndSwp || op == verbs.OpAtomicFetchAdd
}

// outcome is what a step came to.
type outcome uint8

const (
	carried  outcome = iota // a slice was carried, or the message is done: Complete was called
	noPeer                  // the peer does not answer
	noRecv                  // the peer has no receive posted; Send.Peer is who
	refused                 // the work request ends with the status
	vanished                // UC: the message is lost on the way, which the sender does not notice
	noRoom                  // UD: nothing more goes to other hosts in this turn
	paused                  // not before WakeAt: a limit, or UD and the way to other hosts
)

// step carries one slice of the current work request. wait says that nothing can be done now.
func (b *burst) step() (used int, wait bool) {
	w, qp := b.w, b.qp
	before := qp.Send.Done
	o, status := b.dispatch()
	switch o {
	case noPeer:
		if waitPeer(w, qp) {
			return 0, true
		}
		fail(qp, verbs.WCRetryExcErr)
	case noRecv:
		if waitRecv(w, qp, qp.Send.Peer) {
			return 0, true
		}
		if qp.Type == verbs.TypeRC {
			fail(qp, verbs.WCRNRRetryExcErr)
			break
		}
		b.pass()
		qp.Complete(verbs.WCSuccess)
	case refused:
		fail(qp, status)
	case vanished:
		qp.Complete(verbs.WCSuccess)
	case noRoom:
		b.stalled = true
	case paused:
		return 0, true
	}
	return int(qp.Send.Done - before), false
}

func (b *burst) dispatch() (outcome, verbs.WCStatus) {
	qp := b.qp
	s := &qp.Send
	op := verbs.Opcode(s.WQE.Opcode)
	switch {
	case op == verbs.OpBindMW || op == verbs.OpLocalInv:
		b.let()
		return alone(qp, op)
	case qp.Type == verbs.TypeUD:
		return b.datagram()
	}
	peer := b.held
	if peer == nil {
		if peer = peerOf(qp); peer == nil {
			return b.lost()
		}
		if s.RNRBy != 0 && peer == s.Peer && peer.NoRecv() {
			return noRecv, 0
		}
		b.hold(peer)
	}
	s.Peer = peer
	if st := peer.State(); st < verbs.StateRTR || st == verbs.StateError || peer.Dead() {
		return b.lost()
	}
	s.RetryBy = 0
	n := b.slice
	if b.limited {
		if n = b.admit(peer, replied(op)); n < 0 {
			return paused, 0
		}
	}
	switch op {
	case verbs.OpSend, verbs.OpSendImm, verbs.OpSendInv:
		return b.send(peer, n)
	case verbs.OpRDMAWrite, verbs.OpRDMAWriteImm:
		return b.write(peer, n)
	case verbs.OpRDMARead:
		return b.read(peer, n)
	case verbs.OpAtomicWrite:
		return b.atomicWrite(peer)
	}
	return b.atomic(peer)
}

// slice is the most that a big message moves before the queue pair's turn is looked at again; less in a short turn.
const slice = engine.Quantum / 2

// alone carries a work request that concerns nobody but this queue pair.
func alone(qp *verbs.QP, op verbs.Opcode) (outcome, verbs.WCStatus) {
	if st := qp.Alone(op); st != verbs.WCSuccess {
		return refused, st
	}
	return done(qp)
}

// lost is a message that nobody answers: RC tries again, UC does not notice.
func (b *burst) lost() (outcome, verbs.WCStatus) {
	if b.qp.Type == verbs.TypeUC {
		b.pass()
		return vanished, 0
	}
	return noPeer, 0
}

// done completes the work request with success.
func done(qp *verbs.QP) (outcome, verbs.WCStatus) {
	qp.Complete(verbs.WCSuccess)
	return carried, 0
}

// peerOf finds the queue pair that this one is connected to, and checks that the peer says so too: a message from
// anybody else is dropped by a real responder.
func peerOf(qp *verbs.QP) *verbs.QP {
	a := qp.Attr()
	p := qp.Device().QP(a.DestQPN)
	if p == nil || p.Type != qp.Type || p.Dead() {
		return nil
	}
	b, here, there := p.Attr(), qp.Container(), p.Container()
	if b.DestQPN != qp.Num || here.Network != there.Network || !there.HasGID(a.AV.DGID) || !here.HasGID(b.AV.DGID) || there.Gone() {
		return nil
	}
	if !qp.MayTalk() || !p.MayTalk() {
		if qp.Send.RetryBy == 0 {
			qp.Refuse()
		}
		return nil
	}
	return p
}

// packets is the number of packets the message would be at the path MTU.
func packets(qp *verbs.QP) uint32 {
	mtu := uint32(128) << qp.Attr().PathMTU
	return max(1, (qp.Send.Length+mtu-1)/mtu)
}

// pass moves the requester's PSN over the message, which is shown to whoever captures: nobody may have been told of it yet.
func (b *burst) pass() {
	if b.c.Tap.Active() {
		b.record(0)
	}
	b.qp.Advance(packets(b.qp))
}

// gather appends the memory of n bytes of the current work request's data, from its byte off on.
func gather(qp *verbs.QP, out []mem.Span, off, n uint32, need verbs.Access) ([]mem.Span, verbs.Fault) {
	s := &qp.Send
	if n == 0 {
		return out, verbs.FaultNone
	}
	if s.WQE.InlineLength != 0 {
		r, slot := qp.InlineAt()
		return append(out, mem.Pointed(r.Inline(slot, off), int(n))), verbs.FaultNone
	}
	return qp.Scatter(out, s.WQE.SGE[:s.WQE.NumSGE], off, n, need)
}

// localStatus is the status of a work request whose own SGEs are at fault.
func localStatus(verbs.Fault) verbs.WCStatus { return verbs.WCLocProtErr }
