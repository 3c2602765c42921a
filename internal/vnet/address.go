package vnet

import (
	"crypto/sha256"
	"encoding/base32"
	"net"
	"net/netip"
	"strings"
)

// MAC is the hardware address of the container with the virtual address ip: 02:ff:a.b.c.d, locally
// administered, so that whoever knows the one knows the other.
func MAC(ip netip.Addr) net.HardwareAddr {
	v4 := ip.As4()
	return net.HardwareAddr{0x02, 0xff, v4[0], v4[1], v4[2], v4[3]}
}

// LinkLocal is the IPv6 address that follows from mac by modified EUI-64 (RFC 4291, appendix A).
func LinkLocal(mac net.HardwareAddr) netip.Addr {
	eui := EUI64(mac)
	addr := [16]byte{0: 0xfe, 1: 0x80}
	copy(addr[8:], eui[:])
	return netip.AddrFrom16(addr)
}

// IPOf is the IPv4 address of the container whose link-local address is a (MAC, LinkLocal); any other address is itself.
func IPOf(a netip.Addr) netip.Addr {
	a = a.Unmap().WithZone("")
	if !a.Is6() {
		return a
	}
	b := a.As16()
	ip := netip.AddrFrom4([4]byte{b[10], b[13], b[14], b[15]})
	if a != LinkLocal(MAC(ip)) {
		return a
	}
	return ip
}

// EUI64 is the modified EUI-64 of mac: the universal/local bit inverted and ff:fe in the middle. Soft-RoCE
// takes its node GUID from it.
func EUI64(mac net.HardwareAddr) [8]byte {
	return [8]byte{mac[0] ^ 0x02, mac[1], mac[2], 0xff, 0xfe, mac[3], mac[4], mac[5]}
}

// Interface names are at most 15 characters: two for what it is, four for the router (its run
// directory), nine for the network or the address. 45 bits keep a few thousand names apart.
const (
	bridgePrefix = "fb"
	vethPrefix   = "fv"
	vxlanPrefix  = "fx"
)

// BridgeName is the name of a network's bridge.
func BridgeName(runDir, network string) string {
	return bridgePrefix + hash(runDir)[:4] + hash("network", network)[:9]
}

// VethName is the name of the router's end of a container's veth pair.
func VethName(runDir, network string, ip netip.Addr) string {
	return vethPrefix + hash(runDir)[:4] + hash("veth", network, ip.String())[:9]
}

// VXLANName is the name of the tunnel device that joins a network's bridge with those of other hosts.
func VXLANName(runDir, network string) string {
	return vxlanPrefix + hash(runDir)[:4] + hash("vxlan", network)[:9]
}

func hash(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return strings.ToLower(base32.StdEncoding.EncodeToString(sum[:]))
}
