package pcap

import (
	"bytes"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/gopacket/gopacket/pcapgo"

	"github.com/freeflow-rdma/freeflow/internal/mem"
	"github.com/freeflow-rdma/freeflow/internal/wire"
)

var (
	a4, b4 = netip.MustParseAddr("10.77.0.1"), netip.MustParseAddr("10.77.0.2")
	a6, b6 = netip.MustParseAddr("fe80::ff:aff:fe4d:1"), netip.MustParseAddr("fe80::ff:aff:fe4d:2")
)

// record runs f with a tap that is on, and returns the frames.
func record(t testing.TB, filter Filter, f func(*Tap)) [][]byte {
	t.Helper()
	var tap Tap
	r := newRing(filter, 512)
	tap.ring.Store(r)
	f(&tap)
	if r.dropped.Load() > 0 {
		t.Fatal("more frames than the test has room for")
	}
	var frames [][]byte
	for s := r.next(); s != nil; s = r.next() {
		frames = append(frames, bytes.Clone(s.frame[:s.n]))
		r.done(s)
	}
	tap.stop(r, uint64(len(frames)))
	return frames
}

// packet is a frame taken apart.
type packet struct {
	ip, udp  []byte
	src, dst netip.Addr
	bth      []byte // up to the ICRC
	icrc     uint32
	h        wire.Header
	payload  []byte
}

// parse takes a frame apart with package wire, which is strict.
func parse(t testing.TB, frame []byte) (p packet) {
	t.Helper()
	b := frame[etherSize:]
	var ok bool
	if p.src, p.dst, ok = addresses(b); !ok {
		t.Fatalf("no IP in % x", frame)
	}
	var rest []byte
	var err error
	if p.src.Is4() {
		p.ip, rest, err = wire.ParseIPv4(b)
	} else {
		p.ip, rest, err = wire.ParseIPv6(b)
	}
	if err != nil {
		t.Fatal(err)
	}
	if len(p.ip)+len(rest) != len(b) {
		t.Fatalf("the frame is longer than its packet")
	}
	if p.udp, rest, err = wire.ParseUDP(rest); err != nil {
		t.Fatal(err)
	}
	end := len(rest) - wire.ICRCSize
	p.bth, p.icrc = rest[:end], wire.GetICRC(rest[end:])
	if p.payload, err = wire.Parse(p.bth, &p.h); err != nil {
		t.Fatal(err)
	}
	return p
}

// captured is what a real NIC pair sent: a capture of Linux' Soft-RoCE.
func captured(t testing.TB, name string) []packet {
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
	var all []packet
	for {
		frame, _, err := r.ReadPacketData()
		if err != nil {
			return all
		}
		all = append(all, parse(t, frame))
	}
}

// pieces cuts b into spans of n bytes.
func pieces(b []byte, n int) (out []mem.Span) {
	for len(b) > n {
		out = append(out, mem.Mapped(b[:n]))
		b = b[n:]
	}
	return append(out, mem.Mapped(b))
}
