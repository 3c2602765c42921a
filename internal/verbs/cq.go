package verbs

import (
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/freeflow-rdma/freeflow/internal/engine"
	"github.com/freeflow-rdma/freeflow/internal/qos"
	"github.com/freeflow-rdma/freeflow/internal/ring"
)

// CQ is a completion queue. Workers push under mu, which is held for a few stores only.
type CQ struct {
	ctx     *Context
	handle  Handle
	user    uint64
	channel *Channel
	arm     engine.Arm
	refs    atomic.Int32 // queue pairs that complete here

	mu     sync.Mutex
	ring   ring.Ring
	queue  Queue
	prod   uint32
	cons   uint32 // as last read
	failed bool   // overrun: takes no more
	dead   bool
	events uint32 // sent on the channel; under the channel's lock
	queued bool   // an event is in the channel's backlog; under the channel's lock
}

// CreateCQ makes a completion queue of at least CQE entries.
func (c *Context) CreateCQ(a CQInit) (CQInfo, error) {
	if a.CQE == 0 || a.CQE > MaxCQE || a.CompVector >= NumCompVectors {
		return CQInfo{}, syscall.EINVAL
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	var ch *Channel
	if a.Channel != 0 {
		if ch = c.channels[a.Channel]; ch == nil {
			return CQInfo{}, syscall.EBADF
		}
		ch.hadCQ = true
	}
	if err := c.deep(qos.CQDepth, a.CQE); err != nil {
		return CQInfo{}, err
	}
	if err := c.claim(qos.CQs, 1); err != nil {
		return CQInfo{}, err
	}
	r, q, g, err := c.newRing(a.CQE, ring.CQESize)
	if err != nil {
		c.giveBack(qos.CQs, 1)
		return CQInfo{}, err
	}
	cq, err := c.cqs.add(func(i uint32) *CQ {
		arm, _ := c.bell.Arm(i)
		arm.Set(engine.ArmNone)
		return &CQ{ctx: c, handle: Handle(i), user: a.UserHandle, channel: ch, arm: arm, ring: r, queue: q}
	})
	if err != nil {
		c.freeRing(q)
		c.giveBack(qos.CQs, 1)
		return CQInfo{}, err
	}
	return CQInfo{Handle: cq.handle, CQE: g.Entries(), Queue: q}, nil
}

// newRing makes a queue in the context's rings file.
func (c *Context) newRing(entries, size uint32) (ring.Ring, Queue, ring.Geometry, error) {
	g := ring.Fit(entries, size)
	off, err := c.rings.Alloc(g.Bytes())
	if err != nil {
		return ring.Ring{}, Queue{}, g, err
	}
	b, _ := c.rings.At(off, g.Bytes())
	r, err := ring.New(b, g)
	if err != nil {
		return ring.Ring{}, Queue{}, g, err
	}
	return r, Queue{Offset: off, Size: uint32(g.Bytes())}, g, nil
}

func (c *Context) freeRing(q Queue) {
	if q.Size != 0 {
		if err := c.rings.Free(q.Offset, uint64(q.Size)); err != nil {
			c.dev.log.Error("cannot free a queue", "err", err)
		}
	}
}

// ResizeCQ moves what is in a completion queue to a new one. EINVAL if it holds more than that takes.
func (c *Context) ResizeCQ(h Handle, cqe uint32) (CQInfo, error) {
	if cqe == 0 || cqe > MaxCQE {
		return CQInfo{}, syscall.EINVAL
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	cq := c.cqs.get(uint32(h))
	if cq == nil {
		return CQInfo{}, syscall.EINVAL
	}
	if err := c.deep(qos.CQDepth, cqe); err != nil {
		return CQInfo{}, err
	}
	r, q, g, err := c.newRing(cqe, ring.CQESize)
	if err != nil {
		return CQInfo{}, err
	}
	old := cq.queue
	if !cq.move(r, q, g) {
		c.freeRing(q)
		return CQInfo{}, syscall.EINVAL
	}
	c.freeRing(old)
	return CQInfo{Handle: h, CQE: g.Entries(), Queue: q}, nil
}

// move copies the unread completions to another ring and takes that from now on.
func (cq *CQ) move(r ring.Ring, q Queue, g ring.Geometry) bool {
	cq.mu.Lock()
	defer cq.mu.Unlock()
	cons := cq.ring.LoadConsumerAcquire()
	n := (cq.prod - cons) & cq.ring.Mask()
	if n > g.Entries() {
		return false
	}
	for i := range n {
		e := cq.ring.ReadCQE(cons + i)
		r.WriteCQE(i, &e)
	}
	r.StoreProducerRelease(n)
	cq.ring, cq.queue, cq.prod, cq.cons = r, q, n, 0
	return true
}

// DestroyCQ ends a completion queue. EBUSY while queue pairs use it. It tells how many events the program has read.
func (c *Context) DestroyCQ(h Handle) (compEvents, asyncEvents uint32, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	cq := c.cqs.get(uint32(h))
	if cq == nil {
		return 0, 0, syscall.EINVAL
	}
	if cq.refs.Load() > 0 {
		return 0, 0, syscall.EBUSY
	}
	cq.mu.Lock()
	cq.dead = true
	cq.mu.Unlock()
	c.cqs.clear(uint32(h))
	c.dev.Quiesce()
	cq.arm.Set(engine.ArmNone)
	if cq.channel != nil {
		back := cq.channel.takeBack(cq.user)
		compEvents = cq.events - min(cq.events, back)
	}
	asyncEvents = c.async.forgetAsync(cq.user)
	c.freeRing(cq.queue)
	c.cqs.release(uint32(h))
	c.giveBack(qos.CQs, 1)
	return compEvents, asyncEvents, nil
}

// ReqNotifyCQ arms a completion queue by command; the library does it in the doorbell file.
func (c *Context) ReqNotifyCQ(h Handle, solicitedOnly bool) error {
	cq := c.cqs.get(uint32(h))
	if cq == nil {
		return syscall.EINVAL
	}
	if solicitedOnly {
		cq.arm.Set(engine.ArmSolicited)
	} else {
		cq.arm.Set(engine.ArmNext)
	}
	return nil
}

// push publishes completions in one go, and notes in the batch whether an event is due for them. It reports false when the queue
// overran, now or before. Workers, and the control path where it flushes.
func (cq *CQ) push(b *batch) bool {
	cq.mu.Lock()
	if cq.dead || cq.failed {
		cq.mu.Unlock()
		return false
	}
	for i := range b.n {
		if !cq.room() {
			cq.failed = true
			break
		}
		cq.ring.WriteCQE(cq.prod, &b.cqe[i])
		cq.prod = (cq.prod + 1) & cq.ring.Mask()
	}
	failed := cq.failed
	if cq.channel == nil {
		cq.ring.StoreProducerRelease(cq.prod)
	} else {
		cq.ring.StoreProducerSeqCst(cq.prod)
	}
	cq.mu.Unlock()
	if cq.channel != nil && cq.arm.Fire(b.solicited) {
		b.notice.cq = cq
	}
	if failed {
		cq.ctx.async.sendAsync(cq.user, EventCQErr)
	}
	return !failed
}

// unread reports whether there are completions that the program has not taken.
func (cq *CQ) unread() bool {
	cq.mu.Lock()
	defer cq.mu.Unlock()
	return !cq.dead && cq.prod != cq.ring.LoadConsumerAcquire()
}

// room reports whether there is an empty slot; the program's index is read only when the last reading says there is none.
func (cq *CQ) room() bool {
	next := (cq.prod + 1) & cq.ring.Mask()
	if next != cq.cons {
		return true
	}
	cq.cons = cq.ring.LoadConsumerAcquire()
	return next != cq.cons
}
