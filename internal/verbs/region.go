package verbs

import (
	"slices"
	"sync/atomic"
	"syscall"

	"github.com/freeflow-rdma/freeflow/internal/mem"
	"github.com/freeflow-rdma/freeflow/internal/qos"
)

// Process is the address space that a registration is made from.
type Process = mem.Process

// piece is a mapped part of a registration: Length bytes from VA (an address of the process) are b here.
type piece struct {
	va  uint64
	b   []byte
	off uint64 // in the context's memory file
}

// region is what a key stands for: a memory region, or a window onto one. A region is never changed once its key shows it; to change
// (a bind, an UNSHARE) is to show another under the same index. Workers read it without a lock.
type region struct {
	key    uint32 // LKey and RKey
	pd     *pd
	access Access
	iova   uint64 // first address by which peers and SGEs name it
	length uint64
	remote bool // usable as RKey
	barred bool // RevokeMR: no window can be bound either
	owner  *MR  // of a memory region; nil for a window
	window *window
	qp     *QP // windows of type 2: the queue pair it is bound to
	mem    *backing
	base   uint64 // address in the process of the byte that iova names
}

// backing is the memory behind a region, shared by a region and the windows on it.
type backing struct {
	proc   *Process
	pieces []piece // sorted by va
}

// MR is a registration as the control path sees it.
type MR struct {
	Handle Handle
	id     uint64 // in the memory map
	index  uint32
	pd     *pd
	init   MRInit
	reg    *region
	refs   atomic.Int32 // windows bound to it
}

// keyTag is the low byte of a key; it changes with each use of an index so that a stale key is noticed.
func nextKey(index uint32, tag uint8) uint32 { return index<<8 | uint32(tag) }

// checkAccess is what the kernel checks of access flags (ib_check_mr_access and uverbs).
func checkAccess(a Access) error {
	const known = AccessLocalWrite | accessRemote | AccessMWBind | AccessZeroBased | AccessOnDemand | AccessHugeTLB | accessOptional
	if a&^known != 0 {
		return syscall.EINVAL
	}
	if a&(AccessRemoteAtomic|AccessRemoteWrite) != 0 && a&AccessLocalWrite == 0 {
		return syscall.EINVAL
	}
	if a&AccessOnDemand != 0 {
		return syscall.EOPNOTSUPP
	}
	return nil
}

