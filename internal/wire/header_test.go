package wire_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/freeflow-rdma/freeflow/internal/wire"
)

// golden is bytes in hexadecimal, with comments from a # to the end of the line.
func golden(t testing.TB, text string) []byte {
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

// goldens has each extension header in at least one packet. Payload follows the headers.
var goldens = []struct {
	name, bytes string
	header      wire.Header
	payload     string
}{
	{"SEND Only", `
		04       # opcode
		90       # S 1, M 0, pad 1, TVer 0
		ffff     # PKey
		80 123456 # F 1, B 0, DestQP
		80 fffffe # A 1, PSN
		616263 00 # payload and padding`,
		wire.Header{Opcode: wire.OpRCSendOnly, Solicited: true, Pad: 1, PKey: 0xffff, FECN: true, DestQP: 0x123456, AckReq: true,
			PSN: 0xfffffe}, "abc"},
	{"RDMA WRITE Only with Immediate", `
		0b 40 8001  # opcode, M, PKey
		40 000018   # B, DestQP
		00 000000   # PSN
		00007f0123456789 # RETH: VA
		00001085    #  RKey
		00000000    #  length
		01020304    # ImmDt`,
		wire.Header{Opcode: wire.OpRCRDMAWriteOnlyImm, MigReq: true, PKey: 0x8001, BECN: true, DestQP: 0x18, VA: 0x7f0123456789,
			RKey: 0x1085, Imm: wire.ImmValue(0x01020304)}, ""},
	{"SEND Last with Invalidate", `
		16 30 ffff 00 000018 00 000001 # pad 3
		0800014a    # IETH
		78 000000`,
		wire.Header{Opcode: wire.OpRCSendLastInv, Pad: 3, PKey: 0xffff, DestQP: 0x18, PSN: 1, InvRKey: 0x0800014a}, "x"},
	{"READ Response Only", `
		10 00 ffff 00 000018 00 000002
		1f 000007   # AETH: syndrome, MSN
		64617461`,
		wire.Header{Opcode: wire.OpRCRDMAReadResponseOnly, PKey: 0xffff, DestQP: 0x18, PSN: 2, Syndrome: wire.SyndromeAck, MSN: 7}, "data"},
	{"CompareSwap", `
		13 00 ffff 00 000018 80 000003
		0000000000001000 # AtomicETH: VA
		00000ce3         #  RKey
		1111111122222222 #  swap
		3333333344444444 #  compare`,
		wire.Header{Opcode: wire.OpRCCompareSwap, PKey: 0xffff, DestQP: 0x18, AckReq: true, PSN: 3, VA: 0x1000, RKey: 0xce3,
			SwapAdd: 0x1111111122222222, Compare: 0x3333333344444444}, ""},
	{"ATOMIC Acknowledge", `
		12 00 ffff 00 000018 00 000003
		1f ffffff        # AETH
		0102030405060708 # AtomicAckETH`,
		wire.Header{Opcode: wire.OpRCAtomicAcknowledge, PKey: 0xffff, DestQP: 0x18, PSN: 3, Syndrome: 0x1f, MSN: 0xffffff,
			AtomicAck: 0x0102030405060708}, ""},
	{"ATOMIC WRITE", `
		1d 00 ffff 00 000018 80 000003
		0000000000001000 00000ce3 00000008 # RETH
		0102030405060708`,
		wire.Header{Opcode: wire.OpRCAtomicWrite, PKey: 0xffff, DestQP: 0x18, AckReq: true, PSN: 3, VA: 0x1000, RKey: 0xce3, Length: 8},
		"\x01\x02\x03\x04\x05\x06\x07\x08"},
	{"UD SEND Only with Immediate", `
		65 00 ffff 00 ffffff 00 000004 # to a multicast group
		11111111    # DETH: QKey
		00 000019   #  reserved, SrcQP
		0a0b0c0d    # ImmDt
		75646464`,
		wire.Header{Opcode: wire.OpUDSendOnlyImm, PKey: 0xffff, DestQP: 0xffffff, PSN: 4, QKey: 0x11111111, SrcQP: 0x19,
			Imm: wire.ImmValue(0x0a0b0c0d)}, "uddd"},
	{"CNP", `
		81 00 ffff 40 000018 00 000000 # B
		00000000 00000000 00000000 00000000 # reserved`,
		wire.Header{Opcode: wire.OpCNP, PKey: 0xffff, BECN: true, DestQP: 0x18}, ""},
	{"FreeFlow Acknowledge", `
		c0 00 ffff 00 000018 00 000063
		1f 000002        # AETH
		0000000000000005 # SACK: bits 0 and 2
		8000000000000000 # bit 127
		0000000000000000
		0000000100000000 # bit 224`,
		wire.Header{Opcode: wire.OpFFAck, PKey: 0xffff, DestQP: 0x18, PSN: 0x63, Syndrome: 0x1f, MSN: 2, SACK: wire.SACK{5, 1 << 63, 0, 1 << 32}}, ""},
}

func TestGoldens(t *testing.T) {
	for _, g := range goldens {
		want := golden(t, g.bytes)
		var h wire.Header
		payload, err := wire.Parse(want, &h)
		if err != nil || h != g.header || string(payload) != g.payload {
			t.Errorf("%s: %v, payload %q\n%+v, want\n%+v", g.name, err, payload, h, g.header)
		}
		if got := reencode(&g.header, []byte(g.payload)); !bytes.Equal(got, want) {
			t.Errorf("%s:\n%x, want\n%x", g.name, got, want)
		}
	}
}

// TestParseErrors breaks a good packet in one way each.
func TestParseErrors(t *testing.T) {
	write := golden(t, "0a00ffff 00000018 00000000 0000000000001000 00001085 00000004 61626364")
	for _, c := range []struct {
		name string
		want error
		edit func(b []byte) []byte
	}{
		{"empty", wire.ErrShort, func([]byte) []byte { return nil }},
		{"part of a BTH", wire.ErrShort, func(b []byte) []byte { return b[:11] }},
		{"part of a RETH", wire.ErrShort, func(b []byte) []byte { return b[:24] }},
		{"opcode", wire.ErrOpcode, func(b []byte) []byte { b[0] = 0x1f; return b }},
		{"reliable datagram", wire.ErrOpcode, func(b []byte) []byte { b[0] = 0x44; return b }},
		{"TVer", wire.ErrVersion, func(b []byte) []byte { b[1] |= 1; return b }},
		{"pad, no payload", wire.ErrPad, func(b []byte) []byte { b[1] |= 0x10; return b[:28] }},
		{"pad of an acknowledgement", wire.ErrPad, func(b []byte) []byte { b[0] = 0x11; b[1] |= 0x30; return b[:16] }},
		{"half a word", wire.ErrLength, func(b []byte) []byte { return b[:30] }},
		{"READ request with payload", wire.ErrLength, func(b []byte) []byte { b[0] = 0x0c; return b }},
	} {
		h := wire.Header{VA: 99}
		payload, err := wire.Parse(c.edit(bytes.Clone(write)), &h)
		if !errors.Is(err, c.want) || payload != nil || h != (wire.Header{VA: 99}) {
			t.Errorf("%s: %v, want %v; payload %x, header %+v", c.name, err, c.want, payload, h)
		}
	}
	write[4], write[8] = 0x3f, 0x7f // reserved bits: to be ignored
	if _, err := wire.Parse(write, new(wire.Header)); err != nil {
		t.Errorf("reserved bits: %v", err)
	}
}

// TestRoundTrip puts headers of every opcode with every field filled at random, and parses them.
func TestRoundTrip(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 6))
	for op := range 256 {
		info := wire.Opcode(op).Info()
		if info == nil {
			continue
		}
		for range 100 {
			h := randomHeader(rnd, wire.Opcode(op))
			payload := make([]byte, 4*rnd.IntN(4))
			if !info.HasPayload {
				payload = nil
			}
			b := reencode(&h, payload)
			var got wire.Header
			if _, err := wire.Parse(b, &got); err != nil {
				t.Fatalf("%s: %v", info.Name, err)
			}
			if again := reencode(&got, payload); !bytes.Equal(again, b) {
				t.Fatalf("%s:\n%x, want\n%x", info.Name, again, b)
			}
			if want := keep(h, info); got != want {
				t.Fatalf("%s:\n%+v, want\n%+v", info.Name, got, want)
			}
		}
	}
}

