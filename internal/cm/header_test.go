package cm

import (
	"bytes"
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"
)

func bytesOf(t testing.TB, text string) []byte {
	t.Helper()
	var digits strings.Builder
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		digits.WriteString(strings.Join(strings.Fields(line), ""))
	}
	b, err := hex.DecodeString(digits.String())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

var goldenHeaders = []struct {
	bytes string
	h     CMAHeader
}{
	{`00 40 9517                           # version 0.0; IPv4; port: of the REQ in cm_connect_disconnect
	  000000000000000000000000 0a4d0001
	  000000000000000000000000 0a4d0002`,
		CMAHeader{IPVersion: 4, SrcPort: 0x9517, Src: netip.MustParseAddr("10.77.0.1"), Dst: netip.MustParseAddr("10.77.0.2")}},
	{`00 60 0007
	  fd000000000000000000000000000001
	  fe800000000000000000000000000002`,
		CMAHeader{IPVersion: 6, SrcPort: 7, Src: netip.MustParseAddr("fd00::1"), Dst: netip.MustParseAddr("fe80::2")}},
}

func TestCMAHeader(t *testing.T) {
	for _, g := range goldenHeaders {
		want := bytesOf(t, g.bytes)
		if got := g.h.Append([]byte{9}); !bytes.Equal(got[1:], want) || got[0] != 9 {
			t.Errorf("%x, want %x", got[1:], want)
		}
		h, rest, err := ParseCMAHeader(append(want, "rest"...))
		if err != nil || h != g.h || string(rest) != "rest" {
			t.Errorf("%+v, %q, %v", h, rest, err)
		}
	}
	mapped := CMAHeader{IPVersion: 4, SrcPort: 0x9517, Src: netip.MustParseAddr("::ffff:10.77.0.1"), Dst: netip.MustParseAddr("10.77.0.2")}
	if want := bytesOf(t, goldenHeaders[0].bytes); !bytes.Equal(mapped.Append(nil), want) {
		t.Errorf("a mapped address: %x", mapped.Append(nil))
	}
	if b := (CMAHeader{IPVersion: 6}).Append(nil); len(b) != CMAHeaderSize || !bytes.Equal(b[2:], make([]byte, 34)) {
		t.Errorf("no addresses: %x", b)
	}
}

func TestCMAHeaderErrors(t *testing.T) {
	good := bytesOf(t, goldenHeaders[0].bytes)
	for _, b := range [][]byte{nil, good[:35], append([]byte{0x10}, good[1:]...), append([]byte{0, 0x50}, good[2:]...), make([]byte, 92)} {
		if _, _, err := ParseCMAHeader(b); err == nil {
			t.Errorf("%x is a header", b)
		}
	}
}

func TestServiceID(t *testing.T) {
	for _, x := range []struct {
		space, port uint16
		id          uint64
	}{{PortSpaceTCP, 7471, 0x0000_0000_0106_1d2f}, {PortSpaceUDP, 7174, 0x0000_0000_0111_1c06}, {PortSpaceIPoIB, 0xffff, 0x2_ffff},
		{PortSpaceIB, 1, 0x013f_0001}} {
		if id := ServiceID(x.space, x.port); id != x.id {
			t.Errorf("%#x, want %#x", id, x.id)
		}
		if space, port, ok := SplitServiceID(x.id); !ok || space != x.space || port != x.port {
			t.Errorf("%#x: %#x, %d, %v", x.id, space, port, ok)
		}
	}
	for _, id := range []uint64{0, 0x1_0106_1d2f, 0x0107_1d2f, 1 << 63} {
		if _, _, ok := SplitServiceID(id); ok {
			t.Errorf("%#x is of the RDMA-CM", id)
		}
	}
}

func FuzzCMAHeader(f *testing.F) {
	for _, g := range goldenHeaders {
		f.Add(bytesOf(f, g.bytes))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		h, rest, err := ParseCMAHeader(b)
		if err != nil {
			return
		}
		again, _, err := ParseCMAHeader(append(h.Append(nil), rest...))
		if err != nil || again != h || len(rest) != len(b)-CMAHeaderSize {
			t.Fatalf("%+v, then %+v, %v", h, again, err)
		}
	})
}
