package uapi

import (
	"encoding/binary"
	"fmt"
)

// The legacy commands that are served (enum ib_uverbs_write_cmds).
const (
	CmdGetContext        Cmd = 0
	CmdQueryDevice       Cmd = 1
	CmdQueryPort         Cmd = 2
	CmdAllocPD           Cmd = 3
	CmdDeallocPD         Cmd = 4
	CmdCreateAH          Cmd = 5
	CmdDestroyAH         Cmd = 8
	CmdRegMR             Cmd = 9
	CmdReregMR           Cmd = 11
	CmdDeregMR           Cmd = 13
	CmdAllocMW           Cmd = 14
	CmdDeallocMW         Cmd = 16
	CmdCreateCompChannel Cmd = 17
	CmdCreateCQ          Cmd = 18
	CmdResizeCQ          Cmd = 19
	CmdDestroyCQ         Cmd = 20
	CmdReqNotifyCQ       Cmd = 23
	CmdCreateQP          Cmd = 24
	CmdQueryQP           Cmd = 25
	CmdModifyQP          Cmd = 26
	CmdDestroyQP         Cmd = 27
	CmdPostSend          Cmd = 28
	CmdAttachMcast       Cmd = 30
	CmdDetachMcast       Cmd = 31
	CmdCreateSRQ         Cmd = 32
	CmdModifySRQ         Cmd = 33
	CmdQuerySRQ          Cmd = 34
	CmdDestroySRQ        Cmd = 35
	CmdCreateXSRQ        Cmd = 39
)

// The extended commands that are served.
const (
	CmdExQueryDevice = FlagExtended | CmdQueryDevice
	CmdExCreateCQ    = FlagExtended | CmdCreateCQ
	CmdExCreateQP    = FlagExtended | CmdCreateQP
	CmdExModifyQP    = FlagExtended | CmdModifyQP
)

// method says of a command what the kernel demands: the shortest core request and the shortest core response.
type method struct {
	name      string
	req, resp int
}

// Where the kernel's demand ends in structs that have grown since.
const (
	exQueryDeviceMin = 176 + 8 // of the response: up to and including response_length
	exCreateQPMin    = 48 + 4  // of the request: up to and including comp_mask
)

// methods is the one table of commands. For legacy ones the lengths are those of the structs, exactly; for
// extended ones they end after the member that the kernel's table names (uverbs_cmd.c, UAPI_DEF_WRITE_IO_EX).
var methods = map[Cmd]method{
	CmdGetContext:        legacy("GET_CONTEXT", GetContext{}, GetContextResp{}),
	CmdQueryDevice:       legacy("QUERY_DEVICE", QueryDevice{}, QueryDeviceResp{}),
	CmdQueryPort:         legacy("QUERY_PORT", QueryPort{}, QueryPortResp{}),
	CmdAllocPD:           legacy("ALLOC_PD", AllocPD{}, AllocPDResp{}),
	CmdDeallocPD:         legacy("DEALLOC_PD", DeallocPD{}, nil),
	CmdCreateAH:          legacy("CREATE_AH", CreateAH{}, CreateAHResp{}),
	CmdDestroyAH:         legacy("DESTROY_AH", DestroyAH{}, nil),
	CmdRegMR:             legacy("REG_MR", RegMR{}, RegMRResp{}),
	CmdReregMR:           legacy("REREG_MR", ReregMR{}, ReregMRResp{}),
	CmdDeregMR:           legacy("DEREG_MR", DeregMR{}, nil),
	CmdAllocMW:           legacy("ALLOC_MW", AllocMW{}, AllocMWResp{}),
	CmdDeallocMW:         legacy("DEALLOC_MW", DeallocMW{}, nil),
	CmdCreateCompChannel: legacy("CREATE_COMP_CHANNEL", CreateCompChannel{}, CreateCompChannelResp{}),
	CmdCreateCQ:          legacy("CREATE_CQ", CreateCQ{}, CreateCQResp{}),
	CmdResizeCQ:          legacy("RESIZE_CQ", ResizeCQ{}, ResizeCQResp{}),
	CmdDestroyCQ:         legacy("DESTROY_CQ", DestroyCQ{}, DestroyCQResp{}),
	CmdReqNotifyCQ:       legacy("REQ_NOTIFY_CQ", ReqNotifyCQ{}, nil),
	CmdCreateQP:          legacy("CREATE_QP", CreateQP{}, CreateQPResp{}),
	CmdQueryQP:           legacy("QUERY_QP", QueryQP{}, QueryQPResp{}),
	CmdModifyQP:          legacy("MODIFY_QP", ModifyQP{}, nil),
	CmdDestroyQP:         legacy("DESTROY_QP", DestroyQP{}, DestroyQPResp{}),
	CmdPostSend:          legacy("POST_SEND", PostSend{}, PostSendResp{}),
	CmdAttachMcast:       legacy("ATTACH_MCAST", AttachMcast{}, nil),
	CmdDetachMcast:       legacy("DETACH_MCAST", AttachMcast{}, nil),
	CmdCreateSRQ:         legacy("CREATE_SRQ", CreateSRQ{}, CreateSRQResp{}),
	CmdModifySRQ:         legacy("MODIFY_SRQ", ModifySRQ{}, nil),
	CmdQuerySRQ:          legacy("QUERY_SRQ", QuerySRQ{}, QuerySRQResp{}),
	CmdDestroySRQ:        legacy("DESTROY_SRQ", DestroySRQ{}, DestroySRQResp{}),
	CmdCreateXSRQ:        legacy("CREATE_XSRQ", CreateXSRQ{}, CreateSRQResp{}),

	CmdExQueryDevice: {"EX_QUERY_DEVICE", binary.Size(ExQueryDevice{}), exQueryDeviceMin},
	CmdExCreateCQ:    {"EX_CREATE_CQ", binary.Size(ExCreateCQ{}), binary.Size(ExCreateCQResp{})},
	CmdExCreateQP:    {"EX_CREATE_QP", exCreateQPMin, binary.Size(ExCreateQPResp{})},
	CmdExModifyQP:    {"EX_MODIFY_QP", binary.Size(ModifyQP{}), binary.Size(ExModifyQPResp{})},
}

func legacy(name string, req, resp any) method {
	m := method{name: name, req: binary.Size(req)}
	if resp != nil {
		m.resp = binary.Size(resp)
	}
	return m
}

// String gives the kernel's name without its prefix.
func (c Cmd) String() string {
	if m, ok := methods[c]; ok {
		return m.name
	}
	return fmt.Sprintf("command %#x", uint32(c))
}
