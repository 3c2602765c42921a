package verbs

import (
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/freeflow-rdma/freeflow/internal/qos"
	"github.com/freeflow-rdma/freeflow/internal/ring"
)

// SRQ is a shared receive queue. Workers take entries under mu.
type SRQ struct {
	ctx    *Context
	handle Handle
	user   uint64
	pd     *pd
	maxSGE uint32
	refs   atomic.Int32
	dead   atomic.Bool

	mu    sync.Mutex
	ring  ring.Ring
	queue Queue
	maxWR uint32
	cons  uint32
	limit uint32 // 0: disarmed
}

// CreateSRQ makes a shared receive queue.
func (c *Context) CreateSRQ(a SRQInit) (SRQInfo, error) {
	if a.MaxWR == 0 || a.MaxWR > MaxSRQWR || a.MaxSGE > MaxSRQSGE || a.Limit > a.MaxWR {
		return SRQInfo{}, syscall.EINVAL
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	pd := c.pds.get(uint32(a.PD))
	if pd == nil {
		return SRQInfo{}, syscall.EINVAL
	}
	if err := c.deep(qos.QPDepth, a.MaxWR); err != nil {
		return SRQInfo{}, err
	}
	if err := c.claim(qos.SRQs, 1); err != nil {
		return SRQInfo{}, err
	}
	r, q, g, err := c.newRing(a.MaxWR, ring.RecvWQESize+16*max(a.MaxSGE, 1))
	if err != nil {
		c.giveBack(qos.SRQs, 1)
		return SRQInfo{}, err
	}
	s, err := c.srqs.add(func(i uint32) *SRQ {
		return &SRQ{ctx: c, handle: Handle(i), user: a.UserHandle, pd: pd, maxSGE: a.MaxSGE, ring: r, queue: q, maxWR: g.Entries(), limit: a.Limit}
	})
	if err != nil {
		c.freeRing(q)
		c.giveBack(qos.SRQs, 1)
		return SRQInfo{}, err
	}
	pd.refs.Add(1)
	return SRQInfo{Handle: s.handle, MaxWR: s.maxWR, MaxSGE: a.MaxSGE, Num: uint32(s.handle), Queue: q}, nil
}

// ModifySRQ sets the limit that raises an event, or the size; for a new size it gives the new queue.
func (c *Context) ModifySRQ(h Handle, mask, maxWR, limit uint32) (Queue, error) {
	if mask&^(SRQMaskMaxWR|SRQMaskLimit) != 0 {
		return Queue{}, syscall.EINVAL
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.srqs.get(uint32(h))
	if s == nil {
		return Queue{}, syscall.EINVAL
	}
	size := s.maxWR
	if mask&SRQMaskMaxWR != 0 {
		size = maxWR
	}
	if size == 0 || size > MaxSRQWR || mask&SRQMaskLimit != 0 && limit > size {
		return Queue{}, syscall.EINVAL
	}
	var q Queue
	if mask&SRQMaskMaxWR != 0 {
		var err error
		if q, err = c.resizeSRQ(s, maxWR); err != nil {
			return Queue{}, err
		}
	}
	if mask&SRQMaskLimit != 0 {
		s.mu.Lock()
		s.limit = limit
		s.mu.Unlock()
	}
	return q, nil
}

func (c *Context) resizeSRQ(s *SRQ, maxWR uint32) (Queue, error) {
	if err := c.deep(qos.QPDepth, maxWR); err != nil {
		return Queue{}, err
	}
	r, q, g, err := c.newRing(maxWR, ring.RecvWQESize+16*max(s.maxSGE, 1))
	if err != nil {
		return Queue{}, err
	}
	s.mu.Lock()
	n := (s.ring.LoadProducerAcquire() - s.cons) & s.ring.Mask()
	if n > g.Entries() || s.limit > g.Entries() {
		s.mu.Unlock()
		c.freeRing(q)
		return Queue{}, syscall.EINVAL
	}
	for i := range n {
		s.ring.CopyRecv(s.cons+i, &r, i)
	}
	r.StoreProducerRelease(n)
	old := s.queue
	s.ring, s.queue, s.cons, s.maxWR = r, q, 0, g.Entries()
	s.mu.Unlock()
	c.freeRing(old)
	return q, nil
}

// QuerySRQ tells the sizes and the limit, which is zero once its event was raised.
func (c *Context) QuerySRQ(h Handle) (SRQAttr, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.srqs.get(uint32(h))
	if s == nil {
		return SRQAttr{}, syscall.EINVAL
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return SRQAttr{MaxWR: s.maxWR, MaxSGE: s.maxSGE, Limit: s.limit}, nil
}

// DestroySRQ ends a shared receive queue. EBUSY while queue pairs use it.
func (c *Context) DestroySRQ(h Handle) (uint32, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.srqs.get(uint32(h))
	if s == nil {
		return 0, syscall.EINVAL
	}
	if s.refs.Load() > 0 {
		return 0, syscall.EBUSY
	}
	s.dead.Store(true)
	c.srqs.clear(uint32(h))
	c.dev.Quiesce()
	c.freeRing(s.queue)
	c.srqs.release(uint32(h))
	c.giveBack(qos.SRQs, 1)
	s.pd.refs.Add(-1)
	return c.async.forgetAsync(s.user), nil
}

// take gives the next entry. empty: nothing is posted; bad: an entry that is not well formed was passed over.
func (s *SRQ) take(w *ring.RecvWQE) (ok, bad bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	prod := s.ring.LoadProducerAcquire()
	if s.dead.Load() || prod == s.cons {
		return false, false
	}
	good := s.ring.ReadRecv(s.cons, w) && w.NumSGE <= max(s.maxSGE, 1)
	s.cons = (s.cons + 1) & s.ring.Mask()
	s.ring.StoreConsumerRelease(s.cons)
	if left := (prod - s.cons) & s.ring.Mask(); s.limit != 0 && left < s.limit {
		s.limit = 0
		s.ctx.async.sendAsync(s.user, EventSRQLimit)
	}
	return good, !good
}

// empty reports whether nothing is posted.
func (s *SRQ) empty() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ring.LoadProducerAcquire() == s.cons
}
