package udp

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"strconv"

	"golang.org/x/sys/unix"
)

// Dest is where packets go: an address and port, in the form that the kernel takes. Packets make a run if they go to the same *Dest.
// Immutable.
type Dest struct {
	Addr netip.AddrPort
	raw  [unix.SizeofSockaddrInet6]byte
	n    uint32
}

// NewDest prepares a destination. An IPv6 link-local address needs its zone.
func NewDest(to netip.AddrPort) (*Dest, error) {
	if !to.IsValid() || to.Port() == 0 {
		return nil, fmt.Errorf("prepare UDP destination: %s is no address and port", to)
	}
	to = netip.AddrPortFrom(to.Addr().Unmap(), to.Port())
	zone, err := zoneIndex(to.Addr().Zone())
	if err != nil {
		return nil, fmt.Errorf("prepare UDP destination %s: %w", to, err)
	}
	d := &Dest{Addr: to}
	d.n = putSockaddr(&d.raw, to, zone)
	return d, nil
}

func zoneIndex(zone string) (uint32, error) {
	if zone == "" {
		return 0, nil
	}
	if n, err := strconv.ParseUint(zone, 10, 32); err == nil {
		return uint32(n), nil
	}
	link, err := net.InterfaceByName(zone)
	if err != nil {
		return 0, fmt.Errorf("find interface %s: %w", zone, err)
	}
	return uint32(link.Index), nil
}

// putSockaddr encodes a struct sockaddr_in (16 bytes) or sockaddr_in6 (28 bytes), <netinet/in.h>, and gives its size.
//
//	0      2      4           8            24         28
//	│family│port, │sockaddr_in: address │ 0 ...        │
//	│      │ BE   │flow label │ address    │ scope      │ sockaddr_in6
func putSockaddr(b *[unix.SizeofSockaddrInet6]byte, a netip.AddrPort, zone uint32) uint32 {
	binary.BigEndian.PutUint16(b[2:], a.Port())
	if a.Addr().Is4() {
		binary.NativeEndian.PutUint16(b[0:], unix.AF_INET)
		ip := a.Addr().As4()
		copy(b[4:], ip[:])
		return unix.SizeofSockaddrInet4
	}
	binary.NativeEndian.PutUint16(b[0:], unix.AF_INET6)
	ip := a.Addr().As16()
	copy(b[8:], ip[:])
	binary.NativeEndian.PutUint32(b[24:], zone)
	return unix.SizeofSockaddrInet6
}

// parseSockaddr reads what the kernel wrote; the zero AddrPort if it is neither IPv4 nor IPv6. Zones are left out: a name of
// the zone would have to be allocated.
func parseSockaddr(b []byte) netip.AddrPort {
	if len(b) < unix.SizeofSockaddrInet4 {
		return netip.AddrPort{}
	}
	port := binary.BigEndian.Uint16(b[2:])
	switch binary.NativeEndian.Uint16(b) {
	case unix.AF_INET:
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[4:8])), port)
	case unix.AF_INET6:
		if len(b) >= unix.SizeofSockaddrInet6 {
			return netip.AddrPortFrom(netip.AddrFrom16([16]byte(b[8:24])), port)
		}
	}
	return netip.AddrPort{}
}
