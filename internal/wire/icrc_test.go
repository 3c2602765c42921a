package wire_test

import (
	"bytes"
	"hash/crc32"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/freeflow-rdma/freeflow/internal/wire"
)

// ipv4Packet returns the headers and, from the BTH on, all of a packet with n bytes of payload.
func ipv4Packet(n int) (ip wire.IPv4, udp wire.UDP, bth []byte) {
	h := wire.Header{Opcode: wire.OpRCSendOnly, PKey: 0xffff, DestQP: 17, PSN: 100, Pad: wire.PadFor(n)}
	bth = make([]byte, h.Size()+n+int(h.Pad))
	h.Put(bth)
	for i := range n {
		bth[wire.BTHSize+i] = byte(i * 7)
	}
	rest := len(bth) + wire.ICRCSize
	ip, udp = make(wire.IPv4, wire.IPv4Size), make(wire.UDP, wire.UDPSize)
	ip.Put(&wire.IPv4Fields{TTL: 64, Protocol: wire.ProtocolUDP, ID: 7, Length: uint16(28 + rest),
		Src: netip.MustParseAddr("10.77.0.1"), Dst: netip.MustParseAddr("10.77.0.2")})
	udp.Put(50000, wire.PortRoCE, uint16(8+rest))
	return ip, udp, bth
}

// slowICRC is A17.3.3 word for word: a copy, masked, and one CRC over all of it.
func slowICRC(ip, udp, rest []byte) uint32 {
	ip, udp, rest = bytes.Clone(ip), bytes.Clone(udp), bytes.Clone(rest)
	if ip[0]>>4 == 6 {
		ip[0] |= 0x0f                                       // traffic class, upper half
		ip[1], ip[2], ip[3], ip[7] = 0xff, 0xff, 0xff, 0xff // and lower, flow label, hop limit
	} else {
		ip[1], ip[8], ip[10], ip[11] = 0xff, 0xff, 0xff, 0xff // TOS, TTL, checksum
	}
	udp[6], udp[7] = 0xff, 0xff // checksum
	rest[4] = 0xff              // FECN, BECN, reserved
	all := bytes.Repeat([]byte{0xff}, 8)
	return crc32.ChecksumIEEE(append(append(append(all, ip...), udp...), rest...))
}

// TestICRCPieces cuts packets of all short lengths wherever one can: the sum is that of the whole.
func TestICRCPieces(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for n := range 300 {
		ip, udp, bth := ipv4Packet(n)
		six := ipv6Header(uint16(8 + len(bth) + 4))
		for _, ip := range [][]byte{ip, six} {
			want := slowICRC(ip, udp, bth)
			if got := wire.ICRC(ip, udp, bth); got != want {
				t.Fatalf("payload of %d bytes, IP of %d: %#x, want %#x", n, len(ip), got, want)
			}
			at := wire.BTHSize + rnd.IntN(n+1)
			to := at + rnd.IntN(len(bth)-at+1)
			c := wire.Begin(ip, udp, bth[:at])
			c.Update(bth[at:to])
			c.Update(bth[to:])
			if c.Sum() != want {
				t.Fatalf("payload of %d bytes, cut at %d and %d: %#x, want %#x", n, at, to, c.Sum(), want)
			}
		}
	}
}

// TestICRCInvariant changes each bit of a packet: the sum changes exactly if the bit is not one that a switch may change.
func TestICRCInvariant(t *testing.T) {
	ip, udp, bth := ipv4Packet(5)
	six := ipv6Header(40)
	four := []int{1, 8, 10, 11} // bytes of the IP header that may change
	for _, c := range []struct {
		ip   []byte
		free func(byte, bit int) bool
	}{
		{ip, func(at, _ int) bool { return at == four[0] || at == four[1] || at == four[2] || at == four[3] }},
		{six, func(at, bit int) bool { return at == 0 && bit < 4 || at >= 1 && at <= 3 || at == 7 }},
	} {
		all := append(append(bytes.Clone(c.ip), udp...), bth...)
		n := len(c.ip)
		want := wire.ICRC(all[:n], all[n:n+8], all[n+8:])
		for i := range 8 * len(all) {
			at, bit := i/8, i%8
			if at == 0 && bit >= 4 {
				continue // the version: another kind of packet
			}
			all[at] ^= 1 << bit
			free := at < n && c.free(at, bit) || at == n+6 || at == n+7 || at == n+8+4
			if same := wire.ICRC(all[:n], all[n:n+8], all[n+8:]) == want; same != free {
				t.Errorf("IP of %d bytes: byte %d bit %d: sum same %v", n, at, bit, same)
			}
			all[at] ^= 1 << bit
		}
	}
}

