package fabric

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/freeflow-rdma/freeflow/internal/fabric/udp"
	"github.com/freeflow-rdma/freeflow/internal/mem"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
	vt "github.com/freeflow-rdma/freeflow/internal/verbs/verbstest"
	"github.com/freeflow-rdma/freeflow/internal/wire"
)

// testGroup is the multicast group of the tests here.
var testGroup = gids("239.1.2.3")[0]

// listener is a UD queue pair with receives for a few datagrams of a number each.
type listener struct {
	t   *testing.T
	p   *vt.Program
	cq  *vt.CQ
	qp  *vt.QP
	buf vt.Buffer
	n   int // datagrams it has had
}

const (
	datagramRoom = 64 // bytes of each receive
	receives     = 8
)

// listenIn makes a queue pair in a container and a member of the groups.
func listenIn(t *testing.T, h *testHost, c *verbs.Container, groups ...verbs.GID) *listener {
	t.Helper()
	p := h.ProgramIn(t, c)
	l := &listener{t: t, p: p, cq: p.CQ(63), buf: p.Shared(datagramRoom*receives, vt.AllAccess)}
	l.qp = p.QP(verbs.TypeUD, l.cq, 31)
	l.qp.Ready(nil, nil)
	l.qp.Start(nil)
	for i := range receives {
		l.qp.Recv(vt.RR(uint64(i), l.buf.SGE(i*datagramRoom, datagramRoom)))
	}
	for _, g := range groups {
		if err := p.AttachMcast(l.qp.Handle, g, 0); err != nil {
			t.Fatal(err)
		}
	}
	return l
}

// send sends numbers to a group, by the container's address with this index.
func (l *listener) send(sgid uint8, g verbs.GID, numbers ...uint32) {
	l.t.Helper()
	_, ah, err := l.p.CreateAH(l.p.PD, verbs.AHAttr{IsGlobal: true, PortNum: 1, DGID: g, SGIDIndex: sgid})
	if err != nil {
		l.t.Fatal(err)
	}
	src := l.p.Shared(4*len(numbers), vt.AllAccess)
	for i, n := range numbers {
		binary.BigEndian.PutUint32(src.B[4*i:], n)
		w := vt.WR(1000, verbs.OpSend, src.SGE(4*i, 4))
		w.SendFlags = 0
		w.RemoteQPN, w.RemoteQKey, w.AHNum = multicastQPN, vt.QKey, ah
		l.qp.Send(w)
	}
}

// want fails unless the next datagrams have these numbers, come from this address and are for this group.
func (l *listener) want(src, g verbs.GID, numbers ...uint32) {
	l.t.Helper()
	for _, n := range numbers {
		e := l.cq.Poll()
		want(l.t, e, uint64(l.n), verbs.WCSuccess)
		b := l.buf.B[l.n*datagramRoom:]
		if from, to := verbs.GID(b[8:24]), verbs.GID(b[24:40]); from != src || to != g || e.ByteLen != 44 || binary.BigEndian.Uint32(b[40:]) != n {
			l.t.Fatalf("%d (%d bytes) from %v to %v, want %d from %v to %v", binary.BigEndian.Uint32(b[40:]), e.ByteLen, from.Addr(), to.Addr(), n, src.Addr(), g.Addr())
		}
		l.n++
	}
}

// TestMulticastInNetwork: of three members on two hosts each hears once what a fourth queue pair sends, which hears nothing, until it is
// a member too.
func TestMulticastInNetwork(t *testing.T) {
	hs := hosts(t, 2)
	sender := listenIn(t, hs[0], hs[0].prog.Cont)
	members := []*listener{listenIn(t, hs[0], hs[0].prog.Cont, testGroup), listenIn(t, hs[1], hs[1].prog.Cont, testGroup), listenIn(t, hs[1], hs[1].prog.Cont, testGroup)}
	sender.send(0, testGroup, 1, 2)
	for _, m := range members {
		m.want(hs[0].gid, testGroup, 1, 2)
	}
	if err := sender.p.AttachMcast(sender.qp.Handle, testGroup, 0); err != nil {
		t.Fatal(err)
	}
	sender.send(0, testGroup, 3)
	for _, m := range append(members, sender) {
		m.want(hs[0].gid, testGroup, 3)
	}
}

