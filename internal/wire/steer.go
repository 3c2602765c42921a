package wire

import "encoding/binary"

// Steer says between FreeFlow routers which of a host's sockets the packets of a queue pair that moves much are taken from: it is
// the first option of the Geneve header (RFC 8926 section 3.5), which who does not know it skips:
//
//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+-------------------------------+---------------+-----+---------+
//	|    class 0xfff0 (experiments) |    type 2     |  0  |    1    |
//	+---------------+---------------+---------------+-----+---------+
//	|      to       |     from      |               0               |
//	+---------------+---------------+-------------------------------+
//
// A packet without it says what one with zeros says. Nothing vouches for it: it may be believed only where it does no harm.
type Steer struct {
	// To is as the receiver asked for: 1 + the index of its socket, 0x80 + how many past that of the core it arrives on, or 0, that one.
	To   uint8
	From uint8 // where the sender would have what comes back, in the same words
}

// SteerSize is the bytes of the option. SteerWord are the first four, SteerAt and SteerTo where they and To are from the Geneve header's beginning: what a
// filter of packets needs to know.
const (
	SteerSize = 8
	SteerWord = optionClass | 2<<8 | (SteerSize/4 - 1)
	SteerAt   = GeneveSize
	SteerTo   = GeneveSize + 4
)

// Some says whether the option is needed.
func (s Steer) Some() bool { return s != Steer{} }

func (s Steer) put(o []byte) {
	binary.BigEndian.PutUint32(o, SteerWord)
	binary.BigEndian.PutUint32(o[4:], uint32(s.To)<<24|uint32(s.From)<<16)
}

// Steer reads the option, if it is the first of g, which ParseGeneve gave.
func (g Geneve) Steer() (s Steer) {
	if len(g) < GeneveSize+SteerSize || binary.BigEndian.Uint32(g[SteerAt:]) != SteerWord {
		return s
	}
	return Steer{To: g[SteerTo], From: g[SteerTo+1]}
}
