package udp

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// Control messages, cmsg(3): a header of length (a size_t), level and type, then data, then padding to the size of a word.
const (
	wordSize     = unix.SizeofCmsghdr - 8
	segmentSpace = unix.SizeofCmsghdr + wordSize // room of a control message that holds at most a word
	controlRoom  = 4 * (unix.SizeofCmsghdr + 8)  // for what a receiver asks for: segment size, TOS, overflows
)

// aside is what the kernel says of a message besides its bytes.
type aside struct {
	segment  int    // length of each packet but the last; 0: the message is one packet
	tos      uint8  // IPv4 TOS or IPv6 traffic class: DSCP and ECN
	overflow uint32 // packets that found the socket's buffer full since it was opened, modulo 2^32
	overran  bool   // overflow is there
}

// putSegment encodes the control message that has the kernel cut a message into packets of size bytes, udp(7).
func putSegment(b *[segmentSpace]byte, size int) {
	putWord(b[:], unix.SizeofCmsghdr+2)
	binary.NativeEndian.PutUint32(b[wordSize:], unix.SOL_UDP)
	binary.NativeEndian.PutUint32(b[wordSize+4:], unix.UDP_SEGMENT)
	binary.NativeEndian.PutUint16(b[unix.SizeofCmsghdr:], uint16(size))
}

// parseControl reads control messages; false if they are malformed. Those that nobody asked for are skipped.
func parseControl(b []byte) (a aside, ok bool) {
	for len(b) >= unix.SizeofCmsghdr {
		n := word(b)
		if n < unix.SizeofCmsghdr || n > uint64(len(b)) {
			return a, false
		}
		level, kind := binary.NativeEndian.Uint32(b[wordSize:]), binary.NativeEndian.Uint32(b[wordSize+4:])
		if !a.take(level, kind, b[unix.SizeofCmsghdr:n]) {
			return a, false
		}
		b = b[min(int(n+wordSize-1)&^(wordSize-1), len(b)):]
	}
	return a, true
}

func (a *aside) take(level, kind uint32, data []byte) bool {
	switch {
	case level == unix.SOL_UDP && kind == unix.UDP_GRO: // an int
		if len(data) < 4 {
			return false
		}
		n := binary.NativeEndian.Uint32(data)
		a.segment = int(n)
		return n <= maxMessage
	case level == unix.SOL_IP && kind == unix.IP_TOS: // a byte
		if len(data) < 1 {
			return false
		}
		a.tos = data[0]
	case level == unix.SOL_IPV6 && kind == unix.IPV6_TCLASS: // an int
		if len(data) < 4 {
			return false
		}
		a.tos = uint8(binary.NativeEndian.Uint32(data))
	case level == unix.SOL_SOCKET && kind == unix.SO_RXQ_OVFL: // a u32
		if len(data) < 4 {
			return false
		}
		a.overflow, a.overran = binary.NativeEndian.Uint32(data), true
	}
	return true
}

func word(b []byte) uint64 {
	if wordSize == 4 {
		return uint64(binary.NativeEndian.Uint32(b))
	}
	return binary.NativeEndian.Uint64(b)
}

func putWord(b []byte, v uint64) {
	if wordSize == 4 {
		binary.NativeEndian.PutUint32(b, uint32(v))
	} else {
		binary.NativeEndian.PutUint64(b, v)
	}
}