// TestMulticastToManyHosts: more than a batch has room for, and each hears once.
func TestMulticastToManyHosts(t *testing.T) {
	hs := hosts(t, 2)
	table := NewTable(4096)
	net := Network{VNI: testVNI, Name: testNetwork}
	table.Add(net, []verbs.GID{hs[1].gid}, Peer{Addr: hs[1].addr})
	for i := range 600 {
		table.Add(net, []verbs.GID{verbs.GIDOf(netip.AddrFrom4([4]byte{10, 77, 1 + byte(i>>8), byte(i)}))}, Peer{Addr: netip.AddrFrom4([4]byte{127, 0, 100 + byte(i>>8), byte(i)})})
	}
	hs[0].carrier.SetTable(table)
	sender, member := listenIn(t, hs[0], hs[0].prog.Cont), listenIn(t, hs[1], hs[1].prog.Cont, testGroup)
	sender.send(0, testGroup, 1, 2, 3)
	member.want(hs[0].gid, testGroup, 1, 2, 3)
}

// joined waits until a host is a member of these groups on the underlay, and no other.
func joined(t *testing.T, h *testHost, groups ...verbs.GID) {
	t.Helper()
	var got []netip.Addr
	for until := time.Now().Add(10 * time.Second); time.Now().Before(until); time.Sleep(time.Millisecond) {
		got = h.carrier.groups.udp.Joined()
		if len(got) == len(groups) && !slices.ContainsFunc(groups, func(g verbs.GID) bool { return !slices.Contains(got, g.Addr()) }) {
			return
		}
	}
	t.Fatalf("joined are %v, want %v", got, groups)
}

// TestMulticastOutside: what is sent from a host's own address to a group reaches members whose containers have such an address, on this
// host and on others, of whatever network, once; and nobody within the sender's network.
func TestMulticastOutside(t *testing.T) {
	hs := plainHosts(t)
	host := verbs.GIDOf(hs[0].addr)
	inner := &verbs.Container{ID: "inner", Name: "inner", Network: testNetwork, VNI: testVNI, GIDs: gids("10.77.0.9")}
	other := &verbs.Container{ID: "other", Name: "other", Network: "other", VNI: testVNI + 1, GIDs: gids("10.77.0.1", hs[0].addr.String()), HostGID: 1}
	for _, c := range []*verbs.Container{inner, other} {
		if err := hs[0].Dev.AddContainer(c); err != nil {
			t.Fatal(err)
		}
	}
	within := listenIn(t, hs[0], inner, testGroup)
	joined(t, hs[0])
	sender := listenIn(t, hs[0], hs[0].prog.Cont)
	neighbour, away := listenIn(t, hs[0], other, testGroup), listenIn(t, hs[1], hs[1].prog.Cont, testGroup)
	joined(t, hs[0], testGroup)
	joined(t, hs[1], testGroup)
	sender.send(1, testGroup, 1)
	sender.send(0, testGroup, 2)
	sender.send(1, testGroup, 3)
	neighbour.want(host, testGroup, 1, 3)
	away.want(host, testGroup, 1, 3)
	within.want(hs[0].gid, testGroup, 2)
	if err := sender.p.AttachMcast(sender.qp.Handle, testGroup, 0); err != nil {
		t.Fatal(err)
	}
	sender.send(1, testGroup, 4)
	sender.want(host, testGroup, 4)
	away.want(host, testGroup, 4)
}

// TestMulticastWithStranger: to and from a peer that speaks plain RoCEv2 by itself.
func TestMulticastWithStranger(t *testing.T) {
	h := plainHosts(t)[0]
	l := listenIn(t, h, h.prog.Cont, testGroup)
	joined(t, h, testGroup)
	at := netip.AddrPortFrom(netip.MustParseAddr("127.0.79.9"), RoCEPort)
	ears, err := udp.OpenGroups(at)
	must(t, err)
	t.Cleanup(ears.Close)
	must(t, ears.Join(testGroup.Addr()))
	mouth, err := udp.Open(udp.Config{Addr: at, CPUs: []int{-1}})
	must(t, err)
	t.Cleanup(mouth.Close)

	l.send(1, testGroup, 77)
	l.want(verbs.GIDOf(h.addr), testGroup, 77) // it is a member itself
	a := hear(t, ears)
	p := packet{src: verbs.GIDOf(h.addr), dst: testGroup, rest: a.Bytes}
	end := len(a.Bytes) - wire.ICRCSize
	var x wire.Header
	payload, err := wire.Parse(a.Bytes[:end], &x)
	if err != nil || a.Src.Addr() != h.addr || !intact(&p, a.Src.Port(), a.Bytes[:end]) || p.id != 0 {
		t.Fatalf("% x from %v: %v, identification %d", a.Bytes, a.Src, err, p.id)
	}
	if x.Opcode != wire.OpUDSendOnly || x.DestQP != multicastQPN || x.SrcQP != uint32(l.qp.QPN) || x.QKey != vt.QKey || len(payload) != 4 {
		t.Errorf("%+v, %d bytes", x, len(payload))
	}

	f := forged{outer: at.Addr(), h: x, payload: []byte{0, 0, 0, 78}}
	b := f.plainFrom(RoCEPort, testGroup.Addr()).Bytes
	dest, err := udp.NewDest(netip.AddrPortFrom(testGroup.Addr(), RoCEPort))
	must(t, err)
	batch := mouth.Socket(0).Batch
	_, err = batch.Queue(dest, udp.Shape{Payload: len(b)}, []mem.Span{mem.Mapped(b)})
	must(t, err)
	batch.Flush()
	l.want(verbs.GIDOf(at.Addr()), testGroup, 78)
	if n := h.carrier.GroupCounters().ReceivedPackets.Load(); n < 1 {
		t.Errorf("%d packets are counted", n)
	}
}

