package rdmacm

import (
	"encoding/binary"
	"syscall"

	"github.com/freeflow-rdma/freeflow/internal/uapi"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
)

func (k *call) setOption() error {
	var q uapi.UCMSetOptionReq
	if err := k.u.Decode(&q); err != nil {
		return err
	}
	i, err := k.ch.find(q.ID)
	if err != nil {
		return err
	}
	if int64(q.OptLen) != int64(len(k.q.Data)) {
		return syscall.EINVAL
	}
	switch {
	case q.Level == uapi.UCMLevelID:
		return i.setOption(q.OptName, k.q.Data)
	case q.Level == uapi.UCMLevelIB && q.OptName == uapi.UCMOptIBPath:
		return i.setIBPath(k.q.Data, k.h.mtu())
	}
	return syscall.ENOSYS
}

// setOption sets an option of RDMA_OPTION_ID. Errors: ENOSYS for one that there is not, EINVAL for a wrong length or state.
func (i *id) setOption(name uint32, v []byte) error {
	switch name {
	case uapi.UCMOptTOS:
		if len(v) != 1 {
			return syscall.EINVAL
		}
		i.tos = v[0]
	case uapi.UCMOptACKTimeout:
		if len(v) != 1 || i.qpType != verbs.TypeRC {
			return syscall.EINVAL
		}
		i.ackTimeout, i.ackTimeoutSet = v[0], true
	case uapi.UCMOptReuseAddr, uapi.UCMOptAFOnly:
		if len(v) != 4 {
			return syscall.EINVAL
		}
		return i.setFlag(name, binary.LittleEndian.Uint32(v) != 0)
	default:
		return syscall.ENOSYS
	}
	return nil
}

func (i *id) setFlag(name uint32, on bool) error {
	switch {
	case name == uapi.UCMOptReuseAddr && (i.state == stateIdle || on && i.state != stateListen):
		i.reuse = on
	case name == uapi.UCMOptAFOnly && (i.state == stateIdle || i.state == stateBound):
		i.afOnly, i.afOnlySet = on, true
	default:
		return syscall.EINVAL
	}
	return nil
}

// setIBPath takes the program's word for the route: it must be ours. What else a path record says, RoCE has no use for.
func (i *id) setIBPath(v []byte, mtu uint8) error {
	if len(v)%uapi.PathDataSize != 0 {
		return syscall.EINVAL
	}
	for ; len(v) > 0; v = v[uapi.PathDataSize:] {
		if d := uapi.PathData(v); d.Flags() == uapi.PathFlags {
			if i.state != stateAddrResolved || d.SGID() != i.sgidAddr || d.DGID() != i.dgid {
				return syscall.EINVAL
			}
			i.setPath(mtu)
			i.state = stateRouteResolved
			i.tell(uapi.UCMRouteResolved, 0, params{})
			return nil
		}
	}
	return syscall.EINVAL
}
