package vnet

import (
	"net/netip"
	"testing"
)

func TestAddressesFollowFromTheIP(t *testing.T) {
	mac := MAC(netip.MustParseAddr("10.77.1.200"))
	if mac.String() != "02:ff:0a:4d:01:c8" {
		t.Errorf("MAC %s", mac)
	}
	if got := LinkLocal(mac).String(); got != "fe80::ff:aff:fe4d:1c8" {
		t.Errorf("link-local address %s", got)
	}
	if got := EUI64(mac); got != [8]byte{0x00, 0xff, 0x0a, 0xff, 0xfe, 0x4d, 0x01, 0xc8} {
		t.Errorf("EUI-64 %x", got)
	}
}

func TestLastAddress(t *testing.T) {
	for prefix, want := range map[string]string{"10.77.0.1/16": "10.77.255.255", "10.77.0.9/29": "10.77.0.15"} {
		if got := lastAddress(netip.MustParsePrefix(prefix)).String(); got != want {
			t.Errorf("last address of %s is %s, want %s", prefix, got, want)
		}
	}
}

func TestIPOf(t *testing.T) {
	for _, ip := range []string{"10.77.1.200", "0.0.0.0", "255.255.255.255", "1.2.3.4"} {
		want := netip.MustParseAddr(ip)
		if got := IPOf(LinkLocal(MAC(want))); got != want {
			t.Errorf("link-local address of %s: %s", ip, got)
		}
		if got := IPOf(netip.AddrFrom16(want.As16())); got != want {
			t.Errorf("%s: %s", ip, got)
		}
	}
	for _, other := range []string{"fe80::1", "fe80::fe:aff:fe4d:1c8", "fd00::ff:aff:fe4d:1c8", "2001:db8::1"} {
		if got := IPOf(netip.MustParseAddr(other)); got != netip.MustParseAddr(other) {
			t.Errorf("%s: %s", other, got)
		}
	}
}
