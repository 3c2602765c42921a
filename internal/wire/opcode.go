package wire

import "strconv"

// Opcode is the first byte of the BTH: the service in its upper three bits, the operation in the lower five (9.2.1, table 38). Names are
// those of rdma-core's libibverbs/opcode.h.
type Opcode uint8

// Operations on reliable connections. Flush (0x1c) is not among them: the device does not offer it.
const (
	OpRCSendFirst              Opcode = 0x00
	OpRCSendMiddle             Opcode = 0x01
	OpRCSendLast               Opcode = 0x02
	OpRCSendLastImm            Opcode = 0x03
	OpRCSendOnly               Opcode = 0x04
	OpRCSendOnlyImm            Opcode = 0x05
	OpRCRDMAWriteFirst         Opcode = 0x06
	OpRCRDMAWriteMiddle        Opcode = 0x07
	OpRCRDMAWriteLast          Opcode = 0x08
	OpRCRDMAWriteLastImm       Opcode = 0x09
	OpRCRDMAWriteOnly          Opcode = 0x0a
	OpRCRDMAWriteOnlyImm       Opcode = 0x0b
	OpRCRDMAReadRequest        Opcode = 0x0c
	OpRCRDMAReadResponseFirst  Opcode = 0x0d
	OpRCRDMAReadResponseMiddle Opcode = 0x0e
	OpRCRDMAReadResponseLast   Opcode = 0x0f
	OpRCRDMAReadResponseOnly   Opcode = 0x10
	OpRCAcknowledge            Opcode = 0x11
	OpRCAtomicAcknowledge      Opcode = 0x12
	OpRCCompareSwap            Opcode = 0x13
	OpRCFetchAdd               Opcode = 0x14
	OpRCSendLastInv            Opcode = 0x16
	OpRCSendOnlyInv            Opcode = 0x17
	OpRCAtomicWrite            Opcode = 0x1d // answered by a READ response of no bytes (A19.4.5)
)

// Operations on unreliable connections.
const (
	OpUCSendFirst        Opcode = 0x20
	OpUCSendMiddle       Opcode = 0x21
	OpUCSendLast         Opcode = 0x22
	OpUCSendLastImm      Opcode = 0x23
	OpUCSendOnly         Opcode = 0x24
	OpUCSendOnlyImm      Opcode = 0x25
	OpUCRDMAWriteFirst   Opcode = 0x26
	OpUCRDMAWriteMiddle  Opcode = 0x27
	OpUCRDMAWriteLast    Opcode = 0x28
	OpUCRDMAWriteLastImm Opcode = 0x29
	OpUCRDMAWriteOnly    Opcode = 0x2a
	OpUCRDMAWriteOnlyImm Opcode = 0x2b
)

// Datagrams, and packets that belong to no service.
const (
	OpUDSendOnly    Opcode = 0x64
	OpUDSendOnlyImm Opcode = 0x65
	OpCNP           Opcode = 0x81 // congestion notification (A17.9.3)

	// OpFFAck is FreeFlow's own, of the range that the specification leaves to manufacturers: an acknowledgement of a reliable
	// connection that also says which packets after a gap have arrived (SACK). Only routers that both announced it send it.
	OpFFAck Opcode = 0xc0
)

// Service is the kind of transport that an opcode belongs to.
type Service uint8

// ServiceNone is that of CNP, which is about a flow and not for a queue pair's state machine.
const (
	ServiceNone Service = iota
	ServiceRC
	ServiceUC
	ServiceUD
)

// Kind is the operation that an opcode belongs to, whichever packet of it.
type Kind uint8

// KindAck is both Acknowledge and OpFFAck; Info.HasSACK tells them apart. The zero Kind is that of no opcode.
const (
	KindSend Kind = iota + 1
	KindWrite
	KindReadRequest
	KindReadResponse
	KindAck
	KindAtomic // CompareSwap and FetchAdd
	KindAtomicAck
	KindAtomicWrite // 8 bytes, which are the payload
	KindCNP
)

// Info is what is known of an opcode. It is shared: never write to it.
type Info struct {
	Name    string // "RC SEND First"
	Service Service
	Kind    Kind

	First, Last bool // of its message; an Only packet is both, a Middle neither
	Request     bool // from the requester to the responder

	HasDETH, HasRETH, HasAtomicETH, HasAETH, HasAtomicAck, HasSACK, HasImm, HasIETH bool // in the order they have in a packet

	HasPayload bool // may have one; it may also be empty
	HeaderLen  int  // bytes of BTH and extensions (of CNP with its 16 reserved bytes)
}

// Info returns what is known of o, or nil if o is unknown.
func (o Opcode) Info() *Info {
	if i := &table[o]; i.HeaderLen != 0 {
		return i
	}
	return nil
}

// String returns the name of o, for people.
func (o Opcode) String() string {
	if i := o.Info(); i != nil {
		return i.Name
	}
	return "opcode 0x" + strconv.FormatUint(uint64(o), 16)
}
