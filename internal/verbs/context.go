package verbs

import (
	"os"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/freeflow-rdma/freeflow/internal/engine"
	"github.com/freeflow-rdma/freeflow/internal/qos"
	"github.com/freeflow-rdma/freeflow/internal/shm"
)

// Context is one opened device: a process' (and its forked children's) objects. See the package comment for who may call what.
type Context struct {
	dev    *Device
	cont   *Container
	id     uint32
	token  [16]byte
	rings  *shm.Arena
	memory *shm.Arena
	bell   *engine.Doorbell
	async  *Channel
	pid    atomic.Int64

	mu       sync.Mutex
	closed   bool
	pds      *table[pd]
	mrs      *table[MR]
	mws      *table[window]
	cqs      *table[CQ]
	qps      *table[QP]
	srqs     *table[SRQ]
	ahs      *table[ah]
	channels map[uint64]*Channel // by st_ino of the client's end
	claimed  qos.Quota           // of the container's quota
}

// pd is a protection domain. refs counts what was made in it.
type pd struct {
	ctx  *Context
	refs atomic.Int32
}

// ID and Token name the context to JOIN; the token is a secret.
func (c *Context) ID() uint64 { return uint64(c.id) }

// Token is the secret that a forked child shows.
func (c *Context) Token() [16]byte { return c.token }

// Device is where the context lives.
func (c *Context) Device() *Device { return c.dev }

// Container is whose context it is.
func (c *Context) Container() *Container { return c.cont }

// MTU is the port's path MTU code (IBV_MTU_*).
func (c *Context) MTU() uint8 { return c.dev.MTU() }

// RingsFile, MemoryFile, DoorbellFile and Wakers are docs/abi.md's descriptors. They belong to the context.
func (c *Context) RingsFile() *os.File { return c.rings.File() }

// MemoryFile is the file whose pages are mapped over registered memory.
func (c *Context) MemoryFile() *os.File { return c.memory.File() }

// DoorbellFile is the doorbell file.
func (c *Context) DoorbellFile() *os.File { return c.bell.File() }

// Wakers are the eventfds, one for each worker that may serve this context.
func (c *Context) Wakers() []*os.File { return c.bell.Wakers() }

// itemOf finds what a doorbell's bit stands for. Workers call it.
func (c *Context) itemOf(handle uint32) *engine.Item {
	if qp := c.qps.get(handle); qp != nil {
		return &qp.Item
	}
	return nil
}

// Ring is a doorbell by message.
func (c *Context) Ring(h Handle) { c.dev.eng.Ring(c.bell, uint32(h)) }

// AllocPD makes a protection domain.
func (c *Context) AllocPD() (Handle, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.claim(qos.PDs, 1); err != nil {
		return 0, err
	}
	i, err := c.pds.reserve()
	if err != nil {
		c.giveBack(qos.PDs, 1)
		return 0, err
	}
	c.pds.put(i, &pd{ctx: c})
	return Handle(i), nil
}

// DeallocPD ends a protection domain. EBUSY while something is in it.
func (c *Context) DeallocPD(h Handle) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.pds.get(uint32(h))
	if p == nil {
		return syscall.EINVAL
	}
	if p.refs.Load() > 0 {
		return syscall.EBUSY
	}
	c.pds.release(uint32(h))
	c.giveBack(qos.PDs, 1)
	return nil
}

// DropProcess says that a process has gone whose memory some registrations are. Its mem file is closed.
func (c *Context) DropProcess(p *Process) {
	p.Gone()
	c.dev.Quiesce()
	p.Close()
}

// Fatal tells the program that the device is dead.
func (c *Context) Fatal() { c.async.sendAsync(0, EventDeviceFatal) }

// Close ends the context and everything in it. Queue pairs that were connected to it lose their peer.
func (c *Context) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	c.closed = true
	c.qps.each(func(_ uint32, qp *QP) { qp.unlink(true) })
	c.srqs.each(func(_ uint32, s *SRQ) { s.dead.Store(true) })
	c.mws.each(func(_ uint32, w *window) {
		w.mu.Lock()
		w.dead = true
		w.unbind()
		w.mu.Unlock()
		c.dev.windows.clear(w.index)
	})
	c.mrs.each(func(_ uint32, mr *MR) { c.dev.keys.clear(mr.index) })
	c.dev.eng.Remove(c.bell) // quiesces
	c.bell = nil
	c.qps.each(func(_ uint32, qp *QP) {
		c.dev.carrier.Reset(qp)
		qp.Send.Toll.Drop()
		c.dev.left(qp)
		c.dev.qps.release(uint32(qp.Num))
	})
	c.mws.each(func(_ uint32, w *window) { c.dev.keys.release(w.index) })
	c.mrs.each(func(_ uint32, mr *MR) {
		c.dev.forgetMR(mr)
		c.dev.keys.release(mr.index)
	})
	for _, ch := range c.channels {
		ch.close()
	}
	c.release()
}

// release gives back what OpenContext took.
func (c *Context) release() {
	if c.bell != nil {
		c.dev.eng.Remove(c.bell)
	}
	if c.async != nil {
		c.async.close()
	}
	if c.rings != nil {
		c.rings.Close()
	}
	if c.memory != nil {
		c.memory.Close()
	}
	if c.id != 0 {
		c.dev.ctxs.release(c.id)
	}
	c.giveAll()
}
