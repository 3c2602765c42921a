package verbs

import "github.com/freeflow-rdma/freeflow/internal/ring"

// A burst of small messages is completed together: its completions are collected in a batch, one for each side, and published at its
// end. A poller on another core that finds a completion takes the queue's cache lines over; published one by one, each message
// would wait for them to come back several times.
//
// What publishes is Publish (send side) and PublishRecv, which every carrier calls before it lets go of a queue pair. The
// slots of the work requests go back to the program first: whoever sees a completion may post into its slot.

// MaxBurst is the number of completions that a batch has room for.
const MaxBurst = 16

type batch struct {
	n         int
	solicited bool // one of them is worth a solicited event
	cqe       [MaxBurst]ring.CQE
}

func (b *batch) add(e *ring.CQE, solicited bool) {
	b.cqe[b.n] = *e
	b.n++
	b.solicited = b.solicited || solicited || e.Status != uint32(WCSuccess)
}

func (b *batch) full() bool { return b.n == MaxBurst }

func (b *batch) clear() { b.n, b.solicited = 0, false }

// Publish gives the slots of completed work requests back and shows their completions. Requester side.
func (qp *QP) Publish() {
	q := &qp.SQ
	if q.shown == q.cons {
		return // no work request has completed
	}
	q.shown = q.cons
	q.ring.StoreConsumerRelease(q.cons)
	if q.due.n > 0 {
		if !qp.sendCQ.push(&q.due) {
			qp.fatal()
		}
		q.due.clear()
	}
	q.ring.StoreDoneRelease(q.cons)
}

// PublishRecv gives the slots of completed receives back and shows their completions. The caller holds Resp.
func (qp *QP) PublishRecv() {
	r := &qp.Resp
	if r.due.n == 0 {
		return
	}
	if qp.srq == nil {
		r.ring.StoreConsumerRelease(r.cons)
	}
	if !qp.recvCQ.push(&r.due) {
		qp.fatal()
	}
	r.due.clear()
	if qp.srq == nil {
		r.ring.StoreDoneRelease(r.cons)
	}
}
