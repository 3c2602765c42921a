package udp

import (
	"net/netip"

	"golang.org/x/sys/unix"
)

// probeSegments says how many packets the kernel takes as one message: 1 if it knows no UDP_SEGMENT, else 64 or, from Linux 6.9 on,
// 128. It sends a run of 128 one-byte packets to a socket of its own at the address.
func probeSegments(local netip.Addr) int {
	fd, err := bound(netip.AddrPortFrom(local, 0), 0)
	if err != nil {
		return 1
	}
	defer func() { _ = unix.Close(fd) }()
	if unix.SetsockoptInt(fd, unix.SOL_UDP, unix.UDP_SEGMENT, 1) != nil {
		return 1
	}
	to, err := unix.Getsockname(fd)
	if err != nil {
		return oldSegments
	}
	if unix.Sendto(fd, make([]byte, newSegments), unix.MSG_DONTWAIT, to) != nil {
		return oldSegments
	}
	return newSegments
}
