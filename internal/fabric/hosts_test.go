package fabric

import (
	"net/netip"
	"runtime"
	"testing"

	"github.com/freeflow-rdma/freeflow/internal/verbs"
	vt "github.com/freeflow-rdma/freeflow/internal/verbs/verbstest"
)

// testVNI and testNetwork are the network of the containers here.
const (
	testVNI     = 77
	testNetwork = "net"
)

// testHost is a host of its own on a loopback address, with one container and one program in it.
type testHost struct {
	*vt.NIC
	carrier *Carrier
	addr    netip.Addr
	gid     verbs.GID
	prog    *vt.Program
	cq      *vt.CQ
}

// hosts starts n hosts that know each other: host i at 127.0.77.i, its container at 10.77.0.i.
func hosts(t testing.TB, n int) []*testHost {
	t.Helper()
	var all []*testHost
	for i := range n {
		h := &testHost{carrier: New(), addr: netip.AddrFrom4([4]byte{127, 0, 77, byte(i + 1)}), gid: verbs.GIDOf(netip.AddrFrom4([4]byte{10, 77, 0, byte(i + 1)}))}
		h.NIC = vt.New(t, h.carrier)
		if err := h.carrier.Start(h.Dev, Underlay{IP: h.addr}); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if t.Failed() {
				h.show(t)
			}
			h.carrier.Stop()
		})
		c := &verbs.Container{ID: h.gid.String(), Name: h.gid.Addr().String(), Network: testNetwork, VNI: testVNI, GIDs: []verbs.GID{h.gid}}
		if err := h.Dev.AddContainer(c); err != nil {
			t.Fatal(err)
		}
		h.prog = h.ProgramIn(t, c)
		h.cq = h.prog.CQ(255)
		all = append(all, h)
	}
	runtime.GOMAXPROCS(n * runtime.GOMAXPROCS(0)) // each engine thinks it is alone
	introduce(all, 4096, true)
	return all
}

// introduce tells each host where the others are.
func introduce(all []*testHost, mtu uint32, sack bool) {
	for _, h := range all {
		table := NewTable(mtu)
		for _, o := range all {
			if o != h {
				table.Add(Network{VNI: testVNI, Name: testNetwork}, []verbs.GID{o.gid}, Peer{Addr: o.addr, SACK: sack})
			}
		}
		h.carrier.SetTable(table)
	}
}

// plainHosts starts two hosts that know each other as peers that are no routers, at 127.0.79.1 and .2, each with a container that has the
// host's address as its GID 1.
func plainHosts(t testing.TB) (hs [2]*testHost) {
	t.Helper()
	for i := range hs {
		h := &testHost{carrier: New(), addr: netip.AddrFrom4([4]byte{127, 0, 79, byte(i + 1)}), gid: verbs.GIDOf(netip.AddrFrom4([4]byte{10, 77, 0, byte(i + 1)}))}
		h.NIC = vt.New(t, h.carrier)
		if err := h.carrier.Start(h.Dev, Underlay{IP: h.addr, Plain: true}); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if t.Failed() {
				h.show(t)
			}
			h.carrier.Stop()
		})
		table := NewTable(4096)
		table.AddExternal(netip.MustParsePrefix("127.0.79.0/24"))
		h.carrier.SetTable(table)
		c := &verbs.Container{ID: h.gid.String(), Name: "c", Network: testNetwork, VNI: testVNI, GIDs: []verbs.GID{h.gid, verbs.GIDOf(h.addr)}, HostGID: 1}
		if err := h.Dev.AddContainer(c); err != nil {
			t.Fatal(err)
		}
		h.prog = h.ProgramIn(t, c)
		h.cq = h.prog.CQ(255)
		hs[i] = h
	}
	runtime.GOMAXPROCS(2 * runtime.GOMAXPROCS(0)) // each engine thinks it is alone
	return hs
}

// show logs what a host has counted.
func (h *testHost) show(t testing.TB) {
	t.Helper()
	each := func(name string, v uint64) {
		if v != 0 {
			t.Logf("%v %s %d", h.addr, name, v)
		}
	}
	h.carrier.Counters.Each(each)
	h.carrier.Host.Counters.Each(each)
	for _, p := range h.carrier.Ports() {
		p.Counters().Each(each)
	}
}
