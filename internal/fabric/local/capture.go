package local

import (
	"github.com/freeflow-rdma/freeflow/internal/pcap"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
	"github.com/freeflow-rdma/freeflow/internal/wire"
)

// syndromes are the NAKs that a responder sends for what the requester completes with (IBTA table 46).
var syndromes = map[verbs.WCStatus]uint8{
	verbs.WCRemAccessErr: wire.SyndromeNAKAccess, verbs.WCRemInvReqErr: wire.SyndromeNAKInvalid, verbs.WCRemOpErr: wire.SyndromeNAKOp,
}

var services = map[verbs.QPType]wire.Service{
	verbs.TypeRC: wire.ServiceRC, verbs.TypeUC: wire.ServiceUC, verbs.TypeUD: wire.ServiceUD,
}

// kinds are what operations are on a wire; others never are.
var kinds = map[verbs.Opcode]wire.Kind{
	verbs.OpSend: wire.KindSend, verbs.OpSendImm: wire.KindSend, verbs.OpSendInv: wire.KindSend,
	verbs.OpRDMAWrite: wire.KindWrite, verbs.OpRDMAWriteImm: wire.KindWrite, verbs.OpRDMARead: wire.KindReadRequest,
	verbs.OpAtomicCmpAndSwp: wire.KindAtomic, verbs.OpAtomicFetchAdd: wire.KindAtomic, verbs.OpAtomicWrite: wire.KindAtomicWrite,
}

// record shows the current message to whoever captures, with the syndrome that it is refused with, or 0. To be called before the PSN
// moves and before either side hears of the message, so that its memory still is as it was.
func (b *burst) record(nak uint8) {
	qp := b.qp
	s, a := &qp.Send, qp.Attr()
	w := &s.WQE
	op := verbs.Opcode(w.Opcode)
	kind, ok := kinds[op]
	if !ok {
		return
	}
	av, dest := &a.AV, a.DestQPN
	if qp.Type == verbs.TypeUD {
		if av, dest = qp.AV(w.AHNum), verbs.QPN(w.RemoteQPN); av == nil {
			return
		}
	}
	m := pcap.Message{
		Service: services[qp.Type], Kind: kind, Src: sourceOf(qp, av).Addr(), Dst: av.DGID.Addr(), SrcQP: uint32(qp.Num), DestQP: uint32(dest),
		TrafficClass: av.TrafficClass, PSN: wire.PSN(qp.SentPSN()), MTU: int(verbs.MTUBytes(a.PathMTU)),
		MSN: uint32(qp.Stats.SentMessages()+1) & 0xffffff, // of the work requests; local ones are not told apart
		NAK: nak, Solicited: solicited(qp), VA: w.RemoteAddr, RKey: w.RKey, Length: int(s.Length),
	}
	switch op {
	case verbs.OpSendImm, verbs.OpRDMAWriteImm:
		m.HasImm, m.Imm = true, w.Imm
	case verbs.OpSendInv:
		m.HasInv, m.InvRKey = true, w.Imm
	case verbs.OpAtomicCmpAndSwp:
		m.Compare, m.SwapAdd, m.Original, m.Length = w.CompareAdd, w.Swap, b.found, 0
	case verbs.OpAtomicFetchAdd:
		m.Add, m.SwapAdd, m.Original, m.Length = true, w.CompareAdd, b.found, 0
	}
	if qp.Type == verbs.TypeUD {
		m.QKey = qp.SentQKey(w.RemoteQKey)
	}
	m.Payload, _ = gather(qp, b.w.Scratch.A[:0], 0, uint32(m.Length), 0) // what cannot be had is shown as zeros
	b.c.Tap.Message(&m)
}

// sourceOf is the GID that an address vector sends from.
func sourceOf(qp *verbs.QP, av *verbs.AHAttr) verbs.GID {
	gids := qp.Container().GIDs
	if int(av.SGIDIndex) >= len(gids) {
		return gids[0]
	}
	return gids[av.SGIDIndex]
}