// randomHeader fills every field, whether the opcode has it or not.
func randomHeader(rnd *rand.Rand, op wire.Opcode) wire.Header {
	flip := func() bool { return rnd.IntN(2) == 0 }
	qpn := func() uint32 { return rnd.Uint32N(1 << 24) }
	return wire.Header{Opcode: op, Solicited: flip(), MigReq: flip(), AckReq: flip(), FECN: flip(), BECN: flip(),
		PKey: uint16(rnd.Uint32()), DestQP: qpn(), PSN: wire.PSN(qpn()), VA: rnd.Uint64(), RKey: rnd.Uint32(), Length: rnd.Uint32(),
		SwapAdd: rnd.Uint64(), Compare: rnd.Uint64(), AtomicAck: rnd.Uint64(), Syndrome: uint8(rnd.Uint32()), MSN: qpn(),
		QKey: rnd.Uint32(), SrcQP: qpn(), Imm: rnd.Uint32(), InvRKey: rnd.Uint32(),
		SACK: wire.SACK{rnd.Uint64(), rnd.Uint64(), rnd.Uint64(), rnd.Uint64()}}
}

// keep clears the fields that packets of the opcode do not have.
func keep(h wire.Header, info *wire.Info) wire.Header {
	if !info.HasDETH {
		h.QKey, h.SrcQP = 0, 0
	}
	if !info.HasRETH && !info.HasAtomicETH {
		h.VA, h.RKey = 0, 0
	}
	if !info.HasRETH {
		h.Length = 0
	}
	if !info.HasAtomicETH {
		h.SwapAdd, h.Compare = 0, 0
	}
	if !info.HasAETH {
		h.Syndrome, h.MSN = 0, 0
	}
	if !info.HasAtomicAck {
		h.AtomicAck = 0
	}
	if !info.HasImm {
		h.Imm = 0
	}
	if !info.HasIETH {
		h.InvRKey = 0
	}
	if !info.HasSACK {
		h.SACK = wire.SACK{}
	}
	return h
}

