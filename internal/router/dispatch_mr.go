package router

import (
	"syscall"

	"github.com/freeflow-rdma/freeflow/internal/fdconn"
	"github.com/freeflow-rdma/freeflow/internal/uapi"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
)

func allocPD(c *call, _ *uapi.AllocPD) (result, error) {
	pd, err := c.ctx.AllocPD()
	if err != nil {
		return result{}, err
	}
	return c.answer(uapi.AllocPDResp{PDHandle: uint32(pd)}, nil)
}

func deallocPD(c *call, q *uapi.DeallocPD) (result, error) {
	return c.done(c.ctx.DeallocPD(verbs.Handle(q.PDHandle)))
}

func regMR(c *call, q *uapi.RegMR) (result, error) {
	mr, err := c.ctx.RegMR(c.process, verbs.MRInit{
		PD:      verbs.Handle(q.PDHandle),
		Start:   q.Start,
		Length:  q.Length,
		IOVA:    q.HCAVA,
		Access:  verbs.Access(q.AccessFlags),
		Extents: extents(c.extents),
	})
	if err != nil {
		return result{}, err
	}
	return c.answer(uapi.RegMRResp{MRHandle: uint32(mr.Handle), LKey: uint32(mr.LKey), RKey: uint32(mr.RKey)}, nil)
}

func extents(list fdconn.Extents) []verbs.Extent {
	if list.Len() == 0 {
		return nil
	}
	out := make([]verbs.Extent, list.Len())
	for i := range out {
		out[i].VA, out[i].Length, out[i].Offset = list.At(i)
	}
	return out
}

// reregMR refuses, as Soft-RoCE does: its provider never asks.
func reregMR(*call, *uapi.ReregMR) (result, error) { return result{}, syscall.EOPNOTSUPP }

func deregMR(c *call, q *uapi.DeregMR) (result, error) {
	return c.done(c.ctx.DeregMR(verbs.Handle(q.MRHandle)))
}

func allocMW(c *call, q *uapi.AllocMW) (result, error) {
	mw, err := c.ctx.AllocMW(verbs.Handle(q.PDHandle), q.MWType)
	if err != nil {
		return result{}, err
	}
	return c.answer(uapi.AllocMWResp{MWHandle: uint32(mw.Handle), RKey: uint32(mw.RKey)}, nil)
}

func deallocMW(c *call, q *uapi.DeallocMW) (result, error) {
	return c.done(c.ctx.DeallocMW(verbs.Handle(q.MWHandle)))
}
