package pcap

import (
	"sync/atomic"
	"time"
)

const (
	ringSlots = 4096 // 17 MB: five milliseconds of 4 KiB packets at 25 Gbit/s
	slotSize  = 4256 // Ethernet, IPv6, UDP, the longest transport headers, 4096 bytes, pad and ICRC
)

// ring is a bounded queue of frames from many workers to one reader, in which nobody waits (after D. Vyukov's bounded queue): a
// slot's turn says whose it is. turn = p: free for the frame number p; turn = p+1: it holds frame p.
type ring struct {
	filter  Filter
	slots   []slot
	dropped atomic.Uint64

	_    [56]byte // the workers' end and the reader's on different cache lines
	head atomic.Uint64
	_    [56]byte
	tail uint64
}

type slot struct {
	turn   atomic.Uint64
	at     time.Time
	n      int // bytes of frame
	length int // that the packet had; more than n if it was cut
	frame  [slotSize]byte
}

func newRing(f Filter, slots int) *ring {
	r := &ring{filter: f, slots: make([]slot, slots)}
	for i := range r.slots {
		r.slots[i].turn.Store(uint64(i))
	}
	return r
}

// claim gives the caller a slot to fill and then publish, or nil if there is none free: the frame is lost, and counted.
func (r *ring) claim() *slot {
	for {
		p := r.head.Load()
		s := &r.slots[p%uint64(len(r.slots))]
		switch d := int64(s.turn.Load() - p); {
		case d == 0:
			if r.head.CompareAndSwap(p, p+1) {
				s.at = time.Now()
				return s
			}
		case d < 0:
			r.dropped.Add(1)
			return nil
		}
	}
}

// publish shows a claimed slot to the reader: everything written to it before is seen.
func (s *slot) publish() { s.turn.Add(1) }

// next is the oldest frame, or nil if there is none, or if it is still being written. It is the reader's until done.
func (r *ring) next() *slot {
	s := &r.slots[r.tail%uint64(len(r.slots))]
	if s.turn.Load() != r.tail+1 {
		return nil
	}
	return s
}

// done gives the oldest frame's slot back.
func (r *ring) done(s *slot) {
	s.turn.Store(r.tail + uint64(len(r.slots)))
	r.tail++
}
