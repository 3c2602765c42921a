package router

import (
	"encoding/binary"
	"math"
	"syscall"

	"github.com/freeflow-rdma/freeflow/internal/uapi"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
)

// vendorNone is the vendor ID of devices that are software (as Soft-RoCE's).
const vendorNone = 0xffffff

const onlyPort = 1

func getContext(c *call, _ *uapi.GetContext) (result, error) {
	file, err := c.ctx.AsyncFile()
	if err != nil {
		return result{}, err
	}
	return result{body: c.Response(uapi.GetContextResp{NumCompVectors: verbs.NumCompVectors}, nil), file: file}, nil
}

func queryDevice(c *call, _ *uapi.QueryDevice) (result, error) {
	return c.answer(deviceAttr(c.container), nil)
}

func exQueryDevice(c *call, q *uapi.ExQueryDevice) (result, error) {
	if q.CompMask != 0 || q.Reserved != 0 {
		return result{}, syscall.EINVAL
	}
	resp := uapi.ExQueryDeviceResp{Base: deviceAttr(c.container), DeviceCapFlagsEx: verbs.DeviceCapFlagsEx}
	resp.ResponseLength = c.ResponseLength(resp)
	return c.answer(resp, nil)
}

// deviceAttr is the virtual device of a container: what is enforced, and zero for what there is none of.
func deviceAttr(container *verbs.Container) uapi.QueryDeviceResp {
	var guid [8]byte
	binary.BigEndian.PutUint64(guid[:], container.GUID)
	return uapi.QueryDeviceResp{
		NodeGUID:              guid,
		SysImageGUID:          guid,
		MaxMRSize:             math.MaxUint64,
		PageSizeCap:           verbs.PageSizeCap,
		VendorID:              vendorNone,
		MaxQP:                 verbs.MaxQP,
		MaxQPWR:               verbs.MaxQPWR,
		DeviceCapFlags:        verbs.DeviceCapFlags,
		MaxSGE:                verbs.MaxSGE,
		MaxSGERd:              verbs.MaxSGE,
		MaxCQ:                 verbs.MaxCQ,
		MaxCQE:                verbs.MaxCQE,
		MaxMR:                 verbs.MaxMR,
		MaxPD:                 verbs.MaxPD,
		MaxQPRdAtom:           verbs.MaxRdAtomic,
		MaxResRdAtom:          verbs.MaxRdAtomic * verbs.MaxQP,
		MaxQPInitRdAtom:       verbs.MaxRdAtomic,
		AtomicCap:             uapi.AtomicHCA,
		MaxMW:                 verbs.MaxMW,
		MaxMcastGrp:           verbs.MaxMcastGroups,
		MaxMcastQPAttach:      verbs.MaxMcastAttach,
		MaxTotalMcastQPAttach: verbs.MaxMcastGroups * verbs.MaxMcastAttach,
		MaxAH:                 verbs.MaxAH,
		MaxSRQ:                verbs.MaxSRQ,
		MaxSRQWR:              verbs.MaxSRQWR,
		MaxSRQSGE:             verbs.MaxSRQSGE,
		MaxPKeys:              1,
		LocalCAAckDelay:       verbs.LocalCAAckDelay,
		PhysPortCnt:           onlyPort,
	}
}

func queryPort(c *call, q *uapi.QueryPort) (result, error) {
	if q.PortNum != onlyPort {
		return result{}, syscall.EINVAL
	}
	return c.answer(uapi.QueryPortResp{
		PortCapFlags: uapi.PortCapCM,
		MaxMsgSz:     verbs.MaxMessage,
		GIDTblLen:    uint32(len(c.container.GIDs)), // each is filled: programs count them
		PKeyTblLen:   1,
		State:        uapi.PortStateActive,
		MaxMTU:       uapi.PortMTU4096,
		ActiveMTU:    c.ctx.MTU(),
		MaxVLNum:     1,
		ActiveWidth:  uapi.PortWidth4X,
		ActiveSpeed:  uapi.PortSpeedEDR,
		PhysState:    uapi.PortPhysLinkUp,
		LinkLayer:    uapi.LinkLayerEthernet,
	}, nil)
}
