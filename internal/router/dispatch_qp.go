package router

import (
	"encoding/binary"
	"syscall"

	"github.com/freeflow-rdma/freeflow/internal/uapi"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
)

// standardAttrs are the attribute bits that MODIFY_QP takes (IB_QP_ATTR_STANDARD_BITS). The rate limit, which its extended
// form knows besides, is for devices that pace.
const standardAttrs = 2*verbs.MaskDestQPN - 1

func createQP(c *call, q *uapi.CreateQP) (result, error) {
	qp, err := c.newQP(&q.QPSpec)
	if err != nil {
		return result{}, err
	}
	return c.answer(createdQP(qp), ringsOf(qp))
}

func exCreateQP(c *call, q *uapi.ExCreateQP) (result, error) {
	switch {
	case q.CompMask != 0 || q.QPSpec.Reserved != 0 || q.RWQIndTblHandle != 0 || q.SourceQPN != 0:
		return result{}, syscall.EINVAL
	case q.CreateFlags != 0:
		return result{}, syscall.EOPNOTSUPP
	}
	qp, err := c.newQP(&q.QPSpec)
	if err != nil {
		return result{}, err
	}
	resp := uapi.ExCreateQPResp{Base: createdQP(qp)}
	resp.ResponseLength = c.ResponseLength(resp)
	return c.answer(resp, ringsOf(qp))
}

func (c *call) newQP(q *uapi.QPSpec) (verbs.QPInfo, error) {
	if err := c.needs(uapi.QPRings{}); err != nil {
		return verbs.QPInfo{}, err
	}
	return c.ctx.CreateQP(verbs.QPInit{
		UserHandle: q.UserHandle,
		PD:         verbs.Handle(q.PDHandle),
		SendCQ:     verbs.Handle(q.SendCQHandle),
		RecvCQ:     verbs.Handle(q.RecvCQHandle),
		SRQ:        verbs.Handle(q.SRQHandle),
		HasSRQ:     q.IsSRQ != 0,
		Type:       verbs.QPType(q.QPType),
		SigAll:     q.SQSigAll != 0,
		Cap: verbs.QPCap{
			MaxSendWR: q.MaxSendWR, MaxRecvWR: q.MaxRecvWR,
			MaxSendSGE: q.MaxSendSGE, MaxRecvSGE: q.MaxRecvSGE,
			MaxInline: q.MaxInlineData,
		},
	})
}

func createdQP(qp verbs.QPInfo) uapi.CreateQPResp {
	return uapi.CreateQPResp{
		QPHandle: uint32(qp.Handle), QPN: uint32(qp.QPN),
		MaxSendWR: qp.Cap.MaxSendWR, MaxRecvWR: qp.Cap.MaxRecvWR,
		MaxSendSGE: qp.Cap.MaxSendSGE, MaxRecvSGE: qp.Cap.MaxRecvSGE,
		MaxInlineData: qp.Cap.MaxInline,
	}
}

func ringsOf(qp verbs.QPInfo) uapi.QPRings {
	return uapi.QPRings{RQ: mmInfo(qp.RQ), SQ: mmInfo(qp.SQ)}
}

func queryQP(c *call, q *uapi.QueryQP) (result, error) {
	attr, init, err := c.ctx.QueryQP(verbs.Handle(q.QPHandle))
	if err != nil {
		return result{}, err
	}
	return c.answer(qpAttrResp(&attr, &init), nil)
}

func modifyQP(c *call, q *uapi.ModifyQP) (result, error) {
	return c.done(c.setQP(q))
}

func exModifyQP(c *call, q *uapi.ExModifyQP) (result, error) {
	if q.Reserved != 0 {
		return result{}, syscall.EINVAL
	}
	if err := c.setQP(&q.Base); err != nil {
		return result{}, err
	}
	return c.answer(uapi.ExModifyQPResp{ResponseLength: uint32(binary.Size(uapi.ExModifyQPResp{}))}, nil)
}

func (c *call) setQP(q *uapi.ModifyQP) error {
	mask := verbs.AttrMask(q.AttrMask)
	if mask&^standardAttrs != 0 {
		return syscall.EOPNOTSUPP
	}
	attr := qpAttr(q)
	return c.ctx.ModifyQP(verbs.Handle(q.QPHandle), mask, &attr)
}

func destroyQP(c *call, q *uapi.DestroyQP) (result, error) {
	events, err := c.ctx.DestroyQP(verbs.Handle(q.QPHandle))
	if err != nil {
		return result{}, err
	}
	return c.answer(uapi.DestroyQPResp{EventsReported: events}, nil)
}

// postSend is the doorbell as a command: the library rings the doorbell file instead.
func postSend(c *call, q *uapi.PostSend) (result, error) {
	if q.WRCount != 0 {
		return result{}, syscall.EOPNOTSUPP
	}
	c.ctx.Ring(verbs.Handle(q.QPHandle))
	return c.answer(uapi.PostSendResp{}, nil)
}

func attachMcast(c *call, q *uapi.AttachMcast) (result, error) {
	return c.done(c.ctx.AttachMcast(verbs.Handle(q.QPHandle), q.GID, q.MLID))
}

func detachMcast(c *call, q *uapi.AttachMcast) (result, error) {
	return c.done(c.ctx.DetachMcast(verbs.Handle(q.QPHandle), q.GID, q.MLID))
}
