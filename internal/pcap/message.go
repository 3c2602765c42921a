package pcap

import (
	"net/netip"

	"github.com/freeflow-rdma/freeflow/internal/mem"
	"github.com/freeflow-rdma/freeflow/internal/wire"
)

// Message is a message between two queue pairs of one host, that was carried without packets, once it is done.
type Message struct {
	Service wire.Service
	Kind    wire.Kind // KindSend, KindWrite, KindReadRequest, KindAtomic, KindAtomicWrite

	Src, Dst      netip.Addr // the requester's and the responder's
	SrcQP, DestQP uint32
	TrafficClass  uint8

	PSN wire.PSN // of its first packet
	MTU int      // path MTU: bytes of payload of a packet
	MSN uint32   // that the responder answers with
	NAK uint8    // the syndrome that it is refused with; 0 if it is not. RC only

	// What the request says, as in wire.Header.
	Solicited bool
	Imm       uint32
	InvRKey   uint32
	HasImm    bool
	HasInv    bool
	VA        uint64
	RKey      uint32
	QKey      uint32
	Add       bool // KindAtomic: FetchAdd, else CompareSwap
	SwapAdd   uint64
	Compare   uint64
	Original  uint64 // that the atomic operation found

	// Payload holds Length bytes: of a READ those that were read, of an atomic operation none. It is only read.
	Payload []mem.Span
	Length  int
}

// Message records a message as the packets that two NICs would have exchanged for it: its requests, and on RC what the
// responder answers, one acknowledgement for the message. Memory that cannot be read any more shows as zeros.
func (t *Tap) Message(m *Message) {
	r := t.ring.Load()
	if r == nil || r.filter.QPN != 0 && r.filter.QPN != m.SrcQP && r.filter.QPN != m.DestQP {
		return
	}
	c := cutter{ring: r, m: m, src: m.Src.Unmap(), dst: m.Dst.Unmap(), mtu: min(max(m.MTU, 256), 4096)}
	if !r.filter.addrs(c.src, c.dst) {
		return
	}
	for i := range m.Payload {
		if m.Payload[i].N > 0 && c.spans < len(c.left) {
			c.left[c.spans] = m.Payload[i]
			c.spans++
		}
	}
	switch m.Kind {
	case wire.KindReadRequest:
		c.request(wire.OpRCRDMAReadRequest)
		if m.NAK == 0 {
			c.stream(responses, true)
			return
		}
	case wire.KindAtomic:
		op := wire.OpRCCompareSwap
		if m.Add {
			op = wire.OpRCFetchAdd
		}
		c.request(op)
		if m.NAK == 0 {
			c.answer(wire.OpRCAtomicAcknowledge)
			return
		}
	case wire.KindAtomicWrite:
		c.request(wire.OpRCAtomicWrite)
		if m.NAK == 0 {
			c.answer(wire.OpRCRDMAReadResponseOnly)
			return
		}
	case wire.KindSend:
		c.stream(sends(m), false)
	case wire.KindWrite:
		c.stream(writes(m), false)
	default:
		return
	}
	if m.Service == wire.ServiceRC {
		c.answer(wire.OpRCAcknowledge)
	}
}

// packets are the opcodes of a message that may have several packets.
type packets struct{ first, middle, last, only wire.Opcode }

var responses = packets{
	wire.OpRCRDMAReadResponseFirst, wire.OpRCRDMAReadResponseMiddle, wire.OpRCRDMAReadResponseLast, wire.OpRCRDMAReadResponseOnly,
}

func sends(m *Message) packets {
	p := packets{wire.OpRCSendFirst, wire.OpRCSendMiddle, wire.OpRCSendLast, wire.OpRCSendOnly}
	switch {
	case m.Service == wire.ServiceUD && m.HasImm:
		return packets{only: wire.OpUDSendOnlyImm}
	case m.Service == wire.ServiceUD:
		return packets{only: wire.OpUDSendOnly}
	case m.HasImm:
		p.last, p.only = wire.OpRCSendLastImm, wire.OpRCSendOnlyImm
	case m.HasInv:
		p.last, p.only = wire.OpRCSendLastInv, wire.OpRCSendOnlyInv
	}
	return p.of(m.Service)
}

func writes(m *Message) packets {
	p := packets{wire.OpRCRDMAWriteFirst, wire.OpRCRDMAWriteMiddle, wire.OpRCRDMAWriteLast, wire.OpRCRDMAWriteOnly}
	if m.HasImm {
		p.last, p.only = wire.OpRCRDMAWriteLastImm, wire.OpRCRDMAWriteOnlyImm
	}
	return p.of(m.Service)
}

// of turns RC opcodes into those of UC, whose lower five bits are the same.
func (p packets) of(s wire.Service) packets {
	if s == wire.ServiceUC {
		const uc = wire.OpUCSendFirst - wire.OpRCSendFirst
		return packets{p.first + uc, p.middle + uc, p.last + uc, p.only + uc}
	}
	return p
}