// TestPutCuts gives fields more bits than the wire has: what is beside them stays.
func TestPutCuts(t *testing.T) {
	h := wire.Header{Opcode: wire.OpRCAcknowledge, Pad: 0xff, DestQP: 1<<32 - 1, PSN: 1<<32 - 1, MSN: 1<<32 - 1}
	b := make([]byte, h.Size())
	h.Put(b)
	if want := golden(t, "1130 0000 00ffffff 00ffffff 00ffffff"); !bytes.Equal(b, want) {
		t.Errorf("%x, want %x", b, want)
	}
	h.Opcode = 0x1f
	if h.Size() != 0 || h.Put(nil) != 0 {
		t.Error("an unknown opcode was encoded")
	}
}

func FuzzParse(f *testing.F) {
	for _, g := range goldens {
		f.Add(golden(f, g.bytes))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var h wire.Header
		payload, err := wire.Parse(b, &h)
		if err != nil {
			if h != (wire.Header{}) || payload != nil {
				t.Fatalf("%v, yet there is a result", err)
			}
			return
		}
		if h.Size()+len(payload)+int(h.Pad) != len(b) {
			t.Fatalf("%d bytes of headers, %d of payload, %d of padding: not %d", h.Size(), len(payload), h.Pad, len(b))
		}
		var again wire.Header
		if _, err := wire.Parse(reencode(&h, payload), &again); err != nil || again != h {
			t.Fatalf("%v\n%+v, want\n%+v", err, again, h)
		}
	})
}