// RegMR registers Length bytes at Start of the process' memory.
func (c *Context) RegMR(p *Process, a MRInit) (MRInfo, error) {
	if err := checkAccess(a.Access); err != nil {
		return MRInfo{}, err
	}
	if a.Length == 0 || a.Start+a.Length < a.Start || a.IOVA+a.Length < a.IOVA || a.Start%pageSize != a.IOVA%pageSize {
		return MRInfo{}, syscall.EINVAL
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	pd := c.pds.get(uint32(a.PD))
	if pd == nil {
		return MRInfo{}, syscall.EINVAL
	}
	pieces, err := c.piecesOf(a)
	if err != nil {
		return MRInfo{}, err
	}
	handle, index, err := c.reserveMR(a.Length)
	if err != nil {
		return MRInfo{}, err
	}
	iova := a.IOVA
	if a.Access&AccessZeroBased != 0 {
		iova = 0
	}
	mr := &MR{Handle: Handle(handle), id: c.dev.lastMR.Add(1), index: index, pd: pd, init: a}
	mr.reg = &region{key: nextKey(index, c.dev.newTag(index)), pd: pd, access: a.Access, iova: iova, length: a.Length, base: a.Start,
		remote: a.Access&accessRemote != 0, owner: mr, mem: &backing{proc: p, pieces: pieces}}
	c.mrs.put(handle, mr)
	c.dev.keys.put(index, mr.reg)
	pd.refs.Add(1)
	if w := c.dev.mrWatch; w != nil {
		w.AddMR(mr.reg.row())
	}
	return MRInfo{Handle: mr.Handle, LKey: LKey(mr.reg.key), RKey: RKey(mr.reg.key)}, nil
}

// reserveMR takes what a registration needs: of the quotas, a handle and a key.
func (c *Context) reserveMR(length uint64) (handle, index uint32, err error) {
	if err = c.claim(qos.MRs, 1); err != nil {
		return 0, 0, err
	}
	if err = c.claim(qos.MRBytes, length); err != nil {
		c.giveBack(qos.MRs, 1)
		return 0, 0, err
	}
	if handle, err = c.mrs.reserve(); err == nil {
		if index, err = c.dev.keys.reserve(); err == nil {
			return handle, index, nil
		}
		c.mrs.release(handle)
	}
	c.giveBack(qos.MRs, 1)
	c.giveBack(qos.MRBytes, length)
	return 0, 0, err
}

// piecesOf checks the extents that the library says and finds them in the context's memory file.
func (c *Context) piecesOf(a MRInit) ([]piece, error) {
	pieces := make([]piece, 0, len(a.Extents))
	for _, e := range a.Extents {
		if e.Length == 0 || e.VA%pageSize != 0 || e.Length%pageSize != 0 || e.Offset%pageSize != 0 || e.VA+e.Length < e.VA {
			return nil, syscall.EINVAL
		}
		b, ok := c.memory.At(e.Offset, e.Length)
		if !ok {
			return nil, syscall.EINVAL
		}
		pieces = append(pieces, piece{va: e.VA, b: b, off: e.Offset})
	}
	slices.SortFunc(pieces, func(x, y piece) int {
		if x.va < y.va {
			return -1
		}
		return 1
	})
	for i := 1; i < len(pieces); i++ {
		if pieces[i-1].va+uint64(len(pieces[i-1].b)) > pieces[i].va {
			return nil, syscall.EINVAL
		}
	}
	return pieces, nil
}

// DeregMR ends a registration. EBUSY while a window is bound to it.
func (c *Context) DeregMR(h Handle) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	mr := c.mrs.get(uint32(h))
	if mr == nil {
		return syscall.EINVAL
	}
	if mr.refs.Load() > 0 {
		return syscall.EBUSY
	}
	c.dev.keys.clear(mr.index)
	c.dev.Quiesce()
	if mr.refs.Load() > 0 { // a worker bound a window while we looked
		c.dev.keys.put(mr.index, mr.reg)
		return syscall.EBUSY
	}
	c.dropMR(mr)
	return nil
}

// RevokeMR takes the remote rights of the registration that has a key (its LKey and RKey are the same) away, and those of the windows on
// it: peers' requests fail from now on. The program goes on using it locally. ENOENT if there is no such key.
func (d *Device) RevokeMR(key RKey) error {
	r := d.keys.get(uint32(key) >> 8)
	if r == nil || r.key != uint32(key) || r.owner == nil {
		return syscall.ENOENT
	}
	c, mr := r.pd.ctx, r.owner
	c.mu.Lock()
	defer c.mu.Unlock()
	if d.keys.get(mr.index) != mr.reg { // it went while we looked
		return syscall.ENOENT
	}
	revoked := *mr.reg
	revoked.remote, revoked.barred = false, true
	mr.reg = &revoked
	d.keys.put(mr.index, mr.reg)
	c.unbindWindows(func(w *window) bool { return w.mr == mr })
	d.Quiesce()
	return nil
}

// dropMR gives back the indices of a registration whose key is cleared already.
func (c *Context) dropMR(mr *MR) {
	c.dev.forgetMR(mr)
	c.dev.keys.release(mr.index)
	c.mrs.release(uint32(mr.Handle))
	mr.pd.refs.Add(-1)
	c.giveBack(qos.MRs, 1)
	c.giveBack(qos.MRBytes, mr.reg.length)
}

// Unshare says that [va, va+length) of the process is no mapping of the memory file any more. Registrations that overlap are
// reached through the process from now on.
func (c *Context) Unshare(p *Process, va, length uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	changed := false
	c.mrs.each(func(_ uint32, mr *MR) {
		if mr.reg.mem.proc != p {
			return
		}
		kept := slices.DeleteFunc(slices.Clone(mr.reg.mem.pieces), func(x piece) bool {
			return x.va < va+length && va < x.va+uint64(len(x.b))
		})
		if len(kept) == len(mr.reg.mem.pieces) {
			return
		}
		changed = true
		r := *mr.reg
		r.mem = &backing{proc: p, pieces: kept}
		mr.reg = &r
		c.dev.keys.put(mr.index, mr.reg)
		c.rebindWindows(mr)
	})
	if changed {
		c.dev.Quiesce()
	}
}

