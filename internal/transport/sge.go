package transport

import (
	"github.com/freeflow-rdma/freeflow/internal/mem"
	"github.com/freeflow-rdma/freeflow/internal/ring"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
)

// gather appends the memory of n bytes of a work request's data from byte off on. Its entry stands in qp.Send.WQE.
func gather(qp *verbs.QP, o *verbs.Outstanding, out []mem.Span, off, n uint32, need verbs.Access) ([]mem.Span, verbs.Fault) {
	w := &qp.Send.WQE
	if n == 0 {
		return out, verbs.FaultNone
	}
	if w.InlineLength != 0 {
		r, slot := qp.Inline(o)
		return append(out, mem.Pointed(r.Inline(slot, off), int(n))), verbs.FaultNone
	}
	return scatter(qp, out, w.SGE[:w.NumSGE], off, n, need)
}

// scatter appends the memory of n bytes of an SGE list from byte off on.
func scatter(qp *verbs.QP, out []mem.Span, sges []ring.SGE, off, n uint32, need verbs.Access) ([]mem.Span, verbs.Fault) {
	for i := range sges {
		g := &sges[i]
		if off >= g.Length {
			off -= g.Length
			continue
		}
		k := min(n, g.Length-off)
		var f verbs.Fault
		if out, f = qp.Local(out, verbs.LKey(g.LKey), g.Addr+uint64(off), int(k), need); f != verbs.FaultNone {
			return out, f
		}
		off = 0
		if n -= k; n == 0 {
			break
		}
	}
	return out, verbs.FaultNone
}

// recvRoom is the number of bytes that a receive has room for.
func recvRoom(w *ring.RecvWQE) uint64 {
	sum := uint64(0)
	for i := range w.NumSGE {
		sum += uint64(w.SGE[i].Length)
	}
	return sum
}
