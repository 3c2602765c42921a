package verbs

import (
	"github.com/freeflow-rdma/freeflow/internal/ring"
)

// This file is what a carrier sees of a queue pair's queues: the requester takes from the send queue and completes; the
// responder takes from the receive queue and completes.

// Sending is the requester's progress with the work request at the head of the send queue.
type Sending struct {
	Active  bool // WQE is at work
	WQE     ring.SendWQE
	Length  uint32 // bytes of the message
	Done    uint32 // of them carried
	Peer    *QP    // the responder that has begun to take it; nil before
	Stage   uint8  // the carrier's own
	RetryBy int64  // when to give up on a peer that does not answer; 0: it answers
	RNRBy   int64  // when to give up on a peer that posts no receive; 0: it does
	Rested  int64  // UC, UD: since when the patience with peers that post no receive grows
	GoneBy  int64  // when an idle queue pair whose peer died goes to error

	FlushWait int64 // ns until the next look for what to flush

	Toll Toll // for the message to pass
}

// Next takes the next work request into Send. It reports false if there is none. bad says that the entry is not well formed.
func (qp *QP) Next() (ok, bad bool) {
	q := &qp.SQ
	if q.prod == q.cons {
		if q.prod = q.ring.LoadProducerAcquire(); q.prod == q.cons {
			return false, false
		}
	}
	s := &qp.Send
	good := q.ring.ReadSend(q.cons, qp.Type == TypeUD, &s.WQE)
	s.Active, s.Done, s.Peer, s.Stage, s.RetryBy, s.RNRBy = true, 0, nil, 0, 0, 0
	return true, !good
}

// InlineAt gives where the current work request's inline data stand. The program may still change the bytes.
func (qp *QP) InlineAt() (r *ring.Ring, slot uint32) { return &qp.SQ.ring, qp.SQ.cons }

// sendOpcode gives the completion opcode of a work request's.
func sendOpcode(op Opcode) WCOpcode {
	switch op {
	case OpRDMAWrite, OpRDMAWriteImm:
		return WCRDMAWrite
	case OpRDMARead:
		return WCRDMARead
	case OpAtomicCmpAndSwp:
		return WCCompSwap
	case OpAtomicFetchAdd:
		return WCFetchAdd
	case OpBindMW:
		return WCBindMW
	case OpLocalInv:
		return WCLocalInv
	case OpAtomicWrite:
		return WCAtomicWrite
	}
	return WCSend
}

// Complete ends the current work request, with a completion if it was asked for or is an error. Publish shows it.
func (qp *QP) Complete(status WCStatus) {
	s := &qp.Send
	o := Outstanding{WRID: s.WQE.WRID, Length: s.Length, Opcode: Opcode(s.WQE.Opcode), Flags: SendFlags(s.WQE.SendFlags)}
	if qp.complete(&o, status) {
		qp.Publish()
	}
	s.Active = false
	if s.Toll.asked {
		s.Toll.Drop()
	}
}

// complete ends the oldest work request, which is o. It reports true if the batch of completions is full: the caller shows it.
func (qp *QP) complete(o *Outstanding, status WCStatus) (full bool) {
	q := &qp.SQ
	q.cons = (q.cons + 1) & q.ring.Mask()
	if status == WCSuccess {
		bump(&qp.Stats.Ops[o.Opcode%NumOps], 1)
		switch o.Opcode {
		case OpRDMARead, OpAtomicCmpAndSwp, OpAtomicFetchAdd: // whose data come
			bump(&qp.Stats.ReadBytes, uint64(o.Length))
		case OpBindMW, OpLocalInv: // which go nowhere
		default:
			bump(&qp.Stats.SentBytes, uint64(o.Length))
		}
	} else if status != WCWRFlushErr {
		bump(&qp.Stats.Errors, 1)
		bump(&qp.Stats.ErrorsBy[min(int(status), numStatuses-1)], 1)
	}
	if status == WCSuccess && !qp.SigAll && o.Flags&SendSignaled == 0 {
		return false
	}
	q.due.add(&ring.CQE{WRID: o.WRID, Status: uint32(status), Opcode: uint32(sendOpcode(o.Opcode)),
		ByteLen: o.Length, QPN: uint32(qp.Num), PortNum: 1}, false)
	return q.due.full()
}

// Answered counts a READ or atomic that this queue pair answers, and the bytes that go out with it. The caller holds Resp.
func (qp *QP) Answered(n uint32) {
	bump(&qp.Stats.Served, 1)
	bump(&qp.Stats.ServedBytes, uint64(n))
}

// Advance counts the packets that the message would have been, so that PSNs move as the specification has them.
func (qp *QP) Advance(packets uint32) {
	qp.sentPSN.Store((qp.sentPSN.Load() + packets) & 0xffffff)
}

// fatal is an overrun completion queue: the queue pair cannot go on (IBTA 11.6.3.2).
func (qp *QP) fatal() {
	if qp.Fail() {
		qp.ctx.async.sendAsync(qp.user, EventQPFatal)
	}
}

// Fail takes the queue pair to the error state and reports whether it was not there (or in RESET) already. Either side may call it.
func (qp *QP) Fail() bool { return qp.leave(StateError) }

// FailSend takes the requester to SQE, where receiving goes on: an error of a UC or UD work request.
func (qp *QP) FailSend() { qp.leave(StateSQE) }