// MemAlloc hands out zeroed room in the context's memory file.
func (c *Context) MemAlloc(length uint64) (uint64, error) { return c.memory.Alloc(length) }

// MemFree takes room back. EBUSY while a registration lies in it.
func (c *Context) MemFree(offset, length uint64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	busy := false
	c.mrs.each(func(_ uint32, mr *MR) {
		for _, x := range mr.reg.mem.pieces {
			busy = busy || x.off < offset+length && offset < x.off+uint64(len(x.b))
		}
	})
	if busy {
		return syscall.EBUSY
	}
	return c.memory.Free(offset, length)
}

// covers reports whether [addr, addr+n) lies in the region.
func (r *region) covers(addr uint64, n uint64) bool {
	off := addr - r.iova
	return addr >= r.iova && off <= r.length && n <= r.length-off
}

// spans appends the memory of [addr, addr+n), which the region covers.
func (r *region) spans(out []mem.Span, addr uint64, n int) []mem.Span {
	va := r.base + (addr - r.iova)
	ps := r.mem.pieces
	for n > 0 {
		i := 0
		if len(ps) > 2 {
			i, _ = slices.BinarySearchFunc(ps, va, func(x piece, v uint64) int {
				if x.va+uint64(len(x.b)) <= v {
					return -1
				}
				return 1
			})
		} else {
			for i < len(ps) && ps[i].va+uint64(len(ps[i].b)) <= va {
				i++
			}
		}
		k := n
		if i < len(ps) && ps[i].va <= va {
			b := ps[i].b[va-ps[i].va:]
			k = min(k, len(b))
			out = append(out, mem.Mapped(b[:k]))
		} else {
			if i < len(ps) {
				k = int(min(uint64(k), ps[i].va-va))
			}
			out = append(out, mem.Span{N: k, Proc: r.mem.proc, VA: va})
		}
		va += uint64(k)
		n -= k
	}
	return out
}

// Fault is what is wrong with a key or the range it is used for.
type Fault uint8

// The faults of Local and Remote.
const (
	FaultNone Fault = iota
	FaultKey        // no such key here, or not for this protection domain or queue pair
	FaultRange
	FaultAccess
)

// Local appends the memory that an SGE of this queue pair names. need is AccessLocalWrite for memory to be written, else 0.
func (qp *QP) Local(out []mem.Span, lkey LKey, addr uint64, n int, need Access) ([]mem.Span, Fault) {
	if n == 0 {
		return out, FaultNone
	}
	r := qp.dev.keys.get(uint32(lkey) >> 8)
	if r == nil || r.key != uint32(lkey) || r.pd != qp.pd || r.window != nil {
		return out, FaultKey
	}
	if r.access&need != need {
		return out, FaultAccess
	}
	if !r.covers(addr, uint64(n)) {
		return out, FaultRange
	}
	return r.spans(out, addr, n), FaultNone
}

// Remote appends the memory that a peer's request names by RKey, for this queue pair as the responder. need is one of the AccessRemote flags.
func (qp *QP) Remote(out []mem.Span, rkey RKey, addr uint64, n int, need Access) ([]mem.Span, Fault) {
	r, f := qp.remote(rkey, addr, n, need)
	if f != FaultNone {
		return out, f
	}
	return r.spans(out, addr, n), FaultNone
}

// RemoteCovers is Remote without the memory: only the check.
func (qp *QP) RemoteCovers(rkey RKey, addr uint64, n int, need Access) Fault {
	_, f := qp.remote(rkey, addr, n, need)
	return f
}

func (qp *QP) remote(rkey RKey, addr uint64, n int, need Access) (*region, Fault) {
	r := qp.dev.keys.get(uint32(rkey) >> 8)
	if r == nil || r.key != uint32(rkey) || r.pd != qp.pd || !r.remote || r.qp != nil && r.qp != qp {
		return nil, FaultKey
	}
	if r.access&need != need {
		return nil, FaultAccess
	}
	if !r.covers(addr, uint64(n)) {
		return nil, FaultRange
	}
	return r, FaultNone
}
