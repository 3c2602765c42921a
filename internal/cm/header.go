package cm

import "net/netip"

// CMAHeaderSize is the size of what the RDMA-CM puts before the program's private data in a REQ or SIDR_REQ (annex A11.2.2).
const CMAHeaderSize = 36

// CMAHeader is the RDMA-CM's part of the private data.
type CMAHeader struct {
	IPVersion uint8 // 4 or 6
	SrcPort   uint16
	Src, Dst  netip.Addr
}

// Append adds the header's 36 bytes.
func (h CMAHeader) Append(b []byte) []byte { return b }

// ParseCMAHeader takes the header off private data. The rest aliases it.
func ParseCMAHeader(private []byte) (h CMAHeader, rest []byte, err error) { return h, nil, ErrHeader }

// Port spaces of RDMA-CM (rdma_cm.h).
const (
	PortSpaceIPoIB uint16 = 0x0002
	PortSpaceTCP   uint16 = 0x0106
	PortSpaceUDP   uint16 = 0x0111
	PortSpaceIB    uint16 = 0x013f
)

// ServiceID makes the service ID of a port (annex A11.2.3).
func ServiceID(portSpace, port uint16) uint64 { return 0 }

// SplitServiceID is the opposite of ServiceID; false if the service ID is not one of the RDMA-CM's.
func SplitServiceID(id uint64) (portSpace, port uint16, ok bool) { return 0, 0, false }
