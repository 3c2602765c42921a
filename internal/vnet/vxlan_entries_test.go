package vnet

import (
	"maps"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/vishvananda/netlink"
)

var here = netip.MustParseAddr("192.0.2.1")

// randomRemotes is a state of up to 20 containers on up to 4 hosts, this one among them.
func randomRemotes(r *rand.Rand) []Remote {
	var out []Remote
	for i := range byte(20) {
		if r.IntN(2) == 0 {
			continue
		}
		remote := Remote{IP: netip.AddrFrom4([4]byte{10, 77, 0, i + 1}), Host: netip.AddrFrom4([4]byte{192, 0, 2, byte(r.IntN(4) + 1)})}
		if r.IntN(4) == 0 { // an address that may belong to another container tomorrow
			remote.Further = []netip.Addr{netip.AddrFrom16([16]byte{0: 0xfd, 15: byte(r.IntN(3) + 1)})}
		}
		out = append(out, remote)
	}
	return out
}

// TestDifferenceLeadsToWhatIsWanted plays the kernel: adding replaces what has the same key.
func TestDifferenceLeadsToWhatIsWanted(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	have := entries{}
	for range 1000 {
		want, err := wanted(here, randomRemotes(r))
		must(t, err)
		missing, stale := difference(have, want)
		for _, e := range missing {
			have.add(e)
		}
		for _, e := range stale {
			if have[e.key()] != e {
				t.Fatalf("%s is removed, but is not there", e)
			}
			delete(have, e.key())
		}
		if !maps.Equal(have, want) {
			t.Fatalf("have %v, want %v", have, want)
		}
		if missing, stale := difference(have, want); len(missing)+len(stale) > 0 {
			t.Fatalf("done, but missing %v, stale %v", missing, stale)
		}
	}
}

func TestUnusableRemotesAreLeftOut(t *testing.T) {
	ip, host := netip.MustParseAddr("10.77.0.2"), netip.MustParseAddr("192.0.2.2")
	for _, bad := range []Remote{
		{}, {IP: ip}, {Host: host}, {IP: netip.MustParseAddr("fd00::1"), Host: host},
		{IP: ip, Host: netip.MustParseAddr("fd00::1")}, {IP: ip, Host: netip.MustParseAddr("0.0.0.0")},
		{IP: ip, Host: netip.MustParseAddr("239.0.0.1")},
	} {
		want, err := wanted(here, []Remote{bad, {IP: netip.MustParseAddr("10.77.0.3"), Host: host}})
		if err == nil || len(want) != 5 { // tunnel, flood, port, two neighbours
			t.Errorf("%v: %d entries, error %v", bad, len(want), err)
		}
	}
	if want, err := wanted(here, []Remote{{IP: ip, Host: here}}); err != nil || len(want) != 0 {
		t.Errorf("a container on this host: %v, %v", want, err)
	}
}

// TestKernelTablesFollow reconciles a real bridge and tunnel with random states, and reads them back.
func TestKernelTablesFollow(t *testing.T) {
	u := newUnderlay(t, 1500)
	s := u.site(t, "default")
	r := rand.New(rand.NewPCG(3, 4))
	for range 30 {
		remotes := randomRemotes(r)
		must(t, s.SetRemotes("default", vni, s.local, remotes))
		want, err := wanted(s.local, remotes)
		must(t, err)
		if have := s.tables(t); !maps.Equal(have, want) {
			t.Fatalf("have %v,\nwant %v", have, want)
		}
	}
	must(t, s.ClearRemotes("default"))
	must(t, s.ClearRemotes("default"))
	wantLinks(t, s.Host, 3) // lo, eth0 and the bridge
}

// tables is what the kernel has.
func (s *site) tables(t *testing.T) entries {
	t.Helper()
	have, err := s.present(s.device(t), s.bridges["default"])
	must(t, err)
	return have
}

func (s *site) device(t *testing.T) netlink.Link {
	t.Helper()
	link, err := s.nl.LinkByName(VXLANName(s.runDir, "default"))
	must(t, err)
	return link
}
