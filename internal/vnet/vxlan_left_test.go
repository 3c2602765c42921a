package vnet

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
)

// again is the site's next router, after this one was killed.
func (s *site) again(t *testing.T) *site {
	t.Helper()
	next := &Host{runDir: s.runDir, nl: s.nl, ns: s.ns, bridges: map[string]*netlink.Bridge{}}
	must(t, next.AddNetwork("default", s.MTU("default")))
	return &site{Host: next, ns: s.ns, local: s.local}
}

func TestNextRouterTakesTunnelOn(t *testing.T) {
	u := newUnderlay(t, 1500)
	s1, s2 := u.site(t, "default", "gone"), u.site(t, "default")
	where := map[string]*site{"10.77.0.1": s1, "10.77.0.2": s2}
	a := s1.container(t, "default", "10.77.0.1")
	s2.container(t, "default", "10.77.0.2")
	s2.knows(t, "default", vni, where)
	s1.knows(t, "gone", vni+1, where)
	where["10.77.0.3"] = s2 // ends while no router runs
	s1.knows(t, "default", vni, where)
	device := s1.device(t).Attrs().Index

	next := s1.again(t)
	if _, err := next.Left(); err != nil {
		t.Fatal(err)
	}
	wantLinks(t, next.Host, 5) // lo, eth0, a's veth, bridge and tunnel; nothing of the network that is gone
	ping(t, a, "10.77.0.2")
	delete(where, "10.77.0.3")
	next.knows(t, "default", vni, where)
	if next.device(t).Attrs().Index != device {
		t.Error("the tunnel was made anew")
	}
	if have := next.tables(t); len(have) != 5 {
		t.Errorf("what is gone was kept: %v", have)
	}
	ping(t, a, "10.77.0.2")

	next.knows(t, "default", vni+2, where) // the network has another identifier now
	s2.knows(t, "default", vni+2, where)
	if next.device(t).Attrs().Index == device {
		t.Error("the tunnel kept its identifier")
	}
	ping(t, a, "10.77.0.2")
	must(t, next.RemoveNetwork("default"))
	wantLinks(t, next.Host, 3)
}

func TestTunnelRefusals(t *testing.T) {
	u := newUnderlay(t, 1500)
	s := u.site(t, "default", "big", "other")
	must(t, s.AddNetwork("big", 1500))
	must(t, s.SetRemotes("other", 9, s.local, nil))
	for _, c := range []struct {
		network string
		vni     uint32
		local   netip.Addr
		says    string
	}{
		{"none", 1, s.local, "no network"},
		{"default", 0, s.local, "identifier"},
		{"default", 1 << 24, s.local, "identifier"},
		{"default", 1, netip.MustParseAddr("192.0.2.99"), "no address"},
		{"big", 1, s.local, "room for 1450"},
		{"default", 9, s.local, "has the network identifier"},
	} {
		if err := s.SetRemotes(c.network, c.vni, c.local, nil); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s, %d, %s: %v, want an error with %q", c.network, c.vni, c.local, err, c.says)
		}
	}
}

func TestTunnelOverIPv6(t *testing.T) {
	u := newUnderlay(t, 1500)
	s1, s2 := u.site(t, "default"), u.site(t, "default")
	for s, ip := range map[*site]string{s1: "fd00::1", s2: "fd00::2"} {
		nl := handleAt(t, s.ns)
		eth0, err := nl.LinkByName("eth0")
		must(t, err)
		must(t, nl.AddrAdd(eth0, address(netip.MustParsePrefix(ip+"/64"))))
		s.local = netip.MustParseAddr(ip)
		mtu, err := s.OverlayMTU(s.local)
		must(t, err)
		if mtu != 1500-VXLANOverhead6 {
			t.Errorf("MTU %d", mtu)
		}
		must(t, s.AddNetwork("default", mtu))
	}
	where := map[string]*site{"10.77.0.1": s1, "10.77.0.2": s2}
	s1.knows(t, "default", vni, where)
	s2.knows(t, "default", vni, where)
	a := s1.container(t, "default", "10.77.0.1")
	s2.container(t, "default", "10.77.0.2")
	ping(t, a, "10.77.0.2", "-M", "do", "-s", "1402") // 1430 less IP and ICMP
}
