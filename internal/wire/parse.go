package wire

import (
	"encoding/binary"
	"errors"
)

// Why a packet is none. They are sentinels and never wrapped, so that a flood of bad packets costs no allocation.
var (
	ErrShort   = errors.New("wire: packet too short for its headers")
	ErrLength  = errors.New("wire: length of the packet disagrees with its headers")
	ErrOpcode  = errors.New("wire: unknown opcode")
	ErrVersion = errors.New("wire: unknown version")
	ErrPad     = errors.New("wire: more padding than payload")
)

// Parse decodes the packet b, from its BTH up to but without the ICRC, into h, and returns the payload, which aliases b and has no
// padding. After an error h is as it was. Whether the payload's length suits the MTU and its place in the message, and whether
// DestQP is anybody's, is for the caller to see.
//
// Errors: ErrShort, ErrOpcode, ErrVersion (TVer is not 0), ErrPad, and ErrLength: b is not whole words (9.2.1), or it goes on where the
// opcode has no payload. Reserved bits are ignored, as the specification wants it.
func Parse(b []byte, h *Header) (payload []byte, err error) {
	if len(b) < BTHSize {
		return nil, ErrShort
	}
	info := &table[b[0]]
	size, pad := info.HeaderLen, int(b[1]>>bitPad&3)
	switch {
	case size == 0:
		return nil, ErrOpcode
	case b[1]&maskTVer != 0:
		return nil, ErrVersion
	case len(b) < size:
		return nil, ErrShort
	case len(b)-size < pad:
		return nil, ErrPad
	case len(b)&3 != 0, len(b) > size && !info.HasPayload:
		return nil, ErrLength
	}
	*h = Header{}
	h.parseBTH(b)
	h.parseExtensions(info, b[BTHSize:size])
	return b[size : len(b)-pad], nil
}

func (h *Header) parseBTH(b []byte) {
	qp, psn := binary.BigEndian.Uint32(b[4:]), binary.BigEndian.Uint32(b[8:])
	h.Opcode = Opcode(b[0])
	h.Solicited, h.MigReq, h.Pad = b[1]>>bitSolicited != 0, b[1]>>bitMigReq&1 != 0, b[1]>>bitPad&3
	h.PKey = binary.BigEndian.Uint16(b[2:])
	h.FECN, h.BECN, h.DestQP = qp>>bitFECN != 0, qp>>bitBECN&1 != 0, qp&mask24
	h.AckReq, h.PSN = psn>>bitAckReq != 0, PSN(psn)&PSNMask
}

// parseExtensions is the mirror of putExtensions. b is as long as the opcode's extensions.
func (h *Header) parseExtensions(info *Info, b []byte) {
	be := binary.BigEndian
	if info.HasDETH {
		h.QKey, h.SrcQP = be.Uint32(b), be.Uint32(b[4:])&mask24
		b = b[DETHSize:]
	}
	if info.HasRETH {
		h.VA, h.RKey, h.Length = be.Uint64(b), be.Uint32(b[8:]), be.Uint32(b[12:])
		b = b[RETHSize:]
	}
	if info.HasAETH {
		w := be.Uint32(b)
		h.Syndrome, h.MSN = uint8(w>>24), w&mask24
		b = b[AETHSize:]
	}
	switch {
	case info.HasImm:
		h.Imm = binary.NativeEndian.Uint32(b)
	case info.HasIETH:
		h.InvRKey = be.Uint32(b)
	case info.HasAtomicETH:
		h.VA, h.RKey = be.Uint64(b), be.Uint32(b[8:])
		h.SwapAdd, h.Compare = be.Uint64(b[12:]), be.Uint64(b[20:])
	case info.HasAtomicAck:
		h.AtomicAck = be.Uint64(b)
	case info.HasSACK:
		h.SACK.parse(b)
	}
}
