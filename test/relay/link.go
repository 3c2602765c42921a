package relay

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/freeflow-rdma/freeflow/internal/vnet"
)

// Link is a host's link, which the relay makes: an interface with an address in the host's namespace.
type Link struct {
	NS   *vnet.Namespace
	Name string // eth0 if empty
	Addr netip.Prefix
	MTU  int // 1500 if 0
}

// queueLength is how many packets wait for the relay: a few milliseconds of a fast sender, as a switch would
// have room for.
const queueLength = 16384

// open makes the link and returns its far end: each read is a frame that the host sent, each write one that it
// receives. The link goes with the descriptor.
func (l Link) open() (*os.File, error) {
	var fd int
	err := l.NS.Do(func() (err error) {
		if fd, err = openTap(l.Name); err != nil {
			return err
		}
		if err = l.configure(); err != nil {
			err = errors.Join(err, unix.Close(fd))
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("make link %s: %w", l.Name, err)
	}
	return os.NewFile(uintptr(fd), "tap "+l.Name), nil
}

// openTap makes a tap device in the thread's namespace.
func openTap(name string) (int, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("open /dev/net/tun (kernel module tun, and root): %w", err)
	}
	req, err := unix.NewIfreq(name)
	if err == nil {
		req.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, req)
	}
	if err != nil {
		return 0, errors.Join(fmt.Errorf("make tap device: %w", err), unix.Close(fd))
	}
	return fd, nil
}

// configure gives the link its address and brings it up, on a thread in its namespace.
func (l Link) configure() error {
	nl, err := netlink.NewHandle()
	if err != nil {
		return err
	}
	defer nl.Close()
	link, err := nl.LinkByName(l.Name)
	if err != nil {
		return err
	}
	addr := &netlink.Addr{IPNet: &net.IPNet{IP: l.Addr.Addr().AsSlice(), Mask: net.CIDRMask(l.Addr.Bits(), l.Addr.Addr().BitLen())}}
	if l.Addr.Addr().Is6() {
		addr.Flags = unix.IFA_F_NODAD
	}
	return errors.Join(nl.LinkSetMTU(link, l.MTU), nl.LinkSetTxQLen(link, queueLength), nl.AddrAdd(link, addr), nl.LinkSetUp(link))
}
