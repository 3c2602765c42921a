package wire

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
)

// Checksum adds b to the ones' complement sum (RFC 1071) and folds it to 16 bits, not complemented. Bytes from more than one piece may be
// added in a row if all but the last are of even length.
func Checksum(b []byte, sum uint16) uint16 {
	s, carry := uint64(sum), uint64(0)
	for ; len(b) >= 8; b = b[8:] {
		s, carry = bits.Add64(s, binary.BigEndian.Uint64(b), carry)
	}
	var tail [8]byte
	copy(tail[:], b)
	s, carry = bits.Add64(s, binary.BigEndian.Uint64(tail[:]), carry)
	return fold(s, carry)
}

func fold(s, carry uint64) uint16 {
	s = s>>32 + s&0xffff_ffff + carry
	s = s>>16 + s&0xffff
	s = s>>16 + s&0xffff
	s = s>>16 + s&0xffff
	return uint16(s)
}

// pseudo is the sum of the pseudo header of UDP (RFC 768, RFC 8200 8.1). Zeros in it may be left out.
func pseudo(src, dst netip.Addr, length uint16) uint16 {
	var sum uint16
	for _, a := range [2]netip.Addr{src, dst} {
		if a.Is4() {
			b := a.As4()
			sum = Checksum(b[:], sum)
		} else {
			b := a.As16()
			sum = Checksum(b[:], sum)
		}
	}
	return Checksum([]byte{0, ProtocolUDP, byte(length >> 8), byte(length)}, sum)
}
