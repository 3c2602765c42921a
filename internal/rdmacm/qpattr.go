package rdmacm

import (
	"syscall"

	"github.com/freeflow-rdma/freeflow/internal/uapi"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
)

// initQPAttr tells which attributes the ID's queue pair needs for a state: rdma_init_qp_attr of the kernel.
func (k *call) initQPAttr() error {
	var q uapi.UCMInitQPAttrReq
	if err := k.u.Room(144); err != nil {
		return err
	}
	if err := k.u.Decode(&q); err != nil {
		return err
	}
	if q.QPState > uint32(verbs.StateError) {
		return syscall.EINVAL
	}
	i, err := k.ch.findBound(q.ID)
	if err != nil {
		return err
	}
	a := uapi.QPAttr{QPState: q.QPState}
	switch {
	case i.state == stateListen:
		return syscall.EINVAL
	case i.conn == 0 || i.qpType == verbs.TypeUD:
		i.attrAlone(&a)
	default:
		err = i.attrLinked(&a, verbs.State(q.QPState))
	}
	if verbs.State(q.QPState) == verbs.StateRTR {
		a.RQPSN = i.psn
	}
	if err == nil {
		k.answer(a)
	}
	return err
}

// attrAlone are those of a queue pair without connection, whatever the state: cma_ib_init_qp_attr.
func (i *id) attrAlone(a *uapi.QPAttr) {
	a.PortNum = 1
	mask := verbs.MaskState | verbs.MaskPKeyIndex | verbs.MaskPort
	if i.qpType == verbs.TypeUD {
		i.defaultQKey()
		a.QKey = i.qkey
		mask |= verbs.MaskQKey
	} else {
		mask |= verbs.MaskAccessFlags
	}
	a.QPAttrMask = uint32(mask)
}

// attrLinked are those that the connection needs: ib_cm_init_qp_attr.
func (i *id) attrLinked(a *uapi.QPAttr, s verbs.State) error {
	p := i.link.phase
	switch {
	case p == phaseNone, s != verbs.StateInit && p == phaseReqSent:
		return syscall.EINVAL
	case s == verbs.StateInit:
		i.attrInit(a)
	case s == verbs.StateRTR:
		i.attrRTR(a)
	case s == verbs.StateRTS:
		i.attrRTS(a)
	default:
		return syscall.EINVAL
	}
	return nil
}

func (i *id) attrInit(a *uapi.QPAttr) {
	a.QPAttrMask = uint32(verbs.MaskState | verbs.MaskAccessFlags | verbs.MaskPKeyIndex | verbs.MaskPort)
	a.PortNum = 1
	access := verbs.AccessRemoteWrite
	if i.link.responderResources > 0 {
		access |= verbs.AccessRemoteRead | verbs.AccessRemoteAtomic
	}
	a.QPAccessFlags = uint32(access)
}

func (i *id) attrRTR(a *uapi.QPAttr) {
	mask := verbs.MaskState | verbs.MaskAV | verbs.MaskPathMTU | verbs.MaskDestQPN | verbs.MaskRQPSN
	a.AHAttr, a.PathMTU, a.DestQPNum = i.ah(), uint32(i.link.mtu), i.link.remoteQPN
	if i.qpType == verbs.TypeRC {
		mask |= verbs.MaskMaxDestRdAtomic | verbs.MaskMinRNRTimer
		a.MaxDestRdAtomic = clip(i.link.responderResources)
	}
	a.QPAttrMask = uint32(mask)
}

func (i *id) attrRTS(a *uapi.QPAttr) {
	mask := verbs.MaskState | verbs.MaskSQPSN
	a.SQPSN = i.link.remotePSN
	if i.qpType == verbs.TypeRC {
		mask |= verbs.MaskTimeout | verbs.MaskRetryCnt | verbs.MaskRNRRetry | verbs.MaskMaxRdAtomic
		a.Timeout, a.RetryCnt, a.RNRRetry, a.MaxRdAtomic = i.link.timeout, i.link.retry, i.link.rnrRetry, clip(i.link.initiatorDepth)
		if i.ackTimeoutSet {
			a.Timeout = i.ackTimeout
		}
	}
	a.QPAttrMask = uint32(mask)
}
