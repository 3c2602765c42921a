package router

import (
	"github.com/freeflow-rdma/freeflow/internal/uapi"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
)

const psnMask = 1<<24 - 1

// qpAttr are the attributes of a MODIFY_QP. Numbers that verbs has fewer bits for are cut as the wire would cut them.
func qpAttr(q *uapi.ModifyQP) verbs.QPAttr {
	return verbs.QPAttr{
		State:            verbs.State(q.QPState),
		CurState:         verbs.State(q.CurQPState),
		PathMTU:          q.PathMTU,
		PathMigState:     q.PathMigState,
		QKey:             q.QKey,
		RQPSN:            verbs.PSN(q.RQPSN & psnMask),
		SQPSN:            verbs.PSN(q.SQPSN & psnMask),
		DestQPN:          verbs.QPN(q.DestQPNum),
		Access:           verbs.Access(q.QPAccessFlags),
		AV:               destAttr(&q.Dest),
		AltAV:            destAttr(&q.AltDest),
		PKeyIndex:        q.PKeyIndex,
		AltPKeyIndex:     q.AltPKeyIndex,
		EnSQDAsyncNotify: q.EnSQDAsyncNotify != 0,
		MaxRdAtomic:      q.MaxRdAtomic,
		MaxDestRdAtomic:  q.MaxDestRdAtomic,
		MinRNRTimer:      q.MinRNRTimer,
		PortNum:          q.PortNum,
		AckTimeout:       q.Timeout,
		RetryCnt:         q.RetryCnt,
		RNRRetry:         q.RNRRetry,
		AltPortNum:       q.AltPortNum,
		AltTimeout:       q.AltTimeout,
	}
}

// qpAttrResp is the answer of QUERY_QP.
func qpAttrResp(a *verbs.QPAttr, init *verbs.QPInit) uapi.QueryQPResp {
	return uapi.QueryQPResp{
		Dest:            attrDest(&a.AV),
		AltDest:         attrDest(&a.AltAV),
		MaxSendWR:       init.Cap.MaxSendWR,
		MaxRecvWR:       init.Cap.MaxRecvWR,
		MaxSendSGE:      init.Cap.MaxSendSGE,
		MaxRecvSGE:      init.Cap.MaxRecvSGE,
		MaxInlineData:   init.Cap.MaxInline,
		QKey:            a.QKey,
		RQPSN:           uint32(a.RQPSN),
		SQPSN:           uint32(a.SQPSN),
		DestQPNum:       uint32(a.DestQPN),
		QPAccessFlags:   uint32(a.Access),
		PKeyIndex:       a.PKeyIndex,
		AltPKeyIndex:    a.AltPKeyIndex,
		QPState:         uint8(a.State),
		CurQPState:      uint8(a.CurState),
		PathMTU:         a.PathMTU,
		PathMigState:    a.PathMigState,
		SQDraining:      bit(a.SQDraining),
		MaxRdAtomic:     a.MaxRdAtomic,
		MaxDestRdAtomic: a.MaxDestRdAtomic,
		MinRNRTimer:     a.MinRNRTimer,
		PortNum:         a.PortNum,
		Timeout:         a.AckTimeout,
		RetryCnt:        a.RetryCnt,
		RNRRetry:        a.RNRRetry,
		AltPortNum:      a.AltPortNum,
		AltTimeout:      a.AltTimeout,
		SQSigAll:        bit(init.SigAll),
	}
}

func destAttr(d *uapi.QPDest) verbs.AHAttr {
	return verbs.AHAttr{
		DGID: d.DGID, FlowLabel: d.FlowLabel, SGIDIndex: d.SGIDIndex, HopLimit: d.HopLimit, TrafficClass: d.TrafficClass,
		DLID: d.DLID, SL: d.SL, SrcPathBits: d.SrcPathBits, StaticRate: d.StaticRate, IsGlobal: d.IsGlobal != 0, PortNum: d.PortNum,
	}
}

func attrDest(a *verbs.AHAttr) uapi.QPDest {
	return uapi.QPDest{
		DGID: a.DGID, FlowLabel: a.FlowLabel, SGIDIndex: a.SGIDIndex, HopLimit: a.HopLimit, TrafficClass: a.TrafficClass,
		DLID: a.DLID, SL: a.SL, SrcPathBits: a.SrcPathBits, StaticRate: a.StaticRate, IsGlobal: bit(a.IsGlobal), PortNum: a.PortNum,
	}
}

func ahAttr(a *uapi.AHAttr) verbs.AHAttr {
	return verbs.AHAttr{
		DGID: a.DGID, FlowLabel: a.FlowLabel, SGIDIndex: a.SGIDIndex, HopLimit: a.HopLimit, TrafficClass: a.TrafficClass,
		DLID: a.DLID, SL: a.SL, SrcPathBits: a.SrcPathBits, StaticRate: a.StaticRate, IsGlobal: a.IsGlobal != 0, PortNum: a.PortNum,
	}
}

func bit(set bool) uint8 {
	if set {
		return 1
	}
	return 0
}
