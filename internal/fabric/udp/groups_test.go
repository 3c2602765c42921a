package udp

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/freeflow-rdma/freeflow/internal/mem"
	"github.com/freeflow-rdma/freeflow/internal/vnet"
)

// groupsIn prepares for groups in a namespace.
func groupsIn(t *testing.T, ns *vnet.Namespace, local string) *Groups {
	t.Helper()
	var g *Groups
	must(t, ns.Do(func() (err error) {
		g, err = OpenGroups(netip.MustParseAddrPort(local))
		return err
	}))
	t.Cleanup(g.Close)
	return g
}

func join(ns *vnet.Namespace, g *Groups, group string) error {
	return ns.Do(func() error { return g.Join(netip.MustParseAddr(group)) })
}

// settle waits until the links between two hosts carry packets: nobody sends those to a group again.
func settle(t *testing.T, from, to *Port) {
	t.Helper()
	letters(t, from.Socket(0).Batch, dest(t, to.Addr()), 1, 10)
	if got, _ := collect(t, to.Socket(0), 1); len(got) != 1 {
		t.Fatal("the hosts do not reach each other")
	}
}

// heard takes n packets and gives "sender > group: bytes" of each.
func heard(t *testing.T, g *Groups, n int) (all []string) {
	t.Helper()
	for len(all) < n {
		if !waitFor(g.FD()) {
			t.Fatalf("%s: %d of %d packets arrived: %v", g.local, len(all), n, all)
		}
		g.Poll()
		var a Arrival
		for {
			to, ok := g.Next(&a)
			if !ok {
				break
			}
			all = append(all, fmt.Sprintf("%s > %s: %d", a.Src.Addr(), to, len(a.Bytes)))
		}
	}
	return all
}

// silent fails if a packet waits.
func silent(t *testing.T, g *Groups) {
	t.Helper()
	g.Poll()
	var a Arrival
	if to, ok := g.Next(&a); ok {
		t.Errorf("heard %d bytes from %s to %s", len(a.Bytes), a.Src, to)
	}
}

// memberships says whether a namespace is a member of an IPv4 group on eth0, as the kernel tells.
func memberships(t *testing.T, ns *vnet.Namespace, group string) bool {
	t.Helper()
	var text []byte
	must(t, ns.Do(func() (err error) {
		text, err = os.ReadFile("/proc/thread-self/net/igmp")
		return err
	}))
	a := netip.MustParseAddr(group).As4()
	return strings.Contains(string(text), fmt.Sprintf("%02X%02X%02X%02X", a[3], a[2], a[1], a[0]))
}

