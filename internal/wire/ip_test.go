package wire_test

import (
	"bytes"
	"errors"
	"net/netip"
	"testing"

	"github.com/freeflow-rdma/freeflow/internal/wire"
)

var (
	a4, b4 = netip.MustParseAddr("10.77.0.1"), netip.MustParseAddr("10.77.0.2")
	a6, b6 = netip.MustParseAddr("fd00::1"), netip.MustParseAddr("fd00::2")
)

const goldenIPv4 = `
	45 2a 0020 # version, header length, TOS, length: with 12 bytes of payload
	0007 4000  # identification, don't fragment
	40 11 2600 # TTL, UDP, checksum
	0a4d0001   # source
	0a4d0002   # destination`

const goldenIPv6 = `
	62abcdef  # version, traffic class 0x2a, flow label
	000c 11 3f # length of the payload, UDP, hop limit
	fd000000 00000000 00000000 00000001
	fd000000 00000000 00000000 00000002`

func TestIPv4(t *testing.T) {
	want := golden(t, goldenIPv4)
	ip := wire.IPv4(bytes.Repeat([]byte{0xee}, wire.IPv4Size))
	ip.Put(&wire.IPv4Fields{TOS: 0x2a, TTL: 64, Protocol: wire.ProtocolUDP, Length: 99, ID: 0, Src: a4, Dst: b4})
	ip.SetLength(32, 7)
	if !bytes.Equal(ip, want) {
		t.Errorf("%x, want %x", ip, want)
	}
	packet := append(want, "twelve bytesand what is beyond"...)
	ip, payload, err := wire.ParseIPv4(packet)
	if err != nil || string(payload) != "twelve bytes" {
		t.Fatalf("payload %q, %v", payload, err)
	}
	if ip.TOS() != 0x2a || ip.TTL() != 64 || ip.Protocol() != wire.ProtocolUDP || ip.ID() != 7 || ip.Src() != a4 || ip.Dst() != b4 {
		t.Errorf("%x says something else", ip)
	}
}