func (qp *QP) leave(to State) bool {
	for {
		s := qp.State()
		if s == StateReset || s == StateError || s == to {
			return false
		}
		if qp.state.CompareAndSwap(uint32(s), uint32(to)) {
			qp.arrived(s, to)
			return true
		}
	}
}

// Event raises an asynchronous event of this queue pair.
func (qp *QP) Event(ev AsyncEvent) { qp.ctx.async.sendAsync(qp.user, ev) }

// Drained says that the send queue has come to rest in SQD.
func (qp *QP) Drained() {
	if qp.drained.CompareAndSwap(false, true) && qp.Attr().EnSQDAsyncNotify {
		qp.Event(EventSQDrained)
	}
}

// lastWQE tells a program with an SRQ that the queue pair takes no more from it and has completed what it took (IBTA 11.6.3.1): once for
// each time it goes to error. The caller holds Resp.
func (qp *QP) lastWQE() {
	if qp.srq != nil && qp.lastDue.CompareAndSwap(true, false) {
		qp.Event(EventLastWQEReached)
	}
}

// FlushSend completes everything in the send queue with a flush error, at most n.
func (qp *QP) FlushSend(n int) (done int) {
	for ; done < n; done++ {
		if !qp.Send.Active {
			if ok, _ := qp.Next(); !ok {
				break
			}
		}
		qp.Send.Length = 0
		qp.Complete(WCWRFlushErr)
	}
	qp.Publish()
	return done
}

// TakeRecv takes the next receive into Resp.WQE. It reports false if none is posted; bad says that its entry was not well
// formed. A receive that an earlier message took and did not complete, having been cut off or dropped, is taken again. The caller
// holds Resp.
func (qp *QP) TakeRecv() (ok, bad bool) {
	r := &qp.Resp
	if r.Taken {
		return true, false
	}
	if qp.srq != nil {
		ok, bad = qp.srq.take(&r.WQE)
		r.Taken = ok || bad
		return r.Taken, bad
	}
	if r.prod == r.cons {
		if r.prod = r.ring.LoadProducerAcquire(); r.prod == r.cons {
			return false, false
		}
	}
	good := r.ring.ReadRecv(r.cons, &r.WQE)
	r.Taken = true
	return true, !good
}

// NoRecv reports whether no receive is posted, without taking the responder's lock: a hint.
func (qp *QP) NoRecv() bool {
	if qp.srq != nil {
		return qp.srq.empty()
	}
	return qp.Resp.ring.LoadProducerAcquire() == qp.Resp.ring.LoadConsumerAcquire()
}

// NeverPosted reports whether no receive has ever been posted to the queue pair's own queue: nobody means to receive here. A hint.
func (qp *QP) NeverPosted() bool {
	return qp.srq == nil && qp.Resp.ring.LoadProducerAcquire() == 0 && qp.Stats.ReceivedMessages.Load() == 0
}

// Received is what a receive completes with.
type Received struct {
	Status    WCStatus
	Opcode    WCOpcode
	Flags     WCFlags
	Length    uint32
	Imm       uint32 // as it stood in the sender's entry; or the key that was invalidated
	SrcQP     QPN
	SL        uint8
	Solicited bool
}

// CompleteRecv ends the receive in Resp.WQE. PublishRecv shows it. The caller holds Resp.
func (qp *QP) CompleteRecv(x *Received) {
	r := &qp.Resp
	r.Taken = false
	if qp.srq == nil {
		r.cons = (r.cons + 1) & r.ring.Mask()
	}
	r.due.add(&ring.CQE{WRID: r.WQE.WRID, Status: uint32(x.Status), Opcode: uint32(x.Opcode), ByteLen: x.Length, Imm: x.Imm,
		QPN: uint32(qp.Num), SrcQP: uint32(x.SrcQP), WCFlags: uint32(x.Flags), SL: x.SL, PortNum: 1}, x.Solicited)
	if r.due.full() {
		qp.showRecv()
	}
	if x.Status == WCSuccess {
		n := x.Length
		if x.Flags&WCGRH != 0 {
			n -= GRHSize
		}
		qp.Arrived(n)
	}
}

// Arrived counts an incoming message. The caller holds Resp.
func (qp *QP) Arrived(n uint32) {
	bump(&qp.Stats.ReceivedMessages, 1)
	bump(&qp.Stats.ReceivedBytes, uint64(n))
}

// Expect moves the expected PSN on. The caller holds Resp.
func (qp *QP) Expect(packets uint32) { qp.Resp.psn = (qp.Resp.psn + PSN(packets)) & 0xffffff }

// FlushRecv completes what is in the receive queue, or was taken from the SRQ, with a flush error, at most n.
func (qp *QP) FlushRecv(n int) (done int) {
	qp.Resp.Lock()
	for ; done < n; done++ {
		if !qp.Resp.Taken {
			if qp.srq != nil {
				break
			}
			if ok, _ := qp.TakeRecv(); !ok {
				break
			}
		}
		qp.CompleteRecv(&Received{Status: WCWRFlushErr, Opcode: WCRecv})
	}
	notice := qp.PublishRecv()
	if !qp.Resp.Taken {
		qp.lastWQE()
	}
	qp.Resp.Unlock()
	notice.Send()
	return done
}
