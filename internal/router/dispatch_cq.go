package router

import (
	"syscall"

	"github.com/freeflow-rdma/freeflow/internal/uapi"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
)

func createCompChannel(c *call, _ *uapi.CreateCompChannel) (result, error) {
	file, err := c.ctx.CreateCompChannel()
	if err != nil {
		return result{}, err
	}
	return result{body: c.Response(uapi.CreateCompChannelResp{}, nil), file: file}, nil
}

func createCQ(c *call, q *uapi.CreateCQ) (result, error) {
	cq, err := c.newCQ(verbs.CQInit{UserHandle: q.UserHandle, CQE: q.CQE, CompVector: q.CompVector}, q.CompChannel)
	if err != nil {
		return result{}, err
	}
	return c.answer(uapi.CreateCQResp{CQHandle: uint32(cq.Handle), CQE: cq.CQE}, mmInfo(cq.Queue))
}

func exCreateCQ(c *call, q *uapi.ExCreateCQ) (result, error) {
	switch {
	case q.CompMask != 0 || q.Reserved != 0:
		return result{}, syscall.EINVAL
	case q.Flags != 0: // no timestamps, and an overrun is never ignored
		return result{}, syscall.EOPNOTSUPP
	}
	cq, err := c.newCQ(verbs.CQInit{UserHandle: q.UserHandle, CQE: q.CQE, CompVector: q.CompVector}, q.CompChannel)
	if err != nil {
		return result{}, err
	}
	resp := uapi.ExCreateCQResp{Base: uapi.CreateCQResp{CQHandle: uint32(cq.Handle), CQE: cq.CQE}}
	resp.ResponseLength = c.ResponseLength(resp)
	return c.answer(resp, mmInfo(cq.Queue))
}

// newCQ creates a CQ. A channel is named by the inode of its descriptor, which the library puts beside the command; the descriptor's
// number says only whether there is one.
func (c *call) newCQ(a verbs.CQInit, channel int32) (verbs.CQInfo, error) {
	if err := c.needs(uapi.MMInfo{}); err != nil {
		return verbs.CQInfo{}, err
	}
	if channel >= 0 {
		if c.aux == 0 {
			return verbs.CQInfo{}, syscall.EINVAL
		}
		a.Channel = c.aux
	}
	return c.ctx.CreateCQ(a)
}

func resizeCQ(c *call, q *uapi.ResizeCQ) (result, error) {
	if err := c.needs(uapi.MMInfo{}); err != nil {
		return result{}, err
	}
	cq, err := c.ctx.ResizeCQ(verbs.Handle(q.CQHandle), q.CQE)
	if err != nil {
		return result{}, err
	}
	return c.answer(uapi.ResizeCQResp{CQE: cq.CQE}, mmInfo(cq.Queue))
}

func destroyCQ(c *call, q *uapi.DestroyCQ) (result, error) {
	comp, async, err := c.ctx.DestroyCQ(verbs.Handle(q.CQHandle))
	if err != nil {
		return result{}, err
	}
	return c.answer(uapi.DestroyCQResp{CompEventsReported: comp, AsyncEventsReported: async}, nil)
}

func reqNotifyCQ(c *call, q *uapi.ReqNotifyCQ) (result, error) {
	return c.done(c.ctx.ReqNotifyCQ(verbs.Handle(q.CQHandle), q.SolicitedOnly != 0))
}