func TestIPv4Errors(t *testing.T) {
	for _, c := range []struct {
		name  string
		want  error
		at    int
		value byte
		size  int
	}{
		{"short", wire.ErrShort, 1, 0x2a, 19},
		{"version", wire.ErrIPHeader, 0, 0x65, 32},
		{"options", wire.ErrIPHeader, 0, 0x46, 32},
		{"longer than it is", wire.ErrLength, 3, 33, 32},
		{"shorter than its header", wire.ErrLength, 3, 19, 32},
		{"more fragments", wire.ErrIPFragment, 6, 0x20, 32},
		{"fragment", wire.ErrIPFragment, 7, 1, 32},
		{"checksum", wire.ErrIPChecksum, 19, 3, 32},
	} {
		b := append(golden(t, goldenIPv4), "twelve bytes"...)
		b[c.at] = c.value
		if _, _, err := wire.ParseIPv4(b[:c.size]); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}

func TestIPv6(t *testing.T) {
	want := golden(t, goldenIPv6)
	ip := wire.IPv6(bytes.Repeat([]byte{0xee}, wire.IPv6Size))
	ip.Put(&wire.IPv6Fields{TrafficClass: 0x2a, FlowLabel: 0xfffb_cdef, NextHeader: wire.ProtocolUDP, HopLimit: 63, Src: a6, Dst: b6})
	ip.SetLength(12)
	if !bytes.Equal(ip, want) {
		t.Errorf("%x, want %x", ip, want)
	}
	packet := append(want, "twelve bytesand what is beyond"...)
	ip, payload, err := wire.ParseIPv6(packet)
	if err != nil || string(payload) != "twelve bytes" {
		t.Fatalf("payload %q, %v", payload, err)
	}
	if ip.TrafficClass() != 0x2a || ip.FlowLabel() != 0xbcdef || ip.NextHeader() != wire.ProtocolUDP || ip.HopLimit() != 63 ||
		ip.Src() != a6 || ip.Dst() != b6 {
		t.Errorf("%x says something else", ip)
	}
	if _, _, err := wire.ParseIPv6(packet[:39]); !errors.Is(err, wire.ErrShort) {
		t.Errorf("39 bytes: %v", err)
	}
	if _, _, err := wire.ParseIPv6(packet[:51]); !errors.Is(err, wire.ErrLength) {
		t.Errorf("51 bytes: %v", err)
	}
	packet[0] = 0x42
	if _, _, err := wire.ParseIPv6(packet); !errors.Is(err, wire.ErrIPHeader) {
		t.Errorf("version 4: %v", err)
	}
}

const goldenUDP = `
	c350 12b7 # ports 50000 and 4791
	000c 0000 # length: with 4 bytes of payload; no checksum
	61626364`

func TestUDP(t *testing.T) {
	want := golden(t, goldenUDP)
	u := wire.UDP(bytes.Repeat([]byte{0xee}, wire.UDPSize))
	u.Put(50000, wire.PortRoCE, 9)
	u.SetLength(12)
	if !bytes.Equal(u, want[:8]) {
		t.Errorf("%x, want %x", u, want[:8])
	}
	u, payload, err := wire.ParseUDP(append(want, 1, 2, 3))
	if err != nil || string(payload) != "abcd" || u.SrcPort() != 50000 || u.DstPort() != wire.PortRoCE {
		t.Errorf("%x, payload %q, %v", u, payload, err)
	}
	for n, want := range map[int]error{7: wire.ErrShort, 11: wire.ErrLength} {
		if _, _, err := wire.ParseUDP(golden(t, goldenUDP)[:n]); !errors.Is(err, want) {
			t.Errorf("%d bytes: %v, want %v", n, err, want)
		}
	}
	u[5] = 7
	if _, _, err := wire.ParseUDP(u); !errors.Is(err, wire.ErrLength) {
		t.Errorf("length 7: %v", err)
	}
}

// TestUDPChecksum: what is set is valid, over payloads of all lengths, and no changed bit is.
func TestUDPChecksum(t *testing.T) {
	for _, c := range []struct{ src, dst netip.Addr }{{a4, b4}, {a6, b6}} {
		for n := range 40 {
			payload := bytes.Repeat([]byte{0x5a, 0xff, 3}, 14)[:n]
			u := make(wire.UDP, wire.UDPSize)
			u.Put(50000, wire.PortGeneve, uint16(8+n))
			if !u.Valid(c.src, c.dst, payload) {
				t.Errorf("no checksum is not valid")
			}
			u.SetChecksum(c.src, c.dst, payload)
			if u.Checksum() == 0 || !u.Valid(c.src, c.dst, payload) || u.Valid(c.src, c.src, payload) {
				t.Errorf("%d bytes from %v: checksum %#x", n, c.src, u.Checksum())
			}
			for i := range 8 * n {
				payload[i/8] ^= 1 << (i % 8)
				if u.Valid(c.src, c.dst, payload) {
					t.Errorf("%d bytes from %v: valid with bit %d changed", n, c.src, i)
				}
				payload[i/8] ^= 1 << (i % 8)
			}
		}
	}
}

// TestChecksum compares with the definition (RFC 1071), 16 bits at a time.
func TestChecksum(t *testing.T) {
	b := bytes.Repeat([]byte{0xff, 0xfe, 0x01, 0x80, 0x7f}, 30)
	for n := range b {
		sum := uint32(0xabcd)
		for i := 0; i < n; i += 2 {
			sum += uint32(b[i]) << 8
			if i+1 < n {
				sum += uint32(b[i+1])
			}
		}
		for sum>>16 != 0 {
			sum = sum>>16 + sum&0xffff
		}
		if got := wire.Checksum(b[:n], 0xabcd); uint32(got) != sum {
			t.Errorf("%d bytes: %#x, want %#x", n, got, sum)
		}
	}
	if got := wire.Checksum(bytes.Repeat([]byte{0xff}, 65536), 0xffff); got != 0xffff {
		t.Errorf("64 KiB of ones: %#x", got)
	}
}

// FuzzIP takes IPv4, IPv6 and the UDP in them apart, and the headers together again.
func FuzzIP(f *testing.F) {
	f.Add(append(golden(f, goldenIPv4), golden(f, goldenUDP)...))
	f.Add(append(golden(f, goldenIPv6), golden(f, goldenUDP)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, _, err := wire.ParseUDP(b); err == nil && len(b) < wire.UDPSize {
			t.Fatal("UDP of nothing")
		}
		if ip, payload, err := wire.ParseIPv4(b); err == nil {
			checkFuzzedUDP(t, ip.Src(), ip.Dst(), payload)
			again := make(wire.IPv4, wire.IPv4Size)
			again.Put(&wire.IPv4Fields{TOS: ip.TOS(), TTL: ip.TTL(), Protocol: ip.Protocol(), Length: uint16(ip.Length()), ID: ip.ID(),
				Src: ip.Src(), Dst: ip.Dst()})
			if b[6]&0xc0 == 0x40 && !bytes.Equal(again, ip) && b[10] != 0xff { // the checksum 0 has another form, 0xffff
				t.Fatalf("%x, want %x", again, ip)
			}
		}
		if ip, payload, err := wire.ParseIPv6(b); err == nil {
			checkFuzzedUDP(t, ip.Src(), ip.Dst(), payload)
			again := make(wire.IPv6, wire.IPv6Size)
			again.Put(&wire.IPv6Fields{TrafficClass: ip.TrafficClass(), NextHeader: ip.NextHeader(), HopLimit: ip.HopLimit(),
				FlowLabel: ip.FlowLabel(), Length: uint16(ip.Length()), Src: ip.Src(), Dst: ip.Dst()})
			if !bytes.Equal(again, ip) {
				t.Fatalf("%x, want %x", again, ip)
			}
		}
	})
}

func checkFuzzedUDP(t *testing.T, src, dst netip.Addr, b []byte) {
	u, payload, err := wire.ParseUDP(b)
	if err != nil {
		return
	}
	if u.Length() != len(u)+len(payload) || len(u)+len(payload) > len(b) {
		t.Fatalf("UDP of %d bytes in %d", u.Length(), len(b))
	}
	own := bytes.Clone(u)
	wire.UDP(own).SetChecksum(src, dst, payload)
	if !wire.UDP(own).Valid(src, dst, payload) {
		t.Fatal("a checksum just set is wrong")
	}
}