// TestBeginHostile gives Begin headers of wrong sizes: the sum is nobody's, but nothing is read or written beyond.
func TestBeginHostile(t *testing.T) {
	for n := range 60 {
		for _, first := range []byte{0x45, 0x60, 0x4f, 0xff} {
			b := bytes.Repeat([]byte{first}, n)
			wire.ICRC(b, b, b)
		}
	}
}

// TestFindID finds every identification there is, and in a packet of a wrong bit none below 128.
func TestFindID(t *testing.T) {
	for _, n := range []int{0, 1, 64, 4096} {
		ip, udp, bth := ipv4Packet(n)
		ip.SetLength(uint16(ip.Length()), 0)
		zero := wire.ICRC(ip, udp, bth)
		for id := 0; id <= 0xffff; id += 1 + n/8 {
			ip.SetLength(uint16(ip.Length()), uint16(id))
			got, ok := wire.FindID(zero, wire.ICRC(ip, udp, bth), len(bth))
			if !ok || int(got) != id {
				t.Fatalf("payload of %d bytes: found %#x, %v; want %#x", n, got, ok, id)
			}
		}
		small := 0
		for i := range 8 * len(bth) {
			if i/8 == 4 {
				continue // not covered
			}
			bth[i/8] ^= 1 << (i % 8)
			if id, ok := wire.FindID(wire.ICRC(ip, udp, bth), zero, len(bth)); ok && id < 128 {
				small++
			}
			bth[i/8] ^= 1 << (i % 8)
		}
		if small != 0 {
			t.Errorf("payload of %d bytes: %d wrong bits taken for a small identification", n, small)
		}
	}
}

// TestFindIDWeakness measures what the doc comment says: of random sums, one in 2^16 has some identification.
func TestFindIDWeakness(t *testing.T) {
	rnd, found := rand.New(rand.NewPCG(3, 4)), 0
	for range 1 << 20 { // 16 are expected
		if _, ok := wire.FindID(rnd.Uint32(), rnd.Uint32(), 1040); ok {
			found++
		}
	}
	if found < 2 || found > 50 {
		t.Errorf("%d of 2^20 random sums have an identification; 16 are expected", found)
	}
	if _, ok := wire.FindID(1, 2, -1); ok {
		t.Error("a packet of less than nothing")
	}
	if _, ok := wire.FindID(1, 2, 1<<20); ok {
		t.Error("a packet of a megabyte")
	}
}

// TestAllocations holds the hot path to none at all.
func TestAllocations(t *testing.T) {
	ip, udp, bth := ipv4Packet(1000)
	var h wire.Header
	got := testing.AllocsPerRun(100, func() {
		if _, err := wire.Parse(bth, &h); err != nil {
			t.Fatal(err)
		}
		h.Put(bth)
		c := wire.Begin(ip, udp, bth[:12])
		c.Update(bth[12:])
		wire.FindID(c.Sum(), 3, len(bth))
		udp.SetChecksum(ip.Src(), ip.Dst(), bth)
		if _, _, err := wire.ParseIPv4(ip); err == nil {
			t.Fatal("a header alone is too short for its length")
		}
	})
	if got != 0 {
		t.Errorf("%v allocations", got)
	}
}

func ipv6Header(length uint16) wire.IPv6 {
	ip := make(wire.IPv6, wire.IPv6Size)
	ip.Put(&wire.IPv6Fields{NextHeader: wire.ProtocolUDP, HopLimit: 64, Length: length,
		Src: netip.MustParseAddr("fd00::1"), Dst: netip.MustParseAddr("fd00::2")})
	return ip
}
