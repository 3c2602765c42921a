package cm

import (
	"encoding/binary"
	"net/netip"
)

// CMAHeaderSize is the size of what the RDMA-CM puts before the program's private data in a REQ or SIDR_REQ (annex A11.2.2).
const CMAHeaderSize = 36

// CMAHeader is the RDMA-CM's part of the private data (annex A11.2.2):
//
//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+-------+-------+-------+-------+-------------------------------+
//	| major | minor |  IPV  |  rsv  |          source port          |
//	+-------+-------+-------+-------+-------------------------------+
//	|            source address (16 bytes; IPv4 in the last 4)      |
//	+---------------------------------------------------------------+
//	|            destination address (16 bytes)                     |
//	+---------------------------------------------------------------+
//
// The version is 0.0. The destination port is in the service ID.
//
//nolint:revive // the specification's word for the connection manager's abstraction, not this package's name
type CMAHeader struct {
	IPVersion uint8 // 4 or 6
	SrcPort   uint16
	Src, Dst  netip.Addr // of that version; a zero Addr is written as zeros
}

// Append adds the header's 36 bytes.
func (h CMAHeader) Append(b []byte) []byte {
	b = append(b, 0, h.IPVersion<<4)
	b = binary.BigEndian.AppendUint16(b, h.SrcPort)
	b = appendAddr(b, h.IPVersion, h.Src)
	return appendAddr(b, h.IPVersion, h.Dst)
}

func appendAddr(b []byte, version uint8, a netip.Addr) []byte {
	var x [16]byte
	a = a.Unmap()
	switch {
	case version == 4 && a.Is4():
		v4 := a.As4()
		copy(x[12:], v4[:])
	case a.IsValid():
		x = a.As16()
	}
	return append(b, x[:]...)
}

// ParseCMAHeader takes the header off private data. The rest aliases it.
//
// Errors: ErrHeader (too short, or of a version that is not known).
func ParseCMAHeader(private []byte) (h CMAHeader, rest []byte, err error) {
	if len(private) < CMAHeaderSize || private[0] != 0 {
		return CMAHeader{}, nil, ErrHeader
	}
	h = CMAHeader{IPVersion: private[1] >> 4, SrcPort: binary.BigEndian.Uint16(private[2:])}
	switch h.IPVersion {
	case 4:
		h.Src, h.Dst = netip.AddrFrom4([4]byte(private[16:20])), netip.AddrFrom4([4]byte(private[32:36]))
	case 6:
		h.Src, h.Dst = netip.AddrFrom16([16]byte(private[4:20])), netip.AddrFrom16([16]byte(private[20:36]))
	default:
		return CMAHeader{}, nil, ErrHeader
	}
	return h, private[CMAHeaderSize:], nil
}

// Port spaces of RDMA-CM: in the lower byte an IP protocol (annex A11.2.3), or what rdma_cma.h made up.
const (
	PortSpaceIPoIB uint16 = 0x0002
	PortSpaceTCP   uint16 = 0x0106
	PortSpaceUDP   uint16 = 0x0111
	PortSpaceIB    uint16 = 0x013f
)

// ServiceID makes the service ID of a port (annex A11.2.3): 00 00 00 00, port space, port.
func ServiceID(portSpace, port uint16) uint64 { return uint64(portSpace)<<16 | uint64(port) }

// SplitServiceID is the opposite of ServiceID; false if the service ID is not one of the RDMA-CM's.
func SplitServiceID(id uint64) (portSpace, port uint16, ok bool) {
	portSpace, port = uint16(id>>16), uint16(id)
	switch portSpace {
	case PortSpaceIPoIB, PortSpaceTCP, PortSpaceUDP, PortSpaceIB:
		return portSpace, port, id>>32 == 0
	}
	return 0, 0, false
}
