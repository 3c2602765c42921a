package transport

import (
	"github.com/freeflow-rdma/freeflow/internal/verbs"
	"github.com/freeflow-rdma/freeflow/internal/wire"
)

// kind is what a work request is to the requester.
type kind uint8

const (
	kindLocal kind = iota // concerns only this queue pair, or failed before it was sent
	kindSend
	kindWrite
	kindRead
	kindAtomic
)

// message is a work request that was taken from the send queue.
type message struct {
	verbs.Outstanding
	psn     wire.PSN       // of its first packet
	packets uint32         // PSNs that it takes; a READ as many as its responses
	status  verbs.WCStatus // what it fails with once all before it are done
	seq     uint32         // how many before it, and it, take a receive of the peer's
	kind    kind
	takes   bool // takes a receive of the peer's

	got  uint32    // READ: responses that are in memory without a gap; atomic: 1 when the answer is
	more wire.SACK // READ: responses beyond those: bit i is response got+1+i
}

func (m *message) end() wire.PSN { return m.psn.Add(int(m.packets)) }

// replied says that a message is done when data have come back, not when it is acknowledged.
func (m *message) replied() bool { return m.kind == kindRead || m.kind == kindAtomic }

// has reports whether READ response i has arrived.
func (m *message) has(i uint32) bool { return i < m.got || i > m.got && m.more.Has(int(i-m.got-1)) }

// arrived notes READ response i. It reports false if that is too far ahead to be noted.
func (m *message) arrived(i uint32) bool {
	if i > m.got {
		if i-m.got > wire.SACKBits {
			return false
		}
		m.more.Set(int(i - m.got - 1))
		return true
	}
	if i == m.got {
		m.got += 1 + shiftOut(&m.more)
	}
	return true
}

// shiftOut moves a bitmap by one place more than the run of ones it begins with, and tells the length of the run.
func shiftOut(s *wire.SACK) (run uint32) {
	if *s == (wire.SACK{}) {
		return 0
	}
	for s.Has(int(run)) {
		run++
	}
	shift(s, run+1)
	return run
}

// shift drops the first n bits.
func shift(s *wire.SACK, n uint32) {
	w, b := int(n/64), n%64
	for i := range s {
		var v uint64
		if i+w < len(s) {
			v = s[i+w] >> b
		}
		if b > 0 && i+w+1 < len(s) {
			v |= s[i+w+1] << (64 - b)
		}
		s[i] = v
	}
}

// messages is the queue of what was taken and is not completed. It grows as needed, to the depth of the send queue.
type messages struct {
	ring []message // a power of two
	head uint32
	n    uint32
}

// at gives the i-th, 0 being the oldest.
func (q *messages) at(i uint32) *message { return &q.ring[(q.head+i)&uint32(len(q.ring)-1)] }

// add makes room for one more at the end and gives it.
func (q *messages) add() *message {
	if q.n == uint32(len(q.ring)) {
		bigger := make([]message, max(8, 2*len(q.ring)))
		for i := range q.n {
			bigger[i] = *q.at(i)
		}
		q.ring, q.head = bigger, 0
	}
	q.n++
	return q.at(q.n - 1)
}

// pop drops the oldest.
func (q *messages) pop() {
	q.head++
	q.n--
}

// find gives the index of the message that a PSN belongs to; n if there is none.
func (q *messages) find(p wire.PSN) uint32 {
	lo, hi := uint32(0), q.n
	for lo < hi {
		mid := (lo + hi) / 2
		if m := q.at(mid); m.end().Diff(p) <= 0 {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}
