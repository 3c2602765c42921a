package vnet

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// configure gives eth0 its addresses, through a netlink socket of the container's namespace.
func configure(inside *netlink.Handle, port Port, further []netip.Prefix) error {
	lo, err := inside.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("find the container's loopback: %w", err)
	}
	if err := inside.LinkSetUp(lo); err != nil {
		return fmt.Errorf("bring the container's loopback up: %w", err)
	}
	eth0, err := inside.LinkByName(ContainerLink)
	if err != nil {
		return fmt.Errorf("find the container's %s: %w", ContainerLink, err)
	}
	ipv6 := inside.LinkSetIP6AddrGenMode(eth0, addrGenModeNone) == nil
	if err := inside.AddrAdd(eth0, address(netip.PrefixFrom(port.IP, port.Prefix.Bits()))); err != nil {
		return fmt.Errorf("give %s address %s: %w", ContainerLink, port.IP, err)
	}
	if err := inside.LinkSetUp(eth0); err != nil {
		return fmt.Errorf("bring the container's %s up: %w", ContainerLink, err)
	}
	if !ipv6 {
		return nil // a kernel without IPv6: the link-local GID is then a name only
	}
	for _, p := range append([]netip.Prefix{netip.PrefixFrom(LinkLocal(MAC(port.IP)), 64)}, further...) {
		err := inside.AddrAdd(eth0, address(p))
		if errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) {
			return nil // IPv6 is disabled on this host
		}
		if err != nil {
			return fmt.Errorf("give %s address %s: %w", ContainerLink, p, err)
		}
	}
	return nil
}

// address is p as the kernel is told it: an IPv6 address without duplicate detection, since nobody else
// can have an address that the router assigned.
func address(p netip.Prefix) *netlink.Addr {
	a := &netlink.Addr{IPNet: &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}}
	if p.Addr().Is6() {
		a.Flags = unix.IFA_F_NODAD
	} else if p.Bits() < 31 {
		a.Broadcast = net.IP(lastAddress(p).AsSlice())
	}
	return a
}

func lastAddress(p netip.Prefix) netip.Addr {
	v4 := p.Masked().Addr().As4()
	for bit := p.Bits(); bit < 32; bit++ {
		v4[bit/8] |= 0x80 >> (bit % 8)
	}
	return netip.AddrFrom4(v4)
}

// settleTime bounds the wait for a new link. The kernel brings links up from a work queue, usually within
// a millisecond or two.
const settleTime = 5 * time.Second

// settled waits until packets pass: both ends of the veth are up, which for our end means that the bridge
// forwards to it, and no address is tentative, so that each can be bound.
func (h *Host) settled(inside *netlink.Handle, name string) error {
	deadline := time.Now().Add(settleTime)
	for wait := 500 * time.Microsecond; ; wait = min(2*wait, 50*time.Millisecond) {
		waitingFor, err := h.unsettled(inside, name)
		if err != nil || waitingFor == "" {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the container's network is not ready after %s: %s", settleTime, waitingFor)
		}
		time.Sleep(wait)
	}
}

// unsettled says what is still missing; nothing if the network is ready.
func (h *Host) unsettled(inside *netlink.Handle, name string) (string, error) {
	ours, err := h.nl.LinkByName(name)
	if err != nil {
		return "", fmt.Errorf("find veth %s: %w", name, err)
	}
	theirs, err := inside.LinkByName(ContainerLink)
	if err != nil {
		return "", fmt.Errorf("find the container's %s: %w", ContainerLink, err)
	}
	if ours.Attrs().OperState != netlink.OperUp || theirs.Attrs().OperState != netlink.OperUp {
		return "the veth pair is not up", nil
	}
	var addrs []netlink.Addr
	err = retry(func() error {
		addrs, err = inside.AddrList(theirs, netlink.FAMILY_V6)
		return err
	})
	if errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EOPNOTSUPP) {
		return "", nil // a kernel without IPv6
	}
	if err != nil {
		return "", fmt.Errorf("list the container's addresses: %w", err)
	}
	for _, a := range addrs {
		if a.Flags&unix.IFA_F_TENTATIVE != 0 {
			return "an IPv6 address is tentative", nil
		}
	}
	return "", nil
}
