package wire_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/freeflow-rdma/freeflow/internal/wire"
)

const goldenGeneve = `
	00 00 0800  # version 0, no options; neither O nor C; IPv4 inside
	123456 00   # VNI
	616263`

// goldenOptions has two options that nobody must understand.
const goldenOptions = `
	04 00 86dd  # 4 words of options; IPv6 inside
	000001 00
	0102 03 02  # class, type, 2 words of data
	0000000000000000
	ffff 7f 00  # no data
	616263`

func TestGeneve(t *testing.T) {
	for _, c := range []struct {
		bytes    string
		size     int
		vni      uint32
		protocol uint16
	}{{goldenGeneve, 8, 0x123456, wire.EtherTypeIPv4}, {goldenOptions, 24, 1, wire.EtherTypeIPv6}} {
		g, inner, err := wire.ParseGeneve(golden(t, c.bytes))
		if err != nil || len(g) != c.size || g.VNI() != c.vni || g.Protocol() != c.protocol || string(inner) != "abc" {
			t.Errorf("%x, inner %q, %v; want %+v", g, inner, err, c)
		}
	}
	g := wire.Geneve(bytes.Repeat([]byte{0xee}, wire.GeneveSize))
	g.Put(0xff123456, wire.EtherTypeIPv4)
	if want := golden(t, goldenGeneve)[:8]; !bytes.Equal(g, want) {
		t.Errorf("%x, want %x", g, want)
	}
}

func TestGeneveErrors(t *testing.T) {
	for _, c := range []struct {
		name  string
		want  error
		at    int
		value byte
		size  int
	}{
		{"short", wire.ErrShort, 0, 4, 7},
		{"short for its options", wire.ErrShort, 0, 4, 23},
		{"version", wire.ErrVersion, 0, 0x44, 27},
		{"control", wire.ErrGeneveControl, 1, 0x80, 27},
		{"critical", wire.ErrGeneveCritical, 1, 0x40, 27},
		{"critical option", wire.ErrGeneveCritical, 10, 0x83, 27},
		{"option longer than all", wire.ErrGeneveOption, 11, 4, 27},
		{"last option longer than all", wire.ErrGeneveOption, 23, 1, 27},
	} {
		b := golden(t, goldenOptions)
		b[c.at] = c.value
		if _, _, err := wire.ParseGeneve(b[:c.size]); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}

func FuzzGeneve(f *testing.F) {
	f.Add(golden(f, goldenGeneve))
	f.Add(golden(f, goldenOptions))
	both := make(wire.Geneve, wire.GeneveSize+wire.SteerSize+wire.RiderSize)
	both.Put(1, wire.EtherTypeIPv4)
	both.PutOptions(wire.Steer{To: 1, From: 0x81}, &wire.Rider{OK: true, PSN: 3}, len(both)-wire.GeneveSize)
	f.Add([]byte(both))
	f.Fuzz(func(t *testing.T, b []byte) {
		g, inner, err := wire.ParseGeneve(b)
		if err != nil {
			return
		}
		if len(g)+len(inner) != len(b) || len(g) < wire.GeneveSize || b[1]&0xc0 != 0 {
			t.Fatalf("header %x, inner %x of %x", g, inner, b)
		}
		again := make(wire.Geneve, wire.GeneveSize)
		again.Put(g.VNI(), g.Protocol())
		if !bytes.Equal(again[2:7], g[2:7]) {
			t.Fatalf("%x, want %x", again, g)
		}
		// What the options say is what they would be written as.
		if st, r := g.Steer(), g.Rider(); st.Some() && r.OK {
			want := make(wire.Geneve, wire.GeneveSize+wire.SteerSize+wire.RiderSize)
			want.PutOptions(st, &r, len(want)-wire.GeneveSize)
			if want.Steer() != st || want.Rider() != r {
				t.Fatalf("%+v, %+v, written %+v, %+v", st, r, want.Steer(), want.Rider())
			}
		}
	})
}

// TestGeneveOptions: padding is skipped, whatever its length, and changes nothing else; with a rider or a steer in front as well.
func TestGeneveOptions(t *testing.T) {
	for n := 4; n <= 252; n += 4 {
		r := wire.Rider{OK: n >= wire.RiderSize+wire.SteerSize && n%3 == 0, PSN: 9}
		var s wire.Steer
		if n >= wire.SteerSize && n%5 < 2 {
			s = wire.Steer{To: uint8(n % 7), From: uint8(n)}
		}
		b := bytes.Repeat([]byte{0xee}, wire.GeneveSize+n+3)
		wire.Geneve(b).Put(77, wire.EtherTypeIPv4)
		wire.Geneve(b).PutOptions(s, &r, n)
		g, inner, err := wire.ParseGeneve(b)
		if err != nil || g.VNI() != 77 || g.Protocol() != wire.EtherTypeIPv4 || !bytes.Equal(inner, []byte{0xee, 0xee, 0xee}) {
			t.Fatalf("%d bytes: VNI %d, protocol %#x, inner %x, %v", n, g.VNI(), g.Protocol(), inner, err)
		}
		if g.Rider().OK != r.OK {
			t.Errorf("%d bytes: rider %v, want %v", n, g.Rider().OK, r.OK)
		}
		if g.Steer() != s {
			t.Errorf("%d bytes: steer %v, want %v", n, g.Steer(), s)
		}
	}
}
