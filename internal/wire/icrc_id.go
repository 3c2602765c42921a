package wire

import "encoding/binary"

// FindID finds the IPv4 identification of a packet that was received through a UDP socket, which does not tell it, though the ICRC
// covers it. got is the ICRC computed with identification 0, want the one that the packet ends with, and rest the bytes from the BTH up
// to, not including, the ICRC. ok is false if the packet would be wrong with any identification.
//
// It costs what it costs: 16 of the 32 bits of the check are spent on finding the field. A corrupt packet passes with a chance of 2^-16
// instead of 2^-32, and a burst of errors that looks like another identification passes always. So try 0 first (got == want), which is
// what Linux sends from an unconnected socket that forbids fragments, and treat a large ID with suspicion where the sender
// is known to count from 0 (segments of one UDP_SEGMENT send: 0 to 127): an ID below 128 leaves 2^-25. Nothing here keeps
// out somebody who forges packets; a CRC never does.
func FindID(got, want uint32, rest int) (id uint16, ok bool) {
	// CRC-32 is linear: the sums differ by what the identification alone adds to the register, moved on by a bit for each bit that
	// follows it. Moving the difference back over those and over the field's own 16 bits leaves the field itself.
	if got == want {
		return 0, true
	}
	if rest < 0 || rest > maxRest {
		return 0, false
	}
	back := rest + UDPSize + IPv4Size - offsetID
	field := got ^ want
	for i := range unshift {
		if k := back >> (4 * i) & 0xf; k != 0 {
			field = multiply(field, unshift[i][k])
		}
	}
	if field>>16 != 0 {
		return 0, false
	}
	return binary.BigEndian.Uint16([]byte{byte(field), byte(field >> 8)}), true
}

const (
	offsetID = 4       // of the identification in the IPv4 header
	maxRest  = 1 << 15 // more than any packet
)

// polynomial is that of CRC-32, bits reversed: the highest bit is the coefficient of x^0. So is every element below.
const polynomial = 0xedb88320

// unshift[i][k] is x^(-8·k·16^i): multiplying with it moves the register back by k·16^i bytes.
var unshift = powers()

func powers() (t [4][16]uint32) {
	base := uint32(1) << 31 // 1
	for range 8 {
		base = back1(base)
	}
	for i := range t {
		t[i][0] = 1 << 31
		for k := 1; k < 16; k++ {
			t[i][k] = multiply(t[i][k-1], base)
		}
		base = multiply(t[i][15], base)
	}
	return t
}

// back1 divides a by x, modulo the polynomial.
func back1(a uint32) uint32 {
	if a>>31 != 0 { // the polynomial's own x^0 makes it divisible
		return (a^polynomial)<<1 | 1
	}
	return a << 1
}

// multiply returns the product of a and b modulo the polynomial.
func multiply(a, b uint32) (p uint32) {
	for range 32 {
		p ^= b & uint32(int32(a)>>31)
		a <<= 1
		b = b>>1 ^ polynomial&-(b&1)
	}
	return p
}
