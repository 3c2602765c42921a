package router

import (
	"encoding/binary"
	"errors"
	"os"
	"syscall"

	"github.com/freeflow-rdma/freeflow/internal/fdconn"
	"github.com/freeflow-rdma/freeflow/internal/uapi"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
)

// call is one uverbs command being served.
type call struct {
	uapi.Command
	ctx       Context
	process   *verbs.Process
	container *verbs.Container
	aux       uint64
	extents   fdconn.Extents
}

// result is what a command answers. The session sends file along and closes it.
type result struct {
	body []byte
	file *os.File
}

type handler func(*call) (result, error)

// handlers is the one table from commands to what serves them.
var handlers = map[uapi.Cmd]handler{
	uapi.CmdGetContext:        request(getContext),
	uapi.CmdQueryDevice:       request(queryDevice),
	uapi.CmdExQueryDevice:     request(exQueryDevice),
	uapi.CmdQueryPort:         request(queryPort),
	uapi.CmdAllocPD:           request(allocPD),
	uapi.CmdDeallocPD:         request(deallocPD),
	uapi.CmdCreateAH:          request(createAH),
	uapi.CmdDestroyAH:         request(destroyAH),
	uapi.CmdRegMR:             request(regMR),
	uapi.CmdReregMR:           request(reregMR),
	uapi.CmdDeregMR:           request(deregMR),
	uapi.CmdAllocMW:           request(allocMW),
	uapi.CmdDeallocMW:         request(deallocMW),
	uapi.CmdCreateCompChannel: request(createCompChannel),
	uapi.CmdCreateCQ:          request(createCQ),
	uapi.CmdExCreateCQ:        request(exCreateCQ),
	uapi.CmdResizeCQ:          request(resizeCQ),
	uapi.CmdDestroyCQ:         request(destroyCQ),
	uapi.CmdReqNotifyCQ:       request(reqNotifyCQ),
	uapi.CmdCreateQP:          request(createQP),
	uapi.CmdExCreateQP:        request(exCreateQP),
	uapi.CmdQueryQP:           request(queryQP),
	uapi.CmdModifyQP:          request(modifyQP),
	uapi.CmdExModifyQP:        request(exModifyQP),
	uapi.CmdDestroyQP:         request(destroyQP),
	uapi.CmdPostSend:          request(postSend),
	uapi.CmdAttachMcast:       request(attachMcast),
	uapi.CmdDetachMcast:       request(detachMcast),
	uapi.CmdCreateSRQ:         request(createSRQ),
	uapi.CmdModifySRQ:         request(modifySRQ),
	uapi.CmdQuerySRQ:          request(querySRQ),
	uapi.CmdDestroySRQ:        request(destroySRQ),
	uapi.CmdCreateXSRQ:        request(createXSRQ),
}

// request makes a handler of a function that takes the decoded core request.
func request[Q any](serve func(*call, *Q) (result, error)) handler {
	return func(c *call) (result, error) {
		var q Q
		if err := c.Decode(&q); err != nil {
			return result{}, err
		}
		return serve(c, &q)
	}
}

// dispatch serves one COMMAND.
func (c *call) dispatch(cmd []byte) (result, error) {
	var err error
	if c.Command, err = uapi.ParseCommand(cmd); err != nil {
		return result{}, err
	}
	serve, ok := handlers[c.Cmd]
	if !ok {
		return result{}, syscall.EOPNOTSUPP
	}
	return serve(c)
}

// answer is a result with a response: its core and its driver data.
func (c *call) answer(core, uhw any) (result, error) {
	return result{body: c.Response(core, uhw)}, nil
}

// done is the result of a command whose outcome is the error alone.
func (c *call) done(err error) (result, error) {
	if err != nil {
		return result{}, err
	}
	return c.answer(nil, nil)
}

// needs fails unless the program left room for driver data that it cannot do without.
func (c *call) needs(uhw any) error {
	if c.UHWOut < binary.Size(uhw) {
		return syscall.EINVAL
	}
	return nil
}

// errnoOf is the error number that a program sees, and whether it stands for a fault of the router's own.
func errnoOf(err error) (errno syscall.Errno, fault bool) {
	switch {
	case err == nil:
		return 0, false
	case errors.Is(err, fdconn.ErrMalformed):
		return syscall.EINVAL, false
	case errors.As(err, &errno) && errno != 0:
		return errno, false
	}
	return syscall.EIO, true
}

func mmInfo(q verbs.Queue) uapi.MMInfo { return uapi.MMInfo{Offset: q.Offset, Size: q.Size} }
