package vnet

import (
	"net/netip"
	"testing"

	"github.com/vishvananda/netlink"
)

func TestNextRouterGoesOnWithWhatIsLeft(t *testing.T) {
	for _, graceful := range []bool{true, false} {
		h := newHost(t)
		if err := h.AddNetwork("gone", 0); err != nil {
			t.Fatal(err)
		}
		a, b := newNamespace(t), newNamespace(t)
		for ns, ip := range map[*Namespace]string{a: "10.77.0.1", b: "10.77.0.2"} {
			if err := h.Attach(ns, port(ip)); err != nil {
				t.Fatal(err)
			}
		}
		if graceful {
			for _, network := range []string{"default", "gone"} {
				if err := h.RemoveNetwork(network); err != nil {
					t.Fatal(err)
				}
			}
		}
		next := &Host{runDir: h.runDir, nl: h.nl, ns: h.ns, bridges: map[string]*netlink.Bridge{}}
		if err := next.AddNetwork("default", 1400); err != nil {
			t.Fatal(err)
		}
		left, err := next.Left()
		if err != nil || len(left) != 2 {
			t.Fatalf("left: %v, %v", left, err)
		}
		wantLinks(t, next, 4) // lo, the bridge and two veths; not the bridge of the network that is gone
		if next.MTU("default") != 1400 {
			t.Errorf("MTU %d", next.MTU("default"))
		}
		for ns, ip := range map[*Namespace]string{a: "10.77.0.1", b: "10.77.0.2"} {
			if err := next.Attach(ns, port(ip)); err != nil {
				t.Fatalf("graceful %v: attach again: %v", graceful, err)
			}
		}
		wantLinks(t, next, 4)
		if err := exchange(a, b, "10.77.0.2:4000"); err != nil {
			t.Errorf("graceful %v: %v", graceful, err)
		}
		if err := next.RemoveNetwork("default"); err != nil {
			t.Error(err)
		}
	}
}

func TestPortAliasRoundTrips(t *testing.T) {
	want := Port{Container: "0123456789ab", Network: "default", IP: netip.MustParseAddr("10.77.0.9")}
	if got, ok := parsePort(want.alias()); !ok || got != want {
		t.Errorf("%q became %v, %v", want.alias(), got, ok)
	}
	for _, alias := range []string{"", "uplink", "freeflow container=x network=y ip=z"} {
		if p, ok := parsePort(alias); ok {
			t.Errorf("%q became %v", alias, p)
		}
	}
}

func TestNames(t *testing.T) {
	ip := netip.MustParseAddr("10.77.255.254")
	bridge, veth := BridgeName("/run/freeflow", "default"), VethName("/run/freeflow", "default", ip)
	if len(bridge) != 15 || len(veth) != 15 {
		t.Errorf("names %q, %q: want 15 characters", bridge, veth)
	}
	if bridge != BridgeName("/run/freeflow", "default") {
		t.Error("a name is not stable")
	}
	if bridge == BridgeName("/run/other", "default") || bridge == BridgeName("/run/freeflow", "other") {
		t.Error("two bridges of one name")
	}
}
