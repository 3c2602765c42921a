package fabric

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/gopacket/gopacket/pcapgo"

	"github.com/freeflow-rdma/freeflow/internal/fabric/udp"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
	"github.com/freeflow-rdma/freeflow/internal/wire"
)

// frames gives the IPv4 packets of a capture between two kernels, in package wire's testdata.
func frames(t *testing.T, name string) (all [][]byte) {
	t.Helper()
	f, err := os.Open(filepath.Join("..", "wire", "testdata", "captures", name+".pcap"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := pcapgo.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	for {
		b, _, err := r.ReadPacketData()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b[14:])
	}
}

// stranger receives what a host sends to an address and port.
func stranger(t *testing.T, at netip.AddrPort) (receive func() []byte) {
	t.Helper()
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return func() []byte {
		t.Helper()
		b := make([]byte, 65536)
		if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		n, err := conn.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		return b[:n]
	}
}

// sameAsKernels compares a packet with that of a kernel for the same management datagram: all but addresses, identification, source
// port, sums and the PSN.
func sameAsKernels(t *testing.T, got, kernels []byte) {
	t.Helper()
	mask := func(b []byte) []byte {
		b = bytes.Clone(b)
		ip, rest, err := wire.ParseIPv4(b)
		if err != nil {
			t.Fatal(err)
		}
		clear(ip[4:6])   // identification
		clear(ip[10:20]) // sum, addresses
		clear(rest[0:2]) // source port
		clear(rest[6:8]) // sum
		bth := rest[wire.UDPSize:]
		clear(bth[9:12])        // PSN
		clear(bth[len(bth)-4:]) // ICRC
		return b
	}
	if a, b := mask(got), mask(kernels); !bytes.Equal(a, b) {
		t.Errorf("ours\n% x\nLinux's\n% x", a, b)
	}
}

// TestMADPackets: the packets are those that Linux sends for the same management datagrams, alone and within Geneve.
func TestMADPackets(t *testing.T) {
	const network = 0x123456
	h := plainHosts(t)[0]
	cont := &verbs.Container{ID: "c2", Name: "c2", Network: "other", VNI: network, GIDs: gids("10.77.0.1", h.addr.String()), HostGID: 1}
	foreign, router := netip.MustParseAddr("127.0.79.50"), netip.MustParseAddr("127.0.79.51")
	table := NewTable(4096)
	table.AddExternal(netip.PrefixFrom(foreign, 32))
	table.Add(Network{VNI: network, Name: "other"}, gids("10.77.0.2"), Peer{Addr: router})
	h.carrier.SetTable(table)
	plain, geneve := stranger(t, netip.AddrPortFrom(foreign, RoCEPort)), stranger(t, netip.AddrPortFrom(router, GenevePort))
	for i, kernels := range frames(t, "cm_udaddy_sidr")[:2] {
		bth := kernels[wire.IPv4Size+wire.UDPSize:]
		mad := bth[20 : 20+wire.MADSize]

		h.carrier.SendMAD(cont, 1, verbs.GIDOf(foreign), 0, mad)
		got := plain()
		var m madeUp // as the kernel writes them, which package udp's tests check
		ip, u := m.put(verbs.GIDOf(h.addr), verbs.GIDOf(foreign), RoCEPort, len(got))
		if end := len(got) - wire.ICRCSize; wire.ICRC(ip, u, got[:end]) != wire.GetICRC(got[end:]) {
			t.Errorf("%d: wrong ICRC, alone", i)
		}
		sameAsKernels(t, bytes.Join([][]byte{ip, u, got}, nil), kernels)

		h.carrier.SendMAD(cont, 0, gids("10.77.0.2")[0], 0, mad)
		g, inner, err := wire.ParseGeneve(geneve())
		if err != nil || g.VNI() != network || g.Protocol() != wire.EtherTypeIPv4 {
			t.Fatalf("%d: %v, %x", i, err, g)
		}
		checkICRC(t, inner, "within Geneve")
		sameAsKernels(t, inner, kernels)
	}
}

// TestMADSequence: each packet has the next PSN, whichever way it goes.
func TestMADSequence(t *testing.T) {
	h := plainHosts(t)[0]
	foreign := netip.MustParseAddr("127.0.79.50")
	receive := stranger(t, netip.AddrPortFrom(foreign, RoCEPort))
	h.carrier.qp1.psn = wire.PSNMask - 1
	for _, psn := range []wire.PSN{wire.PSNMask - 1, wire.PSNMask, 0} {
		h.carrier.SendMAD(h.prog.Cont, 1, verbs.GIDOf(foreign), 0, mad(1))
		b := receive()
		var x wire.Header
		if _, err := wire.Parse(b[:len(b)-wire.ICRCSize], &x); err != nil || x.PSN != psn {
			t.Errorf("PSN %d, want %d (%v)", x.PSN, psn, err)
		}
	}
}

// qp1Inlet is a host's way in without a socket: it takes packets from nobody.
type qp1Inlet struct {
	inlet
	here, away *verbs.Container
	host       netip.Addr // the other one
	got        []MAD
}

func newQP1Inlet(t testing.TB) *qp1Inlet {
	h := plainHosts(t)[0]
	q := &qp1Inlet{here: h.prog.Cont, host: netip.MustParseAddr("127.0.77.50"), away: &verbs.Container{GIDs: gids("10.77.0.50")}}
	c := New()
	c.SetDevice(h.Dev)
	c.underlay = h.addr
	c.SetMADHandler(func(m *MAD) { q.got = append(q.got, *m) })
	table := NewTable(4096)
	table.AddExternal(netip.MustParsePrefix("127.0.79.0/24"))
	table.Add(Network{VNI: testVNI, Name: testNetwork}, q.away.GIDs, Peer{Addr: q.host})
	table.Add(Network{VNI: testVNI, Name: testNetwork}, gids("10.77.0.51"), Peer{Addr: netip.MustParseAddr("127.0.77.51")})
	q.inlet = inlet{c: c, dev: h.Dev, table: table, lane: &lane{c: c}}
	return q
}

// forged is a packet to QP 1 as somebody may send it.
type forged struct {
	outer    netip.Addr
	src, dst verbs.GID
	vni      uint32
	tos      uint8
	h        wire.Header
	payload  []byte
	broken   bool // on the way
}

// good is a packet that there is nothing wrong with.
func (q *qp1Inlet) good() forged {
	return forged{outer: q.host, src: q.away.GIDs[0], dst: q.here.GIDs[0], vni: testVNI, h: madHeader(5), payload: mad(5)}
}

// transport is BTH to ICRC.
func (f *forged) transport(ip, u []byte) []byte {
	f.h.Pad = wire.PadFor(len(f.payload))
	b := make([]byte, f.h.Size())
	f.h.Put(b)
	b = append(append(b, f.payload...), make([]byte, f.h.Pad)...)
	sum := wire.ICRC(ip, u, b)
	if f.broken {
		sum ^= 1 << 20
	}
	b = append(b, 0, 0, 0, 0)
	wire.PutICRC(b[len(b)-wire.ICRCSize:], sum)
	return b
}

func (f *forged) size() int {
	return f.h.Size() + len(f.payload) + int(wire.PadFor(len(f.payload))) + wire.ICRCSize
}

// tunnel is the packet from a router.
func (f *forged) tunnel() *udp.Arrival {
	ip := make([]byte, wire.IPv4Size)
	putIP(ip, &f.src, &f.dst, &verbs.AHAttr{TrafficClass: f.tos}, wire.UDPSize+f.size())
	u := make([]byte, wire.UDPSize)
	wire.UDP(u).Put(50000, RoCEPort, uint16(wire.UDPSize+f.size()))
	g := make([]byte, wire.GeneveSize)
	wire.Geneve(g).Put(f.vni, wire.EtherTypeIPv4)
	return &udp.Arrival{Src: netip.AddrPortFrom(f.outer, 6081), Bytes: bytes.Join([][]byte{g, ip, u, f.transport(ip, u)}, nil)}
}

// plain is the packet from a peer that is no router, at the outer address.
func (f *forged) plain(to netip.Addr) *udp.Arrival { return f.plainFrom(50000, to) }

func (f *forged) plainFrom(port uint16, to netip.Addr) *udp.Arrival {
	var m madeUp
	ip, u := m.put(verbs.GIDOf(f.outer), verbs.GIDOf(to), port, f.size())
	return &udp.Arrival{Src: netip.AddrPortFrom(f.outer, port), Bytes: f.transport(ip, u), TOS: f.tos}
}

// TestForgedMADs: what is not to be believed is counted under its reason, and nobody hears of it.
func TestForgedMADs(t *testing.T) {
	q := newQP1Inlet(t)
	foreign := netip.MustParseAddr("127.0.79.2")
	for _, x := range []struct {
		what, counter string // with no counter it comes through
		plain         bool
		forge         func(f *forged)
	}{
		{"right", "", false, func(*forged) {}},
		{"limited member", "", false, func(f *forged) { f.h.PKey = 0x7fff }},
		{"no host's", "drop_unknown_host", false, func(f *forged) { f.outer = netip.MustParseAddr("127.0.77.99") }},
		{"of no network", "drop_unknown_vni", false, func(f *forged) { f.vni++ }},
		{"from no container", "drop_forged", false, func(f *forged) { f.src = gids("10.77.0.99")[0] }},
		{"from another host's container", "drop_forged", false, func(f *forged) { f.src = gids("10.77.0.51")[0] }},
		{"to no container", "drop_wrong_address", false, func(f *forged) { f.dst = gids("10.77.0.99")[0] }},
		{"to the host's address", "drop_wrong_address", false, func(f *forged) { f.dst = q.here.GIDs[1] }},
		{"to a group", "drop_wrong_address", false, func(f *forged) { f.dst = gids("239.1.2.3")[0] }},
		{"changed", "drop_icrc", false, func(f *forged) { f.broken = true }},
		{"QKey", "drop_mad", false, func(f *forged) { f.h.QKey++ }},
		{"from another queue pair", "drop_mad", false, func(f *forged) { f.h.SrcQP = 2 }},
		{"partition", "drop_mad", false, func(f *forged) { f.h.PKey = 0x8001 }},
		{"immediate", "drop_mad", false, func(f *forged) { f.h.Opcode = wire.OpUDSendOnlyImm }},
		{"not a datagram", "drop_mad", false, func(f *forged) { f.h.Opcode = wire.OpRCSendOnly }},
		{"congestion notification", "drop_mad", false, func(f *forged) { f.h.Opcode, f.payload = wire.OpCNP, nil }},
		{"short", "drop_mad", false, func(f *forged) { f.payload = f.payload[:252] }},
		{"padded", "drop_mad", false, func(f *forged) { f.payload = f.payload[:255] }},
		{"long", "drop_mad", false, func(f *forged) { f.payload = append(f.payload, 0, 0, 0, 0) }},
		{"empty", "drop_mad", false, func(f *forged) { f.payload = nil }},
		{"version", "drop_mad", false, func(f *forged) { f.payload[0] = 2 }},
		{"right", "", true, func(*forged) {}},
		{"a stranger's", "drop_unknown_host", true, func(f *forged) { f.outer = netip.MustParseAddr("127.0.80.1") }},
		{"a router's", "drop_unknown_host", true, func(f *forged) { f.outer = q.host }},
		{"changed", "drop_icrc", true, func(f *forged) { f.broken = true }},
		{"QKey", "drop_mad", true, func(f *forged) { f.h.QKey = 0 }},
	} {
		f := q.good()
		if f.tos = 0x20; x.plain {
			f.outer = foreign
		}
		x.forge(&f)
		before := counts(&q.c.Counters)
		q.got, q.flow.qp = nil, nil
		if x.plain {
			q.takePlain(nil, f.plain(q.c.underlay), q.c.underlay)
		} else {
			q.takeTunnel(nil, f.tunnel())
		}
		after := counts(&q.c.Counters)
		if x.counter != "" {
			if len(q.got) != 0 || after[x.counter] != before[x.counter]+1 {
				t.Errorf("%s (plain: %v): %d came through, %s is %d", x.what, x.plain, len(q.got), x.counter, after[x.counter])
			}
			continue
		}
		if len(q.got) != 1 {
			t.Errorf("%s (plain: %v): did not come through: %v", x.what, x.plain, after)
			continue
		}
		want := MAD{Container: q.here, Src: f.src, Dst: f.dst, TClass: 0x20}
		if x.plain {
			want.Container, want.Src, want.Dst = nil, verbs.GIDOf(foreign), verbs.GIDOf(q.c.underlay)
		}
		if m := q.got[0]; m.Container != want.Container || m.Src != want.Src || m.Dst != want.Dst || m.TClass != want.TClass || !bytes.Equal(m.Bytes, f.payload) {
			t.Errorf("%s (plain: %v): %+v", x.what, x.plain, m)
		}
	}
}

func counts(c *Counters) map[string]uint64 {
	m := map[string]uint64{}
	c.Each(func(name string, v uint64) { m[name] = v })
	return m
}

// FuzzQP1: whatever comes to QP 1, with all sums right or not, what is handed over is 256 bytes from where it says, to a container here.
func FuzzQP1(f *testing.F) {
	q := newQP1Inlet(f)
	for _, plain := range []bool{false, true} {
		x := q.good()
		if plain {
			x.outer = netip.MustParseAddr("127.0.79.2")
			f.Add(x.plain(q.c.underlay).Bytes, plain, true)
		} else {
			f.Add(x.tunnel().Bytes, plain, true)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte, plain, mend bool) {
		b = bytes.Clone(b)
		q.got, q.flow.qp = nil, nil
		if plain {
			if from := netip.MustParseAddr("127.0.79.2"); mend && len(b) >= wire.BTHSize+wire.ICRCSize {
				var m madeUp
				end := len(b) - wire.ICRCSize
				ip, u := m.put(verbs.GIDOf(from), verbs.GIDOf(q.c.underlay), 50000, len(b))
				wire.PutICRC(b[end:], wire.ICRC(ip, u, b[:end]))
			}
			q.takePlain(nil, &udp.Arrival{Src: netip.MustParseAddrPort("127.0.79.2:50000"), Bytes: b}, q.c.underlay)
		} else {
			var p packet
			if g, inner, err := wire.ParseGeneve(b); mend && err == nil && p.parse(g.Protocol(), inner) {
				end := len(p.rest) - wire.ICRCSize
				wire.PutICRC(p.rest[end:], wire.ICRC(p.ip, p.udp, p.rest[:end]))
			}
			q.takeTunnel(nil, &udp.Arrival{Src: netip.AddrPortFrom(q.host, 6081), Bytes: b})
		}
		q.n = 0
		for _, m := range q.got {
			ok := m.Container == q.here && q.here.HasGID(m.Dst) && m.Src == q.away.GIDs[0] && !plain
			ok = ok || plain && m.Container == nil && m.Dst == verbs.GIDOf(q.c.underlay) && m.Src == gids("127.0.79.2")[0]
			if !ok || len(m.Bytes) != wire.MADSize || m.Bytes[0] != 1 {
				t.Errorf("%+v", m)
			}
		}
	})
}
