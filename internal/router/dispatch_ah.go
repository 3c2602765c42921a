package router

import (
	"github.com/freeflow-rdma/freeflow/internal/uapi"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
)

func createAH(c *call, q *uapi.CreateAH) (result, error) {
	ah, num, err := c.ctx.CreateAH(verbs.Handle(q.PDHandle), ahAttr(&q.Attr))
	if err != nil {
		return result{}, err
	}
	return c.answer(uapi.CreateAHResp{AHHandle: uint32(ah)}, uapi.AHNum{AHNum: num})
}

func destroyAH(c *call, q *uapi.DestroyAH) (result, error) {
	return c.done(c.ctx.DestroyAH(verbs.Handle(q.AHHandle)))
}
