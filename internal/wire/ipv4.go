package wire

import (
	"encoding/binary"
	"errors"
	"net/netip"
)

// Sizes and numbers of the IP layer.
const (
	IPv4Size    = 20 // without options, which this package neither writes nor takes
	IPv6Size    = 40
	ProtocolUDP = 17
)

// Why bytes are no IP packet that this package takes.
var (
	ErrIPHeader   = errors.New("wire: IP version, or IPv4 with options")
	ErrIPChecksum = errors.New("wire: IPv4 header checksum")
	ErrIPFragment = errors.New("wire: fragment of an IP packet")
)

// IPv4 is an IPv4 header without options, 20 bytes (RFC 791):
//
//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+-------+-------+---------------+-------------------------------+
//	|   4   |   5   |      TOS      |          total length         |
//	+-------+-------+---------------+-----+-------------------------+
//	|         identification        |0 D M|     fragment offset     |
//	+---------------+---------------+-----+-------------------------+
//	|      TTL      |    protocol   |        header checksum        |
//	+---------------+---------------+-------------------------------+
//	|                         source address                        |
//	+---------------------------------------------------------------+
//	|                      destination address                      |
//	+---------------------------------------------------------------+
type IPv4 []byte

// IPv4Fields is what an IPv4 header says. The packet may not be fragmented, as RoCEv2 wants it (A17.3.1.1).
type IPv4Fields struct {
	TOS, TTL, Protocol uint8
	Length             uint16 // bytes of header and payload
	ID                 uint16
	Src, Dst           netip.Addr // IPv4
}

// ParseIPv4 takes the packet at the start of b apart. Both results alias b; payload ends where the header says, so bytes after it (a
// link's padding) are left out.
//
// Errors: ErrShort, ErrIPHeader, ErrLength, ErrIPFragment, ErrIPChecksum.
func ParseIPv4(b []byte) (ip IPv4, payload []byte, err error) {
	if len(b) < IPv4Size {
		return nil, nil, ErrShort
	}
	ip = IPv4(b[:IPv4Size])
	length := ip.Length()
	switch {
	case b[0] != 0x45:
		return nil, nil, ErrIPHeader
	case length < IPv4Size || length > len(b):
		return nil, nil, ErrLength
	case binary.BigEndian.Uint16(b[6:])&0x3fff != 0: // more fragments, or not the first
		return nil, nil, ErrIPFragment
	case Checksum(ip, 0) != 0xffff:
		return nil, nil, ErrIPChecksum
	}
	return ip, b[IPv4Size:length], nil
}

// TOS returns the type of service: DSCP in the upper six bits, ECN in the lower two.
func (ip IPv4) TOS() uint8 { return ip[1] }

// Length returns the bytes of header and payload.
func (ip IPv4) Length() int { return int(binary.BigEndian.Uint16(ip[2:])) }

// ID returns the identification, which the ICRC covers.
func (ip IPv4) ID() uint16 { return binary.BigEndian.Uint16(ip[4:]) }

// TTL returns the time to live.
func (ip IPv4) TTL() uint8 { return ip[8] }

// Protocol returns what the payload is.
func (ip IPv4) Protocol() uint8 { return ip[9] }

// Src returns the source address.
func (ip IPv4) Src() netip.Addr { return netip.AddrFrom4([4]byte(ip[12:16])) }

// Dst returns the destination address.
func (ip IPv4) Dst() netip.Addr { return netip.AddrFrom4([4]byte(ip[16:20])) }

// Put writes the whole header, with the "don't fragment" bit and the checksum. Src and Dst must be IPv4 addresses, or it panics.
func (ip IPv4) Put(f *IPv4Fields) {
	_ = ip[IPv4Size-1]
	ip[0], ip[1] = 0x45, f.TOS
	binary.BigEndian.PutUint16(ip[2:], f.Length)
	binary.BigEndian.PutUint16(ip[4:], f.ID)
	binary.BigEndian.PutUint16(ip[6:], 0x4000)
	ip[8], ip[9] = f.TTL, f.Protocol
	src, dst := f.Src.As4(), f.Dst.As4()
	copy(ip[12:], src[:])
	copy(ip[16:], dst[:])
	ip.sum()
}

// SetLength changes the length, the identification and, for them, the checksum: what differs between packets of one flow.
func (ip IPv4) SetLength(length, id uint16) {
	binary.BigEndian.PutUint16(ip[2:], length)
	binary.BigEndian.PutUint16(ip[4:], id)
	ip.sum()
}

func (ip IPv4) sum() {
	ip[10], ip[11] = 0, 0
	binary.BigEndian.PutUint16(ip[10:], ^Checksum(ip[:IPv4Size], 0))
}
