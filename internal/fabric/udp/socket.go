package udp

import (
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// bound makes a socket that has the address. share is the socket option by which others may have it too: SO_REUSEPORT, of which one gets a
// packet, SO_REUSEADDR, of which all get one to a multicast group, or 0.
func bound(addr netip.AddrPort, share int) (fd int, err error) {
	zone, err := zoneIndex(addr.Addr().Zone())
	if err != nil {
		return -1, err
	}
	family, to := unix.AF_INET6, unix.Sockaddr(&unix.SockaddrInet6{Port: int(addr.Port()), Addr: addr.Addr().As16(), ZoneId: zone})
	if addr.Addr().Is4() {
		family, to = unix.AF_INET, &unix.SockaddrInet4{Port: int(addr.Port()), Addr: addr.Addr().As4()}
	}
	if fd, err = unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0); err != nil {
		return -1, fmt.Errorf("make socket: %w", err)
	}
	defer func() {
		if err != nil {
			_ = unix.Close(fd)
		}
	}()
	if family == unix.AF_INET6 {
		if err := unix.SetsockoptInt(fd, unix.SOL_IPV6, unix.IPV6_V6ONLY, 1); err != nil {
			return -1, fmt.Errorf("keep IPv4 out: %w", err)
		}
	}
	if share != 0 {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, share, 1); err != nil {
			return -1, fmt.Errorf("share the port: %w", err)
		}
	}
	if err := unix.Bind(fd, to); err != nil {
		return -1, fmt.Errorf("bind: %w", err)
	}
	return fd, nil
}

func localAddr(fd int, addr netip.Addr) (netip.AddrPort, error) {
	name, err := unix.Getsockname(fd)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("read the port chosen: %w", err)
	}
	switch a := name.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(addr, uint16(a.Port)), nil
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(addr, uint16(a.Port)), nil
	}
	return netip.AddrPort{}, fmt.Errorf("read the port chosen: not an IP address but %T", name)
}

// setOptions sets what both families have under different names. PROBE forbids fragments (so Linux sets the IPv4 identification
// to 0, or in a run to the packet's index), and no ICMP message from the network can make the kernel refuse our packets.
func setOptions(fd int, v4 bool, tos uint8) error {
	level, discover, probe, class, tell := unix.SOL_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_PROBE, unix.IPV6_TCLASS, unix.IPV6_RECVTCLASS
	if v4 {
		level, discover, probe, class, tell = unix.SOL_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_PROBE, unix.IP_TOS, unix.IP_RECVTOS
	}
	if err := unix.SetsockoptInt(fd, level, discover, probe); err != nil {
		return fmt.Errorf("forbid fragments: %w", err)
	}
	if err := unix.SetsockoptInt(fd, level, class, int(tos)); err != nil {
		return fmt.Errorf("set traffic class %#x: %w", tos, err)
	}
	if err := unix.SetsockoptInt(fd, level, tell, 1); err != nil {
		return fmt.Errorf("ask for traffic classes: %w", err)
	}
	if !v4 {
		// Soft-RoCE sends no UDP checksum over IPv6 either, and RFC 6936 lets tunnels do so: the ICRC is what counts.
		_ = unix.SetsockoptInt(fd, unix.SOL_UDP, unix.UDP_NO_CHECK6_RX, 1)
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RXQ_OVFL, 1) // without, overflows are not counted
	return nil
}

// setBuffer asks for a buffer of so many bytes, beyond the system's limit if we may, and gives what was got.
func setBuffer(fd, bytes, force, polite int) int {
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, force, bytes) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, polite, bytes)
	}
	got, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, polite)
	if err != nil {
		return 0
	}
	return got / 2 // the kernel doubles it, for its own overhead, socket(7)
}
