package vnet

import (
	"net"
	"net/netip"
	"testing"

	"github.com/vishvananda/netlink"
)

// A peer on the underlay that knows nothing of FreeFlow, and containers of two hosts; its route leads to host 1:
//
//	10.77.0.1 ── host 1 ═╦═ underlay ── peer 192.0.2.3
//	10.77.0.2 ── host 2 ═╝
func TestRouteExternal(t *testing.T) {
	u := newUnderlay(t, 1500)
	s1, s2 := u.site(t, "default", "other"), u.site(t, "default")
	peer, address := u.peer(t)
	cidr, to := netip.MustParsePrefix("10.77.0.0/16"), netip.MustParsePrefix("192.0.2.0/24")
	where := map[string]*site{"10.77.0.1": s1, "10.77.0.2": s2}
	a := s1.container(t, "default", "10.77.0.1")
	for _, s := range []*site{s1, s2} {
		must(t, s.RouteExternal("default", cidr, to))
		must(t, s.RouteExternal("default", cidr, to))
		s.knows(t, "default", vni, where)
	}
	b := s2.container(t, "default", "10.77.0.2")
	must(t, s1.Attach(a, on("default", "10.77.0.1"))) // was there before the route

	nl := handleAt(t, peer)
	must(t, nl.RouteAdd(&netlink.Route{
		Dst: &net.IPNet{IP: net.IPv4(10, 77, 0, 0), Mask: net.CIDRMask(16, 32)}, Gw: s1.local.AsSlice(),
	}))
	for _, c := range []*Namespace{a, b} {
		ping(t, c, address.String())
	}
	ping(t, peer, "10.77.0.1")
	ping(t, peer, "10.77.0.2")
	ping(t, a, "10.77.0.2")

	if err := s1.RouteExternal("other", netip.MustParsePrefix("10.77.1.0/24"), to); err == nil {
		t.Error("two networks with the same addresses have a way out")
	}
	must(t, s1.RemoveNetwork("default"))
	must(t, s1.RouteExternal("other", netip.MustParsePrefix("10.77.1.0/24"), to))
}
