package udp

import (
	"bytes"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

func TestSockaddr(t *testing.T) {
	for text, want := range map[string][]byte{
		"192.0.2.1:6081": {
			2, 0, // AF_INET, in the machine's order
			0x17, 0xc1, // 6081
			192, 0, 2, 1,
			0, 0, 0, 0, 0, 0, 0, 0,
		},
		"[2001:db8::7%5]:4791": {
			10, 0, // AF_INET6
			0x12, 0xb7, // 4791
			0, 0, 0, 0, // flow label
			0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7,
			5, 0, 0, 0, // zone
		},
		"[::ffff:192.0.2.1]:80": {2, 0, 0, 80, 192, 0, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0},
	} {
		d := dest(t, netip.MustParseAddrPort(text))
		if !bytes.Equal(d.raw[:d.n], want) {
			t.Errorf("%s is %x, want %x", text, d.raw[:d.n], want)
		}
		back := parseSockaddr(d.raw[:d.n])
		if back.Addr() != d.Addr.Addr().WithZone("") || back.Port() != d.Addr.Port() {
			t.Errorf("%s is read back as %s", text, back)
		}
	}
}

func TestBadDestinations(t *testing.T) {
	for _, to := range []netip.AddrPort{{}, netip.MustParseAddrPort("192.0.2.1:0"), netip.MustParseAddrPort("[fe80::1%nosuch0]:1")} {
		if d, err := NewDest(to); err == nil {
			t.Errorf("NewDest(%s) = %v", to, d.Addr)
		}
	}
}

func TestParseSockaddrOfOthers(t *testing.T) {
	for _, b := range [][]byte{nil, {2, 0, 1}, make([]byte, 28), append([]byte{unix.AF_INET6, 0}, make([]byte, 20)...)} {
		if a := parseSockaddr(b); a.IsValid() {
			t.Errorf("parse %x: %s", b, a)
		}
	}
}

func testAddr(i int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), 6081)
}
