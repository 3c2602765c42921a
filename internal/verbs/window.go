package verbs

import (
	"sync"
	"syscall"

	"github.com/freeflow-rdma/freeflow/internal/qos"
)

// Window types (IBV_MW_TYPE_*).
const (
	windowType1 = 1
	windowType2 = 2
)

// windowIgnored are rights that a bind may name without effect: a window is for peers only, but programs repeat the region's rights.
const windowIgnored = AccessLocalWrite | AccessMWBind | accessOptional

// window is a memory window. Bound, its key shows a region; unbound, the key shows nothing. Binding and invalidating happen
// on workers, in the order of the send queue; mu orders them with the control path.
type window struct {
	handle Handle
	index  uint32
	typ    uint8
	pd     *pd
	ctx    *Context

	mu   sync.Mutex
	key  uint32 // the current RKey
	mr   *MR    // bound to; nil when unbound
	reg  *region
	dead bool
}

// AllocMW makes an unbound window of type 1 or 2.
func (c *Context) AllocMW(pdh Handle, typ uint8) (MWInfo, error) {
	if typ != windowType1 && typ != windowType2 {
		return MWInfo{}, syscall.EINVAL
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	pd := c.pds.get(uint32(pdh))
	if pd == nil {
		return MWInfo{}, syscall.EINVAL
	}
	if err := c.claim(qos.MWs, 1); err != nil {
		return MWInfo{}, err
	}
	handle, err := c.mws.reserve()
	if err != nil {
		c.giveBack(qos.MWs, 1)
		return MWInfo{}, err
	}
	index, err := c.dev.keys.reserve()
	if err != nil {
		c.mws.release(handle)
		c.giveBack(qos.MWs, 1)
		return MWInfo{}, err
	}
	key := nextKey(index, c.dev.newTag(index)) // w.key is the workers' once w is shown
	w := &window{handle: Handle(handle), index: index, typ: typ, pd: pd, ctx: c, key: key}
	c.mws.put(handle, w)
	c.dev.windows.put(index, w)
	pd.refs.Add(1)
	return MWInfo{Handle: w.handle, RKey: RKey(key)}, nil
}

// DeallocMW ends a window, bound or not.
func (c *Context) DeallocMW(h Handle) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	w := c.mws.get(uint32(h))
	if w == nil {
		return syscall.EINVAL
	}
	c.dropMW(w)
	return nil
}

func (c *Context) dropMW(w *window) {
	w.mu.Lock()
	w.dead = true
	w.unbind()
	w.mu.Unlock()
	c.dev.windows.clear(w.index)
	c.dev.Quiesce()
	c.dev.keys.release(w.index)
	c.mws.release(uint32(w.handle))
	w.pd.refs.Add(-1)
	c.giveBack(qos.MWs, 1)
}

// unbind takes the window off its region. Under w.mu.
func (w *window) unbind() {
	if w.mr != nil {
		w.mr.refs.Add(-1)
	}
	w.mr, w.reg = nil, nil
	w.ctx.dev.keys.clear(w.index)
}

// Bind is a bind-window work request (IBTA 10.6.7.2).
type Bind struct {
	Window, NewKey RKey // the window's key as it is, and as it shall be
	Region         LKey
	Addr, Length   uint64
	Access         Access
}

// BindMW binds a window through this queue pair. A length of zero unbinds. False is a memory window bind error.
func (qp *QP) BindMW(b *Bind) bool {
	w := qp.dev.windows.get(uint32(b.Window) >> 8)
	if w == nil || w.ctx != qp.ctx || w.pd != qp.pd || uint32(b.NewKey)>>8 != w.index {
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.dead || w.key != uint32(b.Window) {
		return false
	}
	if w.typ == windowType2 && w.mr != nil {
		return false // type 2 has to be invalidated first (IBTA 10.6.7.2.2)
	}
	if b.Length == 0 && w.typ == windowType2 {
		return false
	}
	if b.Length == 0 {
		w.unbind()
		w.key = uint32(b.NewKey)
		return true
	}
	r := qp.dev.keys.get(uint32(b.Region) >> 8)
	if r == nil || r.key != uint32(b.Region) || r.owner == nil || r.barred || r.pd != qp.pd || r.access&AccessMWBind == 0 || !r.covers(b.Addr, b.Length) {
		return false
	}
	if b.Access&(AccessRemoteWrite|AccessRemoteAtomic) != 0 && r.access&AccessLocalWrite == 0 {
		return false
	}
	if b.Access&^(accessRemote|AccessZeroBased|windowIgnored) != 0 || b.Access&AccessZeroBased != 0 && w.typ == windowType1 {
		return false
	}
	w.unbind()
	r.owner.refs.Add(1)
	w.mr, w.key = r.owner, uint32(b.NewKey)
	w.reg = &region{key: w.key, pd: w.pd, access: b.Access & accessRemote, iova: b.Addr, length: b.Length, remote: true, window: w,
		mem: r.mem, base: r.base + (b.Addr - r.iova)}
	if b.Access&AccessZeroBased != 0 {
		w.reg.iova = 0
	}
	if w.typ == windowType2 {
		w.reg.qp = qp
	}
	qp.dev.keys.put(w.index, w.reg)
	return true
}

// Invalidate takes a type 2 window off its region: a local invalidate of this queue pair, or a peer's SEND with invalidate (peer true). False if
// the key is no type 2 window bound to this queue pair (IBTA 10.6.7.2.6).
func (qp *QP) Invalidate(key RKey) bool {
	w := qp.dev.windows.get(uint32(key) >> 8)
	if w == nil || w.ctx != qp.ctx || w.pd != qp.pd || w.typ != windowType2 {
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.dead || w.key != uint32(key) || w.mr == nil || w.reg.qp != qp {
		return false
	}
	w.unbind()
	return true
}

// rebindWindows lets the windows on a registration follow a change of its backing. Under c.mu.
func (c *Context) rebindWindows(mr *MR) {
	c.mws.each(func(_ uint32, w *window) {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.mr != mr {
			return
		}
		r := *w.reg
		r.mem = mr.reg.mem
		w.reg = &r
		c.dev.keys.put(w.index, w.reg)
	})
}

// unbindQP takes every type 2 window off that is bound to a queue pair which goes away. Under c.mu.
func (c *Context) unbindQP(qp *QP) {
	c.unbindWindows(func(w *window) bool { return w.reg != nil && w.reg.qp == qp })
}

// unbindWindows takes the windows off that are meant. Under c.mu; which is asked under the window's lock.
func (c *Context) unbindWindows(which func(w *window) bool) {
	c.mws.each(func(_ uint32, w *window) {
		w.mu.Lock()
		defer w.mu.Unlock()
		if which(w) {
			w.unbind()
		}
	})
}