// TestGroups: members hear what is sent to their groups, in runs too, the sender's own host does not, nor who has left or never joined.
func TestGroups(t *testing.T) {
	for _, x := range []struct{ from, to, first, second, third string }{
		{"192.0.2.1", "192.0.2.2", "239.1.2.3", "239.1.2.4", "239.1.2.5"},
		{"2001:db8::1", "2001:db8::2", "ff05::1:3", "ff02::1:4", "ff05::1:5"},
	} {
		hosts := newTwo(t)
		at := func(a string) netip.AddrPort { return netip.AddrPortFrom(netip.MustParseAddr(a), 4791) }
		from := openIn(t, hosts.a, Config{Addr: at(x.from)})
		sender, other := groupsIn(t, hosts.a, at(x.from).String()), groupsIn(t, hosts.b, at(x.to).String())
		for _, group := range []string{x.first, x.second} {
			must(t, join(hosts.a, sender, group))
			must(t, join(hosts.b, other, group))
			must(t, join(hosts.b, other, group)) // once more is no fault
		}
		b := from.Socket(0).Batch
		settle(t, from, openIn(t, hosts.b, Config{Addr: netip.AddrPortFrom(netip.MustParseAddr(x.to), 6081)}))
		letters(t, b, dest(t, at(x.third)), 1, 10)
		letters(t, b, dest(t, at(x.first)), 3, 100)
		letters(t, b, dest(t, at(x.second)), 1, 70)
		got := heard(t, other, 4)
		first, second := fmt.Sprintf("%s > %s: 100", x.from, x.first), fmt.Sprintf("%s > %s: 70", x.from, x.second)
		if slices.Sort(got); fmt.Sprint(got) != fmt.Sprint(sorted(first, first, first, second)) {
			t.Errorf("heard %s", got)
		}
		silent(t, sender)
		if x.from == "192.0.2.1" && (!memberships(t, hosts.b, x.first) || memberships(t, hosts.b, x.third)) {
			t.Error("the kernel has other groups")
		}
		other.Leave(netip.MustParseAddr(x.first))()
		if other.Leave(netip.MustParseAddr(x.first)) != nil {
			t.Error("left twice")
		}
		if x.from == "192.0.2.1" && memberships(t, hosts.b, x.first) {
			t.Error("the kernel is a member still")
		}
		letters(t, b, dest(t, at(x.first)), 1, 100)
		letters(t, b, dest(t, at(x.second)), 1, 71)
		if got := heard(t, other, 1); len(got) != 1 || !strings.HasSuffix(got[0], x.second+": 71") {
			t.Errorf("heard %v", got)
		}
		must(t, join(hosts.b, other, x.first)) // again, in the slot that is free
		letters(t, b, dest(t, at(x.first)), 1, 100)
		heard(t, other, 1)
	}
}

func sorted(s ...string) []string {
	slices.Sort(s)
	return s
}

// TestGroupsRefused: no group, the other family's, more than there is room for.
func TestGroupsRefused(t *testing.T) {
	hosts := newTwo(t)
	g := groupsIn(t, hosts.a, "192.0.2.1:4791")
	for _, wrong := range []string{"192.0.2.9", "ff05::1"} {
		if err := join(hosts.a, g, wrong); !errors.Is(err, ErrFamily) {
			t.Errorf("%s: %v", wrong, err)
		}
	}
	for i := range MaxGroups {
		must(t, join(hosts.a, g, fmt.Sprintf("239.1.3.%d", i)))
	}
	if err := join(hosts.a, g, "239.1.4.1"); !errors.Is(err, ErrTooMany) || len(g.Joined()) != MaxGroups {
		t.Errorf("one too many: %v, %d joined", err, len(g.Joined()))
	}
	g.Leave(netip.MustParseAddr("239.1.3.7"))()
	must(t, join(hosts.a, g, "::ffff:239.1.4.1"))
}

// TestGroupPackets: on the wire, packets to a group have the time to live of Soft-RoCE's, and the identifications that the ICRC needs.
func TestGroupPackets(t *testing.T) {
	hosts := newTwo(t)
	h := handle(t, hosts.a)
	link, err := h.LinkByName("eth0")
	must(t, err)
	must(t, h.LinkSetGSOMaxSegs(link, 1))
	from := openIn(t, hosts.a, Config{Addr: netip.MustParseAddrPort("192.0.2.1:4791")})
	settle(t, from, openIn(t, hosts.b, Config{Addr: netip.MustParseAddrPort("192.0.2.2:6081")}))
	tap := tapIn(t, hosts)
	dst, b := dest(t, netip.MustParseAddrPort("239.1.2.3:4791")), from.Socket(0).Batch
	for range 3 {
		queue(t, b, dst, Shape{Payload: 100}, mem.Mapped(make([]byte, 100)))
	}
	b.Flush()
	for i := range 3 {
		if id, flags := identification(t, tap); id != uint16(i) || flags != 0x4000 {
			t.Errorf("packet %d has identification %d, flags %#x", i, id, flags)
		}
	}
	if ttl, err := unix.GetsockoptInt(from.Socket(0).fd, unix.SOL_IP, unix.IP_MULTICAST_TTL); err != nil || ttl != 64 {
		t.Errorf("time to live %d, %v", ttl, err)
	}
}
