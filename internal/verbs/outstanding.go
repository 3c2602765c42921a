package verbs

import "github.com/freeflow-rdma/freeflow/internal/ring"

// On a wire many work requests are at work at once. Their entries stay in the send queue until they complete, in order, so a requester
// keeps only a few words of each, and reads the entry again when a packet of it has to be sent again. The program may have written over it
// meanwhile: what matters for the packets is compared.
//
//	      oldest          next to take     producer
//	  ──────┼────────────────┼────────────────┼──────
//	        └── outstanding ─┘ Take(ahead)

// Outstanding is what a requester keeps of a work request that it has taken and not completed.
type Outstanding struct {
	WRID   uint64
	Length uint32 // bytes of the message
	Slot   uint32 // where its entry stands
	Opcode Opcode
	Flags  SendFlags
}

// Take copies the work request that is ahead entries after the oldest one into Send.WQE. It reports false if there is none; bad says that the
// entry is not well formed. The length is the caller's to sum up. Requester side.
func (qp *QP) Take(ahead uint32, o *Outstanding) (ok, bad bool) {
	q := &qp.SQ
	if (q.prod-q.cons)&q.ring.Mask() <= ahead {
		if q.prod = q.ring.LoadProducerAcquire(); (q.prod-q.cons)&q.ring.Mask() <= ahead {
			return false, false
		}
	}
	w := &qp.Send.WQE
	slot := (q.cons + ahead) & q.ring.Mask()
	good := q.ring.ReadSend(slot, false, w)
	*o = Outstanding{WRID: w.WRID, Slot: slot, Opcode: Opcode(w.Opcode), Flags: SendFlags(w.SendFlags)}
	return true, !good
}

// Retake copies the entry of an outstanding work request into Send.WQE again. It reports false if the entry is another now: its
// operation, flags or length changed.
func (qp *QP) Retake(o *Outstanding) bool {
	w := &qp.Send.WQE
	if !qp.SQ.ring.ReadSend(o.Slot, false, w) || Opcode(w.Opcode) != o.Opcode || SendFlags(w.SendFlags) != o.Flags {
		return false
	}
	sum := uint64(w.InlineLength)
	for i := range w.NumSGE {
		sum += uint64(w.SGE[i].Length)
	}
	return sum == uint64(o.Length) || sum > uint64(o.Length) && (o.Opcode == OpAtomicCmpAndSwp || o.Opcode == OpAtomicFetchAdd)
}

// Inline gives where the inline data of an outstanding work request stand. The program may still change the bytes.
func (qp *QP) Inline(o *Outstanding) (r *ring.Ring, slot uint32) { return &qp.SQ.ring, o.Slot }

// Finish ends the oldest work request, which is o, as Complete does the current one.
func (qp *QP) Finish(o *Outstanding, status WCStatus) {
	if status == WCWRFlushErr {
		o.Length = 0
	}
	if qp.complete(o, status) {
		qp.showSend()
	}
}

// SentPSN is the PSN of the next packet that Advance has not counted.
func (qp *QP) SentPSN() PSN { return PSN(qp.sentPSN.Load()) }

// Expected is the PSN that the responder expects next. The caller holds Resp.
func (qp *QP) Expected() PSN { return qp.Resp.psn }

// RecvCredits is the number of receives that are posted and not completed. The caller holds Resp; there is no SRQ.
func (qp *QP) RecvCredits() uint32 {
	r := &qp.Resp
	r.prod = r.ring.LoadProducerAcquire()
	return (r.prod - r.cons) & r.ring.Mask()
}
