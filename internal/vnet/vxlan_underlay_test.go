package vnet

import (
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"testing"

	"github.com/vishvananda/netlink"
)

// underlay is a wire that hosts hang at, each in a namespace of its own:
//
//	host 1              underlay             host 2
//	 eth0 192.0.2.1 ──── u1 ┐          ┌ u2 ──── eth0 192.0.2.2
//	                        ├── wire ──┤
type underlay struct {
	nl   *netlink.Handle
	wire *netlink.Bridge
	mtu  int
	n    byte
}

// site is one host of an underlay.
type site struct {
	*Host
	ns    *Namespace
	local netip.Addr
}

func newUnderlay(t *testing.T, mtu int) *underlay {
	t.Helper()
	needRoot(t)
	u := &underlay{nl: handleAt(t, newNamespace(t)), mtu: mtu}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU = "wire", mtu
	u.wire = &netlink.Bridge{LinkAttrs: attrs}
	must(t, u.nl.LinkAdd(u.wire))
	must(t, u.nl.LinkSetUp(u.wire))
	return u
}

func handleAt(t *testing.T, ns *Namespace) *netlink.Handle {
	t.Helper()
	var nl *netlink.Handle
	must(t, ns.Do(func() (err error) {
		nl, err = netlink.NewHandle()
		return err
	}))
	t.Cleanup(nl.Close)
	return nl
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// peer hangs a namespace at the wire.
func (u *underlay) peer(t *testing.T) (*Namespace, netip.Addr) {
	t.Helper()
	u.n++
	ns := newNamespace(t)
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU, attrs.MasterIndex = fmt.Sprintf("u%d", u.n), u.mtu, u.wire.Index
	veth := &netlink.Veth{LinkAttrs: attrs, PeerName: "eth0", PeerNamespace: netlink.NsFd(ns.FD()), PeerMTU: uint32(u.mtu)}
	must(t, u.nl.LinkAdd(veth))
	must(t, u.nl.LinkSetUp(veth))
	inside := handleAt(t, ns)
	for _, name := range []string{"lo", "eth0"} {
		link, err := inside.LinkByName(name)
		must(t, err)
		must(t, inside.LinkSetUp(link))
		if name == "eth0" {
			ip := net.IPv4(192, 0, 2, u.n)
			must(t, inside.AddrAdd(link, &netlink.Addr{IPNet: &net.IPNet{IP: ip, Mask: net.CIDRMask(24, 32)}}))
		}
	}
	return ns, netip.AddrFrom4([4]byte{192, 0, 2, u.n})
}

// site makes a host with the networks, whose MTU the underlay has room for.
func (u *underlay) site(t *testing.T, networks ...string) *site {
	t.Helper()
	s := &site{}
	s.ns, s.local = u.peer(t)
	must(t, s.ns.Do(func() (err error) {
		s.Host, err = NewHost(t.TempDir())
		return err
	}))
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	mtu, err := s.OverlayMTU(s.local)
	must(t, err)
	for _, network := range networks {
		must(t, s.AddNetwork(network, mtu))
	}
	return s
}

// container makes one on the site.
func (s *site) container(t *testing.T, network, ip string) *Namespace {
	t.Helper()
	ns := newNamespace(t)
	must(t, s.Attach(ns, on(network, ip)))
	return ns
}

func on(network, ip string) Port {
	p := port(ip)
	p.Network = network
	return p
}

// knows tells the site about containers: pairs of an address and the site that it is on.
func (s *site) knows(t *testing.T, network string, vni uint32, where map[string]*site) {
	t.Helper()
	var remotes []Remote
	for ip, there := range where {
		remotes = append(remotes, Remote{IP: netip.MustParseAddr(ip), Host: there.local})
	}
	must(t, s.SetRemotes(network, vni, s.local, remotes))
}

// run runs a program in the namespace.
func run(ns *Namespace, name string, args ...string) (string, error) {
	var out []byte
	err := ns.Do(func() (err error) {
		out, err = exec.Command(name, args...).CombinedOutput()
		return err
	})
	return string(out), err
}

func ping(t *testing.T, from *Namespace, to string, options ...string) {
	t.Helper()
	if out, err := run(from, "ping", append([]string{"-c1", "-W5", to}, options...)...); err != nil {
		t.Errorf("ping %s (Debian package iputils-ping): %v\n%s", to, err, out)
	}
}

func noPing(t *testing.T, from *Namespace, to string) {
	t.Helper()
	if out, err := run(from, "ping", "-c1", "-W1", to); err == nil {
		t.Errorf("%s answers\n%s", to, out)
	}
}
