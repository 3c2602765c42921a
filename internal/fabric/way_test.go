package fabric

import (
	"net/netip"
	"testing"

	"github.com/freeflow-rdma/freeflow/internal/verbs"
	vt "github.com/freeflow-rdma/freeflow/internal/verbs/verbstest"
)

// gids are those of addresses.
func gids(addrs ...string) (all []verbs.GID) {
	for _, a := range addrs {
		all = append(all, verbs.GIDOf(netip.MustParseAddr(a)))
	}
	return all
}

// TestWay: by which of its addresses a container reaches another.
func TestWay(t *testing.T) {
	const linkLocal, ipv4, host = 0, 1, 3
	c := New()
	nic := vt.New(t, c)
	if _, _, ok := c.Way(&verbs.Container{GIDs: gids("10.77.0.1")}, netip.MustParseAddr("10.77.0.2")); ok {
		t.Error("a way before there is a device")
	}
	c.SetDevice(nic.Dev)
	from := &verbs.Container{ID: "a", Name: "a", Network: testNetwork, VNI: testVNI, HostGID: host,
		GIDs: gids("fe80::1", "10.77.0.1", "fd00::1", "192.0.2.1")}
	alone := &verbs.Container{ID: "c", Name: "c", Network: "alone", GIDs: gids("10.77.0.1")}
	for _, x := range []*verbs.Container{
		from, alone,
		{ID: "b", Name: "b", Network: testNetwork, VNI: testVNI, GIDs: gids("fe80::2", "10.77.0.2", "fd00::2")},
	} {
		if err := nic.Dev.AddContainer(x); err != nil {
			t.Fatal(err)
		}
	}
	table := NewTable(4096)
	table.Add(Network{VNI: testVNI, Name: testNetwork}, gids("fe80::3", "10.77.0.3", "192.0.2.3"), Peer{Addr: netip.MustParseAddr("192.0.2.2")})
	table.Add(Network{VNI: testVNI + 1, Name: "other"}, gids("10.77.0.4"), Peer{Addr: netip.MustParseAddr("192.0.2.2")})
	table.AddExternal(netip.MustParsePrefix("192.0.2.0/24"))
	table.AddExternal(netip.MustParsePrefix("2001:db8::/32"))
	c.SetTable(table)
	const none = -1
	for _, x := range []struct {
		from *verbs.Container
		dst  string
		sgid int
		why  string
	}{
		{from, "10.77.0.2", ipv4, "here"},
		{from, "::ffff:10.77.0.2", ipv4, "here, written as IPv6"},
		{from, "fe80::2%eth0", linkLocal, "here, on the link"},
		{from, "fd00::2", 2, "here, IPv6 of more than the link"},
		{from, "10.77.0.3", ipv4, "at another host"},
		{from, "fe80::3", linkLocal, "at another host, on the link"},
		{from, "10.77.0.1", ipv4, "itself"},
		{from, "fe80::1", linkLocal, "itself"},
		{from, "192.0.2.1", host, "the host, which is itself"},
		{from, "192.0.2.9", host, "no router"},
		{from, "192.0.2.3", ipv4, "no router, but a container has that address too"},
		{from, "239.1.2.3", ipv4, "a group"},
		{from, "ff05::1", linkLocal, "a group"},
		{from, "10.77.0.4", none, "of another network"},
		{from, "10.77.0.9", none, "nobody's"},
		{from, "203.0.113.1", none, "not among those that are no routers"},
		{from, "2001:db8::1", none, "no router, but the host's address is IPv4"},
		{alone, "10.77.0.1", 0, "itself"},
		{alone, "10.77.0.3", none, "its network is this host's alone"},
		{alone, "192.0.2.9", none, "no router, but it may not speak to those"},
		{alone, "239.1.2.3", 0, "a group"},
		{alone, "ff05::1", none, "a group, but it has no IPv6 address"},
	} {
		dst := netip.MustParseAddr(x.dst)
		sgid, dgid, ok := c.Way(x.from, dst)
		if !ok {
			sgid = none
		}
		if sgid != x.sgid || ok && dgid.Addr() != dst.Unmap().WithZone("") {
			t.Errorf("%s to %s (%s): by address %d to %v, want by %d", x.from.Name, x.dst, x.why, sgid, dgid.Addr(), x.sgid)
		}
	}
	if _, _, ok := c.Way(from, netip.Addr{}); ok {
		t.Error("a way to no address")
	}
}
