package wire

// has is the set of what a row of the opcode table says about its packets.
type has uint16

const (
	first has = 1 << iota
	last
	deth
	reth
	atomicETH
	aeth
	atomicAck
	sack
	imm
	ieth
	reserved16 // the 16 bytes that follow the BTH in a CNP
	payload
	only = first | last
)

// sizes of the headers, in bytes, by the bit of `has` that stands for them.
var sizes = map[has]int{
	deth: DETHSize, reth: RETHSize, atomicETH: AtomicETHSize, aeth: AETHSize, atomicAck: AtomicAckETHSize,
	sack: SACKSize, imm: ImmDtSize, ieth: IETHSize, reserved16: 16,
}

// Sizes of the headers, in bytes (9.2 to 9.3).
const (
	BTHSize          = 12
	DETHSize         = 8
	RETHSize         = 16
	AtomicETHSize    = 28
	AETHSize         = 4
	AtomicAckETHSize = 8
	ImmDtSize        = 4
	IETHSize         = 4
	SACKSize         = 32

	// MaxHeaderSize is at least Size of any Header.
	MaxHeaderSize = 48
)

// rows is the one table of opcodes: all that is said about them elsewhere follows from it.
var rows = []struct {
	op   Opcode
	name string
	kind Kind
	has  has
}{
	{OpRCSendFirst, "RC SEND First", KindSend, first | payload},
	{OpRCSendMiddle, "RC SEND Middle", KindSend, payload},
	{OpRCSendLast, "RC SEND Last", KindSend, last | payload},
	{OpRCSendLastImm, "RC SEND Last with Immediate", KindSend, last | imm | payload},
	{OpRCSendOnly, "RC SEND Only", KindSend, only | payload},
	{OpRCSendOnlyImm, "RC SEND Only with Immediate", KindSend, only | imm | payload},
	{OpRCRDMAWriteFirst, "RC RDMA WRITE First", KindWrite, first | reth | payload},
	{OpRCRDMAWriteMiddle, "RC RDMA WRITE Middle", KindWrite, payload},
	{OpRCRDMAWriteLast, "RC RDMA WRITE Last", KindWrite, last | payload},
	{OpRCRDMAWriteLastImm, "RC RDMA WRITE Last with Immediate", KindWrite, last | imm | payload},
	{OpRCRDMAWriteOnly, "RC RDMA WRITE Only", KindWrite, only | reth | payload},
	{OpRCRDMAWriteOnlyImm, "RC RDMA WRITE Only with Immediate", KindWrite, only | reth | imm | payload},
	{OpRCRDMAReadRequest, "RC RDMA READ Request", KindReadRequest, only | reth},
	{OpRCRDMAReadResponseFirst, "RC RDMA READ Response First", KindReadResponse, first | aeth | payload},
	{OpRCRDMAReadResponseMiddle, "RC RDMA READ Response Middle", KindReadResponse, payload},
	{OpRCRDMAReadResponseLast, "RC RDMA READ Response Last", KindReadResponse, last | aeth | payload},
	{OpRCRDMAReadResponseOnly, "RC RDMA READ Response Only", KindReadResponse, only | aeth | payload},
	{OpRCAcknowledge, "RC Acknowledge", KindAck, only | aeth},
	{OpRCAtomicAcknowledge, "RC ATOMIC Acknowledge", KindAtomicAck, only | aeth | atomicAck},
	{OpRCCompareSwap, "RC CmpSwap", KindAtomic, only | atomicETH},
	{OpRCFetchAdd, "RC FetchAdd", KindAtomic, only | atomicETH},
	{OpRCSendLastInv, "RC SEND Last with Invalidate", KindSend, last | ieth | payload},
	{OpRCSendOnlyInv, "RC SEND Only with Invalidate", KindSend, only | ieth | payload},
	{OpRCAtomicWrite, "RC ATOMIC WRITE", KindAtomicWrite, only | reth | payload},

	{OpUCSendFirst, "UC SEND First", KindSend, first | payload},
	{OpUCSendMiddle, "UC SEND Middle", KindSend, payload},
	{OpUCSendLast, "UC SEND Last", KindSend, last | payload},
	{OpUCSendLastImm, "UC SEND Last with Immediate", KindSend, last | imm | payload},
	{OpUCSendOnly, "UC SEND Only", KindSend, only | payload},
	{OpUCSendOnlyImm, "UC SEND Only with Immediate", KindSend, only | imm | payload},
	{OpUCRDMAWriteFirst, "UC RDMA WRITE First", KindWrite, first | reth | payload},
	{OpUCRDMAWriteMiddle, "UC RDMA WRITE Middle", KindWrite, payload},
	{OpUCRDMAWriteLast, "UC RDMA WRITE Last", KindWrite, last | payload},
	{OpUCRDMAWriteLastImm, "UC RDMA WRITE Last with Immediate", KindWrite, last | imm | payload},
	{OpUCRDMAWriteOnly, "UC RDMA WRITE Only", KindWrite, only | reth | payload},
	{OpUCRDMAWriteOnlyImm, "UC RDMA WRITE Only with Immediate", KindWrite, only | reth | imm | payload},

	{OpUDSendOnly, "UD SEND Only", KindSend, only | deth | payload},
	{OpUDSendOnlyImm, "UD SEND Only with Immediate", KindSend, only | deth | imm | payload},

	{OpCNP, "CNP", KindCNP, only | reserved16},
	{OpFFAck, "FreeFlow Acknowledge", KindAck, only | aeth | sack},
}

// table has an Info at the index of each known opcode, and at all others one whose HeaderLen is 0.
var table = expand()

func expand() (t [256]Info) {
	for _, r := range rows {
		i := &t[r.op]
		on := func(h has) bool { return r.has&h != 0 }
		i.Name, i.Service, i.Kind = r.name, r.op.service(), r.kind
		i.First, i.Last, i.HasPayload = on(first), on(last), on(payload)
		i.HasDETH, i.HasRETH, i.HasAtomicETH, i.HasAETH = on(deth), on(reth), on(atomicETH), on(aeth)
		i.HasAtomicAck, i.HasSACK, i.HasImm, i.HasIETH = on(atomicAck), on(sack), on(imm), on(ieth)
		switch r.kind {
		case KindSend, KindWrite, KindReadRequest, KindAtomic, KindAtomicWrite:
			i.Request = true
		}
		i.HeaderLen = BTHSize
		for h, n := range sizes {
			if on(h) {
				i.HeaderLen += n
			}
		}
	}
	return t
}

func (o Opcode) service() Service {
	switch {
	case o>>5 == 0 || o == OpFFAck:
		return ServiceRC
	case o>>5 == 1:
		return ServiceUC
	case o>>5 == 3:
		return ServiceUD
	}
	return ServiceNone
}
