package udp

import (
	"net/netip"
	"testing"
)

func TestPathMTU(t *testing.T) {
	geneve, plain := Encapsulation{Geneve: true}, Encapsulation{}
	for _, c := range []struct {
		underlay int
		e        Encapsulation
		want     int
	}{
		{1500, plain, 1024},
		{1500, geneve, 1024},
		{9000, geneve, 4096},
		{65536, geneve, 4096},
		// 4096 + IPv4 20 + UDP 8 + BTH 12 + RETH 16 + ImmDt 4 + ICRC 4
		{4160, plain, 4096},
		{4159, plain, 2048},
		// and Geneve 8, inner IPv4 20, inner UDP 8
		{4196, geneve, 4096},
		{4195, geneve, 2048},
		{4236, Encapsulation{Geneve: true, OuterV6: true, InnerV6: true}, 4096},
		{4235, Encapsulation{Geneve: true, OuterV6: true, InnerV6: true}, 2048},
		{4243, Encapsulation{Geneve: true, OuterV6: true, InnerV6: true, Options: 8}, 2048},
		{320, plain, 256},
		{319, plain, 0},
		{0, geneve, 0},
	} {
		if got := PathMTU(c.underlay, c.e); got != c.want {
			t.Errorf("PathMTU(%d, %+v) = %d, want %d", c.underlay, c.e, got, c.want)
		}
	}
}

func TestUnderlayMTU(t *testing.T) {
	hosts := newTwo(t)
	must(t, hosts.a.Do(func() error {
		for _, local := range []string{"192.0.2.1", "2001:db8::1"} {
			if mtu, err := UnderlayMTU(netip.MustParseAddr(local)); err != nil || mtu != testMTU {
				t.Errorf("UnderlayMTU(%s) = %d, %v", local, mtu, err)
			}
		}
		if mtu, err := UnderlayMTU(netip.MustParseAddr("192.0.2.2")); err == nil {
			t.Errorf("MTU %d of an address of another host", mtu)
		}
		return nil
	}))
}
