package udp

import (
	"fmt"
	"net/netip"
	"os"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/freeflow-rdma/freeflow/internal/vnet"
)

// two is a pair of hosts as a cluster test has them:
//
//	namespace a                    namespace of the bridge                  namespace b
//	 eth0 192.0.2.1, 2001:db8::1 ───── veth ── br0 ── veth ───── eth0 192.0.2.2, 2001:db8::2
type two struct {
	a, b *vnet.Namespace
}

const testMTU = 9000

func newTwo(tb testing.TB) *two {
	tb.Helper()
	if os.Geteuid() != 0 {
		tb.Fatal("this test makes network namespaces and links: run it as root")
	}
	middle := namespace(tb)
	t := &two{a: namespace(tb), b: namespace(tb)}
	must(tb, middle.Do(func() error {
		attrs := netlink.NewLinkAttrs()
		attrs.Name, attrs.MTU = "br0", testMTU
		if err := netlink.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}); err != nil {
			return err
		}
		for i, ns := range []*vnet.Namespace{t.a, t.b} {
			if err := wire(ns, i+1); err != nil {
				return err
			}
		}
		return up("br0")
	}))
	for i, ns := range []*vnet.Namespace{t.a, t.b} {
		must(tb, ns.Do(func() error { return address(i + 1) }))
	}
	return t
}

// wire joins ns to br0 by a veth pair.
func wire(ns *vnet.Namespace, i int) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU = fmt.Sprintf("port%d", i), testMTU
	veth := &netlink.Veth{LinkAttrs: attrs, PeerName: "eth0", PeerNamespace: netlink.NsFd(ns.FD()), PeerMTU: testMTU}
	if err := netlink.LinkAdd(veth); err != nil {
		return err
	}
	bridge, err := netlink.LinkByName("br0")
	if err != nil {
		return err
	}
	if err := netlink.LinkSetMaster(veth, bridge); err != nil {
		return err
	}
	return up(attrs.Name)
}

// address gives the namespace's eth0 its addresses, usable at once.
func address(i int) error {
	link, err := netlink.LinkByName("eth0")
	if err != nil {
		return err
	}
	for _, text := range []string{fmt.Sprintf("192.0.2.%d/24", i), fmt.Sprintf("2001:db8::%d/64", i)} {
		a, err := netlink.ParseAddr(text)
		if err != nil {
			return err
		}
		a.Flags = unix.IFA_F_NODAD
		if err := netlink.AddrAdd(link, a); err != nil {
			return err
		}
	}
	if err := up("lo"); err != nil {
		return err
	}
	return up("eth0")
}

func up(name string) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	return netlink.LinkSetUp(link)
}

func namespace(tb testing.TB) *vnet.Namespace {
	tb.Helper()
	ns, err := vnet.NewNamespace()
	must(tb, err)
	tb.Cleanup(func() { ns.Close() })
	return ns
}

// handle is netlink inside ns.
func handle(tb testing.TB, ns *vnet.Namespace) *netlink.Handle {
	tb.Helper()
	h, err := netlink.NewHandleAt(netns.NsHandle(ns.FD()))
	must(tb, err)
	tb.Cleanup(h.Close)
	return h
}

// openIn opens a port in a namespace, or, ns being nil, where the test runs.
func openIn(tb testing.TB, ns *vnet.Namespace, c Config) *Port {
	tb.Helper()
	if c.CPUs == nil {
		c.CPUs = []int{-1}
	}
	var p *Port
	do := func() (err error) {
		p, err = Open(c)
		return err
	}
	if ns == nil {
		must(tb, do())
	} else {
		must(tb, ns.Do(do))
	}
	tb.Cleanup(p.Close)
	return p
}

func dest(tb testing.TB, to netip.AddrPort) *Dest {
	tb.Helper()
	d, err := NewDest(to)
	must(tb, err)
	return d
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// wait blocks until the socket is readable; false after 5 seconds.
func wait(s *Socket) bool { return waitFor(s.FD()) }

func waitFor(fd int) bool {
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	for {
		n, err := unix.Poll(fds, 5000)
		if err != unix.EINTR {
			return n > 0
		}
	}
}
