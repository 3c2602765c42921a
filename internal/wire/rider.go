package wire

import "encoding/binary"

// Rider is an acknowledgement that rides with a request the other way, between FreeFlow routers: it says what an ACK with the same fields
// says. It is an option of the Geneve header (RFC 8926 section 3.5), which who does not know it skips:
//
//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+-------------------------------+---------------+-----+---------+
//	|    class 0xfff0 (experiments) |    type 1     |  0  |    3    |
//	+---------------+---------------+---------------+-----+---------+
//	|   syndrome    |                     PSN                       |
//	+---------------+-----------------------------------------------+
//	|       0       |                     MSN                       |
//	+---------------+-----------------------------------------------+
//	|             CRC-32 of the twelve bytes before                 |
//	+---------------------------------------------------------------+
//
// The CRC stands for the ICRC, which does not cover the outer headers.
type Rider struct {
	OK       bool // there is one
	Syndrome uint8
	PSN      PSN
	MSN      uint32
}

// RiderSize is the bytes of the option.
const RiderSize = 16

// The options of ours: class and type. Type 0 is padding, 2 is Steer.
const (
	optionClass = 0xfff0 << 16
	optionRider = 1 << 8
)

func (r *Rider) put(o []byte) {
	binary.BigEndian.PutUint32(o, optionClass|optionRider|(RiderSize/4-1))
	binary.BigEndian.PutUint32(o[4:], uint32(r.Syndrome)<<24|uint32(r.PSN&PSNMask))
	binary.BigEndian.PutUint32(o[8:], r.MSN&mask24)
	binary.BigEndian.PutUint32(o[12:], crcUpdate(0, o[:12]))
}

// Rider reads the option if it is the first of g, which ParseGeneve gave, but for a Steer. One with a wrong CRC is none.
func (g Geneve) Rider() (r Rider) {
	at := GeneveSize
	if len(g) >= GeneveSize+SteerSize && binary.BigEndian.Uint32(g[SteerAt:]) == SteerWord {
		at += SteerSize
	}
	if len(g) < at+RiderSize {
		return r
	}
	o := g[at : at+RiderSize]
	if binary.BigEndian.Uint32(o)&^(7<<5) != optionClass|optionRider|(RiderSize/4-1) || binary.BigEndian.Uint32(o[12:]) != crcUpdate(0, o[:12]) {
		return r
	}
	w := binary.BigEndian.Uint32(o[4:])
	return Rider{OK: true, Syndrome: uint8(w >> 24), PSN: PSN(w) & PSNMask, MSN: binary.BigEndian.Uint32(o[8:]) & mask24}
}
