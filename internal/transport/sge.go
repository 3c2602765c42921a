package transport

import (
	"github.com/freeflow-rdma/freeflow/internal/mem"
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
	return qp.Scatter(out, w.SGE[:w.NumSGE], off, n, need)
}
