package fabric

import (
	"github.com/freeflow-rdma/freeflow/internal/transport"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
	"github.com/freeflow-rdma/freeflow/internal/wire"
)

// madQP stands for QP 1 in a flow.
var madQP = &verbs.QP{}

// believeMAD is the rest of believe for QP 1: the destination is a container's of the network.
func (in *inlet) believeMAD(f *flow, network string) bool {
	if f.cont = in.dev.Lookup(network, f.dst); f.cont == nil {
		in.c.Counters.WrongAddress.Add(1)
		return false
	}
	f.qp, f.mad = madQP, true
	return true
}

// believePlainMAD checks that the sender is one of those that are no routers. For which container it is, only what it says tells.
func (in *inlet) believePlainMAD(f *flow) bool {
	if !in.table.isOutside(f.src.Addr()) {
		in.c.Counters.UnknownHost.Add(1)
		return false
	}
	f.qp, f.mad = madQP, true
	return true
}

// takeMAD checks that a packet to QP 1 is a management datagram, as every receiver does (IBTA 9.6.1, 10.2.5, 13.5.3), and hands it over.
func (in *inlet) takeMAD(p *packet, x *transport.Arrived) {
	h := &x.H
	const partition = 0x7fff // the default one, as full or limited member
	_, err := wire.ParseMAD(x.Payload)
	if err != nil || h.Opcode != wire.OpUDSendOnly || h.QKey != wire.QKeyQP1 || h.SrcQP != wire.QP1 || h.PKey&partition != partition {
		in.c.Counters.BadMAD.Add(1)
		return
	}
	in.mad = MAD{Container: in.flow.cont, Src: p.src, Dst: p.dst, TClass: p.trafficCls, Bytes: x.Payload}
	in.c.handMAD(&in.mad)
}
