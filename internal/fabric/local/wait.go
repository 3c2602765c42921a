package local

import (
	"github.com/freeflow-rdma/freeflow/internal/engine"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
)

// Times in nanoseconds.
const (
	pollEvery  = 40_000    // between looks for a receive
	pollCrowd  = 80_000    // the same where many wait
	peerEvery  = 2_000_000 // between looks for a peer that is not ready; becoming ready wakes at once
	flushFirst = 1_000_000 // between looks for receives posted to a queue pair in error; doubles up to
	flushLast  = 100_000_000
	patience   = 100_000_000 // the longest that UD waits for a receive, and others behind it; UC waits for verbs.OffCoreTime
)

// retryTime is how long a requester tries before it gives up on a peer.
func retryTime(a *verbs.QPAttr) int64 {
	if a.AckTimeout == 0 {
		return verbs.PeerGoneTime
	}
	return verbs.AckTime(a.AckTimeout) * int64(a.RetryCnt+1)
}

// waitPeer is a peer that does not answer: true to wait, false when the retries are used up.
func waitPeer(w *engine.Worker, qp *verbs.QP) bool {
	s, a := &qp.Send, qp.Attr()
	if s.RetryBy == 0 {
		qp.Stats.Retries.Add(1)
		s.RetryBy = w.Now() + retryTime(a)
	}
	forever := a.AckTimeout == 0 && !qp.PeerGone()
	if w.Now() >= s.RetryBy && !forever {
		return false
	}
	qp.WakeAt = w.Now() + peerEvery
	if !forever {
		qp.WakeAt = min(qp.WakeAt, s.RetryBy)
	}
	return true
}

// waitRecv is a peer with no receive posted: true to wait, false when the time for that is used up.
//
// RC has the retries that the program set. UC and UD need not wait at all, but nothing is gained by losing a message on one host because
// its receiver is not on a core just now, so they have patience; it comes back as fast as it is used up. A peer that posts no receives thus
// costs a sender no more than half of its time, whoever else it sends to; one that has never posted any costs nothing.
func waitRecv(w *engine.Worker, qp, peer *verbs.QP) bool {
	s, a := &qp.Send, qp.Attr()
	forever := qp.Type == verbs.TypeRC && a.RNRRetry == 7
	if s.RNRBy == 0 {
		qp.Stats.RNRWaits.Add(1)
		if qp.Type == verbs.TypeRC {
			s.RNRBy = w.Now() + verbs.RNRTime(peer.Attr().MinRNRTimer)*int64(a.RNRRetry)
		} else if s.RNRBy = w.Now(); !peer.NeverPosted() {
			s.RNRBy += min(w.Now()-s.Rested, longest(qp))
		}
	}
	if !forever && w.Now() >= s.RNRBy {
		heard(w, qp)
		return false
	}
	qp.WakeAt = w.Now() + pollEvery
	if w.Crowded() {
		qp.WakeAt = w.Now() + pollCrowd
	}
	if !forever {
		qp.WakeAt = min(qp.WakeAt, s.RNRBy)
	}
	return true
}

func longest(qp *verbs.QP) int64 {
	if qp.Type == verbs.TypeUC {
		return verbs.OffCoreTime
	}
	return patience
}

// heard ends the wait for a receive, if there was one.
func heard(w *engine.Worker, qp *verbs.QP) {
	if s := &qp.Send; s.RNRBy != 0 {
		s.Rested = w.Now() - (s.RNRBy - w.Now())
		s.RNRBy = 0
	}
}
