package wire

import "encoding/binary"

// Header is a transport packet without its payload: BTH and extensions, decoded. Fields that the opcode's packets have no
// place for are zero after Parse and ignored by Put.
type Header struct {
	// Base transport header (9.2.1).
	Opcode    Opcode
	Solicited bool
	MigReq    bool
	AckReq    bool
	FECN      bool // congestion met; not covered by the ICRC, as switches set it
	BECN      bool // congestion told back
	Pad       uint8
	PKey      uint16
	DestQP    uint32 // 24 bits
	PSN       PSN

	// RETH (9.3.3); VA and RKey also AtomicETH (9.3.4).
	VA     uint64
	RKey   uint32
	Length uint32 // bytes of the whole message

	// AtomicETH. FetchAdd has nothing to compare, yet the field is there.
	SwapAdd uint64
	Compare uint64

	// AETH (9.3.5) and AtomicAckETH (9.5.3).
	AtomicAck uint64 // what stood in memory before
	Syndrome  uint8  // see SyndromeAck and those after it
	MSN       uint32 // 24 bits: messages completed

	// DETH (9.3.2).
	QKey  uint32
	SrcQP uint32 // 24 bits

	// Imm is the immediate data (ImmDt): the packet's four bytes as a native load from memory gives them, never swapped. That is what
	// ring.SendWQE.Imm and verbs.Received.Imm hold too (to a program it is a __be32), so it goes from a WQE to a
	// packet, and from a packet to a CQE, by plain assignment. ImmValue gives the number.
	Imm     uint32
	InvRKey uint32 // IETH, a number like RKey: of a WQE it is the native load, since there it is in host order

	SACK SACK // OpFFAck

	Rider Rider // goes in front of the packet, not in it: Put and Parse leave it out
}

// ImmValue returns the number that immediate data in network order (Header.Imm) stands for, for people to read, and the other way.
func ImmValue(imm uint32) uint32 {
	var b [4]byte
	binary.NativeEndian.PutUint32(b[:], imm)
	return binary.BigEndian.Uint32(b[:])
}

// PadFor returns how many bytes of zeros follow a payload of n bytes, to fill its last four-byte word (9.2.1).
func PadFor(n int) uint8 { return uint8(-n & 3) }

// Size returns the bytes of BTH and extensions that Put writes: 0 if the opcode is unknown.
func (h *Header) Size() int { return table[h.Opcode].HeaderLen }

// Put encodes h into the first Size bytes of b, which must be that long, and returns Size. Reserved fields are zero. An
// unknown opcode writes nothing.
func (h *Header) Put(b []byte) int {
	info := &table[h.Opcode]
	if info.HeaderLen == 0 {
		return 0
	}
	b = b[:info.HeaderLen]
	h.putBTH(b)
	h.putExtensions(info, b[BTHSize:])
	return info.HeaderLen
}

// The BTH:
//
//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+---------------+-+-+---+-------+-------------------------------+
//	|    OpCode     |S|M|Pad| TVer  |             PKey              |
//	+-+-+-----------+-+-+---+-------+-------------------------------+
//	|F|B| reserved  |                    DestQP                     |
//	+-+-+-----------+-----------------------------------------------+
//	|A|  reserved   |                      PSN                      |
//	+-+-------------+-----------------------------------------------+
//
// S solicited event, M migration state, F FECN, B BECN, A acknowledge request.
const (
	bitSolicited, bitMigReq = 7, 6 // in byte 1
	bitPad                  = 4    // and the one above
	maskTVer                = 0x0f
	bitFECN, bitBECN        = 31, 30 // in the word at 4
	bitAckReq               = 31     // in the word at 8
	mask24                  = 1<<24 - 1
)

func (h *Header) putBTH(b []byte) {
	_ = b[BTHSize-1]
	b[0] = uint8(h.Opcode)
	b[1] = uint8(bit(h.Solicited)<<bitSolicited|bit(h.MigReq)<<bitMigReq) | h.Pad&3<<bitPad
	binary.BigEndian.PutUint16(b[2:], h.PKey)
	binary.BigEndian.PutUint32(b[4:], bit(h.FECN)<<bitFECN|bit(h.BECN)<<bitBECN|h.DestQP&mask24)
	binary.BigEndian.PutUint32(b[8:], bit(h.AckReq)<<bitAckReq|uint32(h.PSN&PSNMask))
}

// putExtensions encodes the extensions that the opcode has into b, in the order that all opcodes keep.
func (h *Header) putExtensions(info *Info, b []byte) {
	be := binary.BigEndian
	if info.HasDETH { // QKey, reserved, SrcQP
		be.PutUint32(b, h.QKey)
		be.PutUint32(b[4:], h.SrcQP&mask24)
		b = b[DETHSize:]
	}
	if info.HasRETH { // VA, RKey, DMA length
		be.PutUint64(b, h.VA)
		be.PutUint32(b[8:], h.RKey)
		be.PutUint32(b[12:], h.Length)
		b = b[RETHSize:]
	}
	if info.HasAETH { // syndrome, MSN
		be.PutUint32(b, uint32(h.Syndrome)<<24|h.MSN&mask24)
		b = b[AETHSize:]
	}
	switch {
	case info.HasImm: // four bytes as they are
		binary.NativeEndian.PutUint32(b, h.Imm)
	case info.HasIETH:
		be.PutUint32(b, h.InvRKey)
	case info.HasAtomicETH: // VA, RKey, swap or add, compare
		be.PutUint64(b, h.VA)
		be.PutUint32(b[8:], h.RKey)
		be.PutUint64(b[12:], h.SwapAdd)
		be.PutUint64(b[20:], h.Compare)
	case info.HasAtomicAck:
		be.PutUint64(b, h.AtomicAck)
	case info.HasSACK:
		h.SACK.put(b)
	case info.Kind == KindCNP: // 16 reserved bytes
		clear(b)
	}
}

func bit(b bool) uint32 {
	if b {
		return 1
	}
	return 0
}
