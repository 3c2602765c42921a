package wire

import (
	"encoding/binary"
	"math/bits"
)

// SACKBits is how many packets a SACK can tell of.
const SACKBits = 8 * SACKSize

// SACK is the bitmap of an OpFFAck: bit i says that the packet i+1 after the expected one has arrived; the expected one is the first
// that has not. On the wire it is four words of 64 bits, in network order: bit i is bit i%64 (from the least significant) of word i/64.
type SACK [SACKBits / 64]uint64

// Set marks the packet of bit i. An i out of range does nothing.
func (s *SACK) Set(i int) {
	if uint(i) < SACKBits {
		s[i/64] |= 1 << (i % 64)
	}
}

// Has says whether the packet of bit i is marked. One out of range is not.
func (s *SACK) Has(i int) bool { return uint(i) < SACKBits && s[i/64]>>(i%64)&1 != 0 }

// Len returns one more than the highest bit set, 0 if none is: how far beyond the expected packet the peer has seen any.
func (s *SACK) Len() int {
	for w := len(s) - 1; w >= 0; w-- {
		if s[w] != 0 {
			return w*64 + bits.Len64(s[w])
		}
	}
	return 0
}

func (s *SACK) put(b []byte) {
	_ = b[SACKSize-1]
	for i, w := range s {
		binary.BigEndian.PutUint64(b[8*i:], w)
	}
}

func (s *SACK) parse(b []byte) {
	_ = b[SACKSize-1]
	for i := range s {
		s[i] = binary.BigEndian.Uint64(b[8*i:])
	}
}
