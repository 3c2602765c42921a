package router

import (
	"syscall"

	"github.com/freeflow-rdma/freeflow/internal/uapi"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
)

func createSRQ(c *call, q *uapi.CreateSRQ) (result, error) {
	return c.newSRQ(verbs.SRQInit{
		UserHandle: q.UserHandle, PD: verbs.Handle(q.PDHandle), MaxWR: q.MaxWR, MaxSGE: q.MaxSGE, Limit: q.SRQLimit,
	})
}

// createXSRQ serves the basic type: neither XRC nor tag matching.
func createXSRQ(c *call, q *uapi.CreateXSRQ) (result, error) {
	if q.SRQType != uapi.SRQTypeBasic {
		return result{}, syscall.EOPNOTSUPP
	}
	return c.newSRQ(verbs.SRQInit{
		UserHandle: q.UserHandle, PD: verbs.Handle(q.PDHandle), MaxWR: q.MaxWR, MaxSGE: q.MaxSGE, Limit: q.SRQLimit,
	})
}

func (c *call) newSRQ(a verbs.SRQInit) (result, error) {
	if err := c.needs(uapi.SRQRing{}); err != nil {
		return result{}, err
	}
	srq, err := c.ctx.CreateSRQ(a)
	if err != nil {
		return result{}, err
	}
	return c.answer(
		uapi.CreateSRQResp{SRQHandle: uint32(srq.Handle), MaxWR: srq.MaxWR, MaxSGE: srq.MaxSGE},
		uapi.SRQRing{MI: mmInfo(srq.Queue), SRQNum: srq.Num},
	)
}

// modifySRQ answers a resize with the new ring, which the library puts where the driver data say.
func modifySRQ(c *call, q *uapi.ModifySRQ) (result, error) {
	var uhw uapi.ModifySRQUHW
	if err := c.DecodeUHW(&uhw); err != nil {
		return result{}, err
	}
	ring, err := c.ctx.ModifySRQ(verbs.Handle(q.SRQHandle), q.AttrMask, q.MaxWR, q.SRQLimit)
	if err != nil || q.AttrMask&verbs.SRQMaskMaxWR == 0 {
		return result{}, err
	}
	return result{body: uapi.Encode(mmInfo(ring))}, nil
}

func querySRQ(c *call, q *uapi.QuerySRQ) (result, error) {
	a, err := c.ctx.QuerySRQ(verbs.Handle(q.SRQHandle))
	if err != nil {
		return result{}, err
	}
	return c.answer(uapi.QuerySRQResp{MaxWR: a.MaxWR, MaxSGE: a.MaxSGE, SRQLimit: a.Limit}, nil)
}

func destroySRQ(c *call, q *uapi.DestroySRQ) (result, error) {
	events, err := c.ctx.DestroySRQ(verbs.Handle(q.SRQHandle))
	if err != nil {
		return result{}, err
	}
	return c.answer(uapi.DestroySRQResp{EventsReported: events}, nil)
}
