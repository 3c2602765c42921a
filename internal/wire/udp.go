package wire

import (
	"encoding/binary"
	"net/netip"
)

// UDPSize is the bytes of a UDP header.
const UDPSize = 8

// Ports that packets go to.
const (
	PortRoCE   = 4791 // A17.3.1.2
	PortGeneve = 6081 // RFC 8926 section 3.3
)

// FlowPort is the source port of a connection's packets, from the range that A17.9.2 recommends, so that networks with several paths keep them on
// one (A17.3.1.2).
func FlowPort(srcQP, destQP uint32) uint16 { return 0xc000 | uint16((srcQP*31^destQP)&0x3fff) }

// UDP is a UDP header, 8 bytes (RFC 768): source port, destination port, length of header and payload, checksum.
type UDP []byte

// ParseUDP takes the datagram at the start of b apart. Both results alias b; payload ends where the header says. The checksum is
// not looked at (Valid does that): RoCEv2 sends none, since the ICRC does its work.
//
// Errors: ErrShort, ErrLength.
func ParseUDP(b []byte) (u UDP, payload []byte, err error) {
	if len(b) < UDPSize {
		return nil, nil, ErrShort
	}
	u = UDP(b[:UDPSize])
	if n := u.Length(); n < UDPSize || n > len(b) {
		return nil, nil, ErrLength
	}
	return u, b[UDPSize:u.Length()], nil
}

// SrcPort returns the source port, which only spreads flows over paths.
func (u UDP) SrcPort() uint16 { return binary.BigEndian.Uint16(u) }

// DstPort returns the destination port.
func (u UDP) DstPort() uint16 { return binary.BigEndian.Uint16(u[2:]) }

// Length returns the bytes of header and payload.
func (u UDP) Length() int { return int(binary.BigEndian.Uint16(u[4:])) }

// Checksum returns the checksum as it stands, 0 for none.
func (u UDP) Checksum() uint16 { return binary.BigEndian.Uint16(u[6:]) }

// Put writes the header with no checksum.
func (u UDP) Put(src, dst, length uint16) {
	_ = u[UDPSize-1]
	binary.BigEndian.PutUint16(u, src)
	binary.BigEndian.PutUint16(u[2:], dst)
	binary.BigEndian.PutUint16(u[4:], length)
	binary.BigEndian.PutUint16(u[6:], 0)
}

// SetLength changes the bytes of header and payload.
func (u UDP) SetLength(length uint16) { binary.BigEndian.PutUint16(u[4:], length) }

// SetChecksum computes the checksum over payload and the pseudo header of the two addresses. A sum of zero is written as its other
// form, since zero says that there is none.
func (u UDP) SetChecksum(src, dst netip.Addr, payload []byte) {
	binary.BigEndian.PutUint16(u[6:], 0)
	sum := ^u.sum(src, dst, payload)
	if sum == 0 {
		sum = 0xffff
	}
	binary.BigEndian.PutUint16(u[6:], sum)
}

// Valid says whether the checksum is right, or absent. RFC 6935 lets tunnels leave it out also over IPv6.
func (u UDP) Valid(src, dst netip.Addr, payload []byte) bool {
	return u.Checksum() == 0 || u.sum(src, dst, payload) == 0xffff
}

func (u UDP) sum(src, dst netip.Addr, payload []byte) uint16 {
	return Checksum(payload, Checksum(u[:UDPSize], pseudo(src, dst, uint16(UDPSize+len(payload)))))
}
