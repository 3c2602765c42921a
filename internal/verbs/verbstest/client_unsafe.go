package verbstest

import (
	"sync/atomic"
	"unsafe"

	"github.com/freeflow-rdma/freeflow/internal/ring"
	"github.com/freeflow-rdma/freeflow/internal/shm"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
)

// client is a program's view of a queue, written from the header rdma/rdma_user_rxe.h and apart from package ring, so that the two
// check each other.
type client struct{ p unsafe.Pointer }

func address(b []byte) uint64 { return uint64(uintptr(unsafe.Pointer(unsafe.SliceData(b)))) }

func (p *Program) mapQueue(q verbs.Queue) client {
	p.T.Helper()
	b, err := shm.Map(p.RingsFile(), q.Offset, uint64(q.Size))
	if err != nil {
		p.T.Fatal(err)
	}
	p.T.Cleanup(func() { shm.Unmap(b) })
	return client{unsafe.Pointer(unsafe.SliceData(b))}
}

func (c client) u32(off uintptr) *uint32 { return (*uint32)(unsafe.Add(c.p, off)) }

func (c client) slot(i uint32) unsafe.Pointer {
	return unsafe.Add(c.p, 384+uintptr(i)<<*c.u32(0))
}

// bytes gives the queue's bytes to write nonsense into.
func (c client) bytes(n int) []byte { return unsafe.Slice((*byte)(c.p), n) }

func (c client) pollOne() (ring.CQE, bool) {
	cons := atomic.LoadUint32(c.u32(256))
	if atomic.LoadUint32(c.u32(128)) == cons {
		return ring.CQE{}, false
	}
	e := *(*ring.CQE)(c.slot(cons))
	atomic.StoreUint32(c.u32(256), (cons+1)&*c.u32(4))
	return e, true
}

func put32(p unsafe.Pointer, off uintptr, v uint32) { *(*uint32)(unsafe.Add(p, off)) = v }
func put64(p unsafe.Pointer, off uintptr, v uint64) { *(*uint64)(unsafe.Add(p, off)) = v }

func (c client) postSend(w *ring.SendWQE, ud bool) {
	prod := atomic.LoadUint32(c.u32(128))
	p := c.slot(prod)
	put64(p, 0, w.WRID)
	put32(p, 12, w.Opcode)
	put32(p, 16, w.SendFlags)
	put32(p, 20, w.Imm)
	switch {
	case ud:
		put32(p, 24, w.RemoteQPN)
		put32(p, 28, w.RemoteQKey)
		put32(p, 36, w.AHNum)
	case w.Opcode == uint32(verbs.OpBindMW):
		put64(p, 24, w.RemoteAddr)
		put64(p, 32, w.MWLength)
		put32(p, 40, w.MWLKey)
		put32(p, 44, w.MWRKey)
		put32(p, 48, w.MWNewKey)
		put32(p, 52, w.MWAccess)
	case w.Opcode == uint32(verbs.OpAtomicCmpAndSwp) || w.Opcode == uint32(verbs.OpAtomicFetchAdd):
		put64(p, 24, w.RemoteAddr)
		put64(p, 32, w.CompareAdd)
		put64(p, 40, w.Swap)
		put32(p, 48, w.RKey)
	default:
		put64(p, 24, w.RemoteAddr)
		put32(p, 32, w.RKey)
	}
	length := w.InlineLength
	for i := range w.NumSGE {
		length += w.SGE[i].Length
		*(*ring.SGE)(unsafe.Add(p, 208+16*uintptr(i))) = w.SGE[i]
	}
	put32(p, 184, length)
	put32(p, 188, length)
	put32(p, 196, w.NumSGE)
	atomic.StoreUint32(c.u32(128), (prod+1)&*c.u32(4))
}

func (c client) postRecv(w *ring.RecvWQE) {
	prod := atomic.LoadUint32(c.u32(128))
	p := c.slot(prod)
	put64(p, 0, w.WRID)
	put32(p, 28, w.NumSGE)
	for i := range w.NumSGE {
		*(*ring.SGE)(unsafe.Add(p, 40+16*uintptr(i))) = w.SGE[i]
	}
	atomic.StoreUint32(c.u32(128), (prod+1)&*c.u32(4))
}

// SendInline posts a work request whose data stand in its entry, and rings.
func (q *QP) SendInline(w ring.SendWQE, data []byte) {
	q.PostInline(w, data)
	q.p.Ring(q.Handle)
}

// PostInline posts a work request whose data stand in its entry, and does not ring.
func (q *QP) PostInline(w ring.SendWQE, data []byte) {
	w.NumSGE, w.InlineLength = 0, uint32(len(data))
	w.SendFlags |= uint32(verbs.SendInline)
	prod := atomic.LoadUint32(q.sq.u32(128))
	copy(unsafe.Slice((*byte)(unsafe.Add(q.sq.slot(prod), 208)), len(data)), data)
	q.Post(w)
}
