package verbs

import "github.com/freeflow-rdma/freeflow/internal/ring"

// A burst of small messages is completed together: its completions are collected in a batch, one for each side, and published at its
// end. A poller on another core that finds a completion takes the queue's cache lines over; published one by one, each message
// would wait for them to come back several times.
//
// What publishes is Publish (send side) and PublishRecv, which every carrier calls before it lets go of a queue pair. The
// slots of the work requests go back to the program first: whoever sees a completion may post into its slot.
//
// A carrier that has both sides publishes the receiver's completions, then the sender's, and only then wakes the receiver: a NIC has the
// acknowledgement before the answer, and programs with one completion of room wait for them in that order.

// MaxBurst is the number of completions that a batch has room for.
const MaxBurst = 16

type batch struct {
	n         int
	solicited bool // one of them is worth a solicited event
	notice    Notice
	cqe       [MaxBurst]ring.CQE
}

// Notice is an event that is due for completions which have been published; the zero Notice is none. It is sent after every lock has
// been given back, and by the worker that has it before its turn ends.
type Notice struct{ cq *CQ }

// Send wakes the program.
func (n Notice) Send() {
	if n.cq != nil {
		n.cq.channel.sendCompletion(n.cq)
	}
}

// take gives the notice that the published completions are due.
func (b *batch) take() Notice {
	n := b.notice
	b.notice = Notice{}
	return n
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
	if qp.SQ.unseen() {
		qp.showSend()
		qp.SQ.due.take().Send()
	}
}

// PublishSend is Publish, with the notice for the caller to send when it has given its locks back.
func (qp *QP) PublishSend() Notice {
	if qp.SQ.unseen() {
		qp.showSend()
	}
	return qp.SQ.due.take()
}

// unseen says whether work requests have completed that the program has not been shown. A program that moves its index on while its
// work is taken can have exactly a ring of them complete, so the indices alone do not tell.
func (q *SendQueue) unseen() bool { return q.shown != q.cons || q.due.n > 0 }

func (qp *QP) showSend() {
	q := &qp.SQ
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

// PublishRecv gives the slots of completed receives back and shows their completions. The caller holds Resp, gives it back and
// sends the notice.
func (qp *QP) PublishRecv() Notice {
	qp.showRecv()
	return qp.Resp.due.take()
}

func (qp *QP) showRecv() {
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
