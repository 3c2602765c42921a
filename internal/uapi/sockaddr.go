package uapi

import (
	"encoding/binary"
	"net/netip"
	"syscall"
)

// Address families of RDMA-CM.
const (
	AFUnspec uint16 = 0
	AFInet   uint16 = 2
	AFInet6  uint16 = 10
	AFIB     uint16 = 27
)

// SockAddr is a struct sockaddr_in or sockaddr_in6, in its numbers. The zero value is an address that is not set.
type SockAddr struct {
	Family   uint16
	Port     uint16
	Addr     netip.Addr // without zone
	FlowInfo uint32     // AF_INET6, as are the next two
	ScopeID  uint32
}

// SockAddrSize is how long an address of a family is, 0 for a family that RDMA-CM does not have.
func SockAddrSize(family uint16) int {
	switch family {
	case AFInet:
		return 16
	case AFInet6:
		return 28
	case AFIB:
		return 48
	}
	return 0
}

// ParseSockAddr reads an address from a member of a command, which is 28 bytes (struct sockaddr_in6) or 128.
//
// Errors: EINVAL for a family that there is not, or that is too long for the member; EADDRNOTAVAIL for AF_IB, which is not served.
func ParseSockAddr(b []byte) (a SockAddr, err error) {
	a.Family = binary.LittleEndian.Uint16(b)
	size := SockAddrSize(a.Family)
	switch {
	case size == 0, size > len(b):
		return SockAddr{}, syscall.EINVAL
	case a.Family == AFIB:
		return SockAddr{}, syscall.EADDRNOTAVAIL
	}
	a.Port = binary.BigEndian.Uint16(b[2:])
	if a.Family == AFInet {
		a.Addr = netip.AddrFrom4([4]byte(b[4:8]))
		return a, nil
	}
	a.FlowInfo, a.ScopeID = binary.BigEndian.Uint32(b[4:]), binary.LittleEndian.Uint32(b[24:])
	a.Addr = netip.AddrFrom16([16]byte(b[8:24]))
	return a, nil
}

// Put writes the address and returns how long it is. b has room for it and is zero. An address that has only a family is all zero
// after it.
func (a SockAddr) Put(b []byte) int {
	if a.Family == AFUnspec {
		return 0
	}
	binary.LittleEndian.PutUint16(b, a.Family)
	binary.BigEndian.PutUint16(b[2:], a.Port)
	if a.Family == AFInet {
		if a.Addr.IsValid() {
			ip := a.Addr.As4()
			copy(b[4:], ip[:])
		}
		return SockAddrSize(AFInet)
	}
	binary.BigEndian.PutUint32(b[4:], a.FlowInfo)
	if a.Addr.IsValid() {
		ip := a.Addr.As16()
		copy(b[8:], ip[:])
	}
	binary.LittleEndian.PutUint32(b[24:], a.ScopeID)
	return SockAddrSize(AFInet6)
}

// PutIB writes a struct sockaddr_ib, as QUERY of GIDs has it, and returns how long it is. b has room for it and is zero.
//
//	0 u16 family   2 u16 PKey   4 u32 flow info   8 GID   24 u64 service ID   32 u64 mask   40 u64 scope
func PutIB(b []byte, gid [16]byte, service uint64) int {
	binary.LittleEndian.PutUint16(b, AFIB)
	copy(b[8:], gid[:])
	binary.BigEndian.PutUint64(b[24:], service)
	return SockAddrSize(AFIB)
}
