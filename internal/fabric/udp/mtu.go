package udp

import (
	"fmt"
	"net"
	"net/netip"
)

// Encapsulation is what stands around a RoCEv2 packet's BTH.
type Encapsulation struct {
	OuterV6 bool // the underlay is IPv6
	Geneve  bool // inner IP and UDP within Geneve; without it, outer IP and UDP are the packet's own
	Options int  // bytes of Geneve options
	InnerV6 bool // the containers' network is IPv6
}

// Sizes of headers in bytes.
const (
	ipv4Header   = 20
	ipv6Header   = 40
	udpHeader    = 8
	geneveHeader = 8
	bthHeader    = 12
	extensions   = 16 + 4 // RETH and ImmDt: the most that goes with a full payload
	icrcTrailer  = 4
)

// Overhead is the bytes that a packet has besides its payload, at most, from the outer IP header to the ICRC.
func (e Encapsulation) Overhead() int {
	n := ipHeader(e.OuterV6) + udpHeader + bthHeader + extensions + icrcTrailer
	if e.Geneve {
		n += geneveHeader + e.Options + ipHeader(e.InnerV6) + udpHeader
	}
	return n
}

func ipHeader(v6 bool) int {
	if v6 {
		return ipv6Header
	}
	return ipv4Header
}

// PathMTU is the largest path MTU of RoCE (256, 512, 1024, 2048 or 4096 bytes of payload; IBTA §9.8.2.2.3) whose packets fit an
// underlay MTU; 0 if none does.
func PathMTU(underlay int, e Encapsulation) int {
	for mtu := MaxPayload; mtu >= 256; mtu /= 2 {
		if mtu+e.Overhead() <= underlay {
			return mtu
		}
	}
	return 0
}

// UnderlayMTU reads the MTU of the interface that has the local address, in the calling thread's network namespace.
func UnderlayMTU(local netip.Addr) (int, error) {
	link, err := interfaceOf(local)
	if err != nil {
		return 0, err
	}
	return link.MTU, nil
}

// interfaceOf finds the interface that has a local address, in the calling thread's network namespace.
func interfaceOf(local netip.Addr) (*net.Interface, error) {
	links, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("find the interface of %s: %w", local, err)
	}
	for i := range links {
		addrs, err := links[i].Addrs()
		if err != nil {
			continue // it has gone meanwhile
		}
		for _, a := range addrs {
			if prefix, ok := a.(*net.IPNet); ok && prefix.IP.Equal(local.AsSlice()) {
				return &links[i], nil
			}
		}
	}
	return nil, fmt.Errorf("find the interface of %s: no interface has this address", local)
}
