package relay

import (
	"bytes"
	"encoding/binary"
	"math"
	"net/netip"
	"slices"
	"testing"

	"github.com/freeflow-rdma/freeflow/internal/wire"
)

var a4, b4 = netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")

// udpFrame is number n of a sequence: Ethernet, IPv4, UDP with a checksum or none, a payload that begins with n.
func udpFrame(n uint32, sum bool) []byte {
	const size = 64
	f := make([]byte, etherSize+wire.IPv4Size+wire.UDPSize+size)
	binary.BigEndian.PutUint16(f[12:], typeIPv4)
	wire.IPv4(f[etherSize:]).Put(&wire.IPv4Fields{TTL: 64, Protocol: protoUDP, Length: uint16(len(f) - etherSize), Src: a4, Dst: b4})
	udp := wire.UDP(f[etherSize+wire.IPv4Size:])
	udp.Put(4000, 4791, wire.UDPSize+size)
	payload := f[len(f)-size:]
	binary.BigEndian.PutUint32(payload, n)
	if sum {
		udp[:wire.UDPSize].SetChecksum(a4, b4, payload)
	}
	return f
}

const many = 100_000

// through sends a long sequence through a mangler, and returns what comes out.
func through(c Config) (*mangler, [][]byte) {
	m := newMangler(c, 0)
	var out [][]byte
	emit := func(f []byte) { out = append(out, slices.Clone(f)) }
	for n := range uint32(many) {
		m.pass(udpFrame(n, n%2 == 0), emit)
	}
	m.flush(emit)
	return m, out
}

func number(f []byte) uint32 {
	return binary.BigEndian.Uint32(f[etherSize+wire.IPv4Size+wire.UDPSize:])
}

func near(got uint64, rate float64) bool {
	return math.Abs(float64(got)-rate*many) < 6*math.Sqrt(rate*many) // six standard deviations
}

func TestAPerfectWire(t *testing.T) {
	m, out := through(Config{Seed: 1})
	for n, f := range out {
		if !bytes.Equal(f, udpFrame(uint32(n), n%2 == 0)) {
			t.Fatalf("frame %d was changed", n)
		}
	}
	if (m.Counts != Counts{Passed: many}) || len(out) != many {
		t.Errorf("%+v, %d frames", m.Counts, len(out))
	}
}

func TestRates(t *testing.T) {
	c := Config{Loss: 0.01, Reorder: 0.02, Duplicate: 0.03, Seed: 2}
	m, out := through(c)
	if !near(m.Lost, 0.01) || !near(m.Reordered, 0.02) || !near(m.Duplicated, 0.03) || m.Corrupted != 0 {
		t.Errorf("%+v", m.Counts)
	}
	if want := many - m.Lost + m.Duplicated; m.Passed != want || uint64(len(out)) != want {
		t.Errorf("%d frames, %d passed, want %d", len(out), m.Passed, want)
	}
	seen, late := map[uint32]int{}, uint64(0)
	highest := uint32(0)
	for _, f := range out {
		n := number(f)
		seen[n]++
		if n < highest {
			late++
			if highest-n > 4*farthest { // some of those between were lost or late themselves
				t.Fatalf("frame %d after frame %d", n, highest)
			}
		}
		highest = max(highest, n)
	}
	if uint64(len(seen)) != many-m.Lost {
		t.Errorf("%d of the frames came", len(seen))
	}
	if late < m.Reordered*9/10 {
		t.Errorf("%d frames came late, %d were held back", late, m.Reordered)
	}
}

func TestTheSameEachTime(t *testing.T) {
	c := Config{Loss: 0.1, Reorder: 0.1, Duplicate: 0.1, Corrupt: 0.1, Seed: 3}
	_, first := through(c)
	_, second := through(c)
	c.Seed = 4
	_, other := through(c)
	if !slices.EqualFunc(first, second, bytes.Equal) {
		t.Error("two runs with one seed differ")
	}
	if slices.EqualFunc(first, other, bytes.Equal) {
		t.Error("another seed changes nothing")
	}
}

// TestCorruptionIsNotSeenByUDP: the bits that differ are a few of the payload's, and the checksum agrees.
func TestCorruptionIsNotSeenByUDP(t *testing.T) {
	m, out := through(Config{Corrupt: 0.05, Seed: 5})
	if !near(m.Corrupted, 0.05) {
		t.Errorf("%+v", m.Counts)
	}
	changed := uint64(0)
	for n, f := range out {
		sent := udpFrame(uint32(n), n%2 == 0)
		if bytes.Equal(f, sent) {
			continue
		}
		changed++
		d, ok := datagramIn(f)
		if !ok {
			t.Fatalf("frame %d is no datagram any more", n)
		}
		if sum := d.udp.Checksum(); n%2 == 1 && sum != 0 || n%2 == 0 && !d.udp.Valid(a4, b4, d.payload) {
			t.Fatalf("frame %d: checksum %#x", n, sum)
		}
		headers := etherSize + wire.IPv4Size + 6 // to the checksum
		if !bytes.Equal(f[:headers], sent[:headers]) {
			t.Fatalf("frame %d: the headers were changed", n)
		}
	}
	if changed < m.Corrupted*9/10 || changed > m.Corrupted {
		t.Errorf("%d frames changed, %d corrupted", changed, m.Corrupted)
	}
}

func TestWhatAlwaysPasses(t *testing.T) {
	arp := make([]byte, 60)
	binary.BigEndian.PutUint16(arp[12:], 0x0806)
	discovery := make([]byte, 86)
	binary.BigEndian.PutUint16(discovery[12:], typeIPv6)
	discovery[etherSize+6] = protoICMP
	for _, c := range []struct {
		what  string
		frame []byte
		only  func([]byte) bool
	}{
		{"ARP", arp, nil},
		{"neighbour discovery", discovery, nil},
		{"nothing", nil, nil},
		{"a short frame", arp[:14], nil},
		{"another port", udpFrame(1, true), UDP(6081)},
	} {
		passed := 0
		newMangler(Config{Loss: 1, Only: c.only}, 0).pass(c.frame, func([]byte) { passed++ })
		if passed != 1 {
			t.Errorf("%s was lost", c.what)
		}
	}
	newMangler(Config{Loss: 1, Only: UDP(6081, 4791)}, 0).pass(udpFrame(1, true), func([]byte) { t.Error("RoCE passed") })
}

func FuzzPass(f *testing.F) {
	f.Add(udpFrame(1, true))
	f.Add(udpFrame(1, false)[:40])
	f.Fuzz(func(_ *testing.T, frame []byte) {
		m := newMangler(Config{Reorder: 0.5, Duplicate: 0.5, Corrupt: 1, Only: UDP(4791)}, 0)
		m.pass(frame, func([]byte) {})
		m.Only = nil
		m.pass(frame, func([]byte) {})
		m.flush(func([]byte) {})
	})
}