// hear waits for a packet to a group.
func hear(t *testing.T, g *udp.Groups) (a udp.Arrival) {
	t.Helper()
	for until := time.Now().Add(10 * time.Second); time.Now().Before(until); time.Sleep(time.Millisecond) {
		g.Poll()
		if _, ok := g.Next(&a); ok {
			return a
		}
	}
	t.Fatal("nothing was heard")
	return a
}

// TestForgedMulticast: what comes to a group on the underlay and is not to be believed is counted.
func TestForgedMulticast(t *testing.T) {
	q := newQP1Inlet(t)
	for _, x := range []struct {
		what, counter string
		forge         func(f *forged)
	}{
		{"right", "", func(*forged) {}},
		{"a stranger's", "drop_unknown_host", func(f *forged) { f.outer = netip.MustParseAddr("127.0.80.1") }},
		{"a router's", "drop_unknown_host", func(f *forged) { f.outer = q.host }},
		{"this host's own", "drop_unknown_host", func(f *forged) { f.outer = q.c.underlay }},
		{"to a queue pair", "drop_unknown_qp", func(f *forged) { f.h.DestQP = 17 }},
		{"to QP 1", "drop_unknown_qp", func(f *forged) { f.h.DestQP = wire.QP1 }},
		{"changed", "drop_icrc", func(f *forged) { f.broken = true }},
	} {
		f := forged{outer: netip.MustParseAddr("127.0.79.2"), payload: []byte{1, 2, 3, 4}}
		f.h = wire.Header{Opcode: wire.OpUDSendOnly, PKey: 0xffff, DestQP: multicastQPN, QKey: vt.QKey, SrcQP: 5}
		x.forge(&f)
		before := counts(&q.c.Counters)
		q.flow.qp = nil
		q.takePlain(nil, f.plain(testGroup.Addr()), testGroup.Addr())
		for name, v := range counts(&q.c.Counters) {
			if moved := v - before[name]; moved != 0 && name != x.counter && name != "received_plain" || moved != 1 && name == x.counter {
				t.Errorf("%s: %s counts %d more", x.what, name, moved)
			}
		}
	}
	if len(q.got) != 0 {
		t.Error("taken for management datagrams")
	}
}

// TestGroupsFollowMembers: a host joins when its first member comes and leaves when the last has gone, however it goes; other families' groups
// never; and one that found no room when there is some.
func TestGroupsFollowMembers(t *testing.T) {
	h := plainHosts(t)[0]
	v6 := gids("ff05::1:3")[0]
	first, second := listenIn(t, h, h.prog.Cont, testGroup, v6), listenIn(t, h, h.prog.Cont, testGroup)
	joined(t, h, testGroup)
	for range 100 {
		must(t, first.p.DetachMcast(first.qp.Handle, testGroup, 0))
		must(t, first.p.AttachMcast(first.qp.Handle, testGroup, 0))
	}
	must(t, second.p.DetachMcast(second.qp.Handle, testGroup, 0))
	joined(t, h, testGroup)
	first.p.Close()
	joined(t, h)
	if n := len(h.Dev.HostMembers(testGroup)); n != 0 {
		t.Errorf("%d members are left", n)
	}
	var all []verbs.GID
	for i := range udp.MaxGroups + 1 {
		g := verbs.GIDOf(netip.AddrFrom4([4]byte{239, 1, 3, byte(i)}))
		must(t, second.p.AttachMcast(second.qp.Handle, g, 0))
		all = append(all, g)
	}
	for until := time.Now().Add(10 * time.Second); h.carrier.Counters.GroupsRefused.Load() == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(until) {
			t.Fatal("no group is refused")
		}
	}
	got := h.carrier.groups.udp.Joined()
	leave := verbs.GIDOf(got[0])
	must(t, second.p.DetachMcast(second.qp.Handle, leave, 0))
	joined(t, h, slices.DeleteFunc(all, func(g verbs.GID) bool { return g == leave })...)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
