package wire_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/gopacket/gopacket/pcapgo"

	"github.com/freeflow-rdma/freeflow/internal/wire"
)

// captured is one RoCE packet of a capture, taken apart.
type captured struct {
	ip   wire.IPv4
	udp  wire.UDP
	bth  []byte // up to the ICRC
	icrc uint32
}

// captures calls f with each RoCE packet of the captures whose names match, and says how many there were.
func captures(t testing.TB, pattern string, f func(name string, i int, p captured)) (n int) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", "captures", pattern+".pcap"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no captures %q: %v", pattern, err)
	}
	for _, file := range files {
		for i, frame := range frames(t, file) {
			ip, b, err := wire.ParseIPv4(frame)
			if err != nil {
				t.Fatalf("%s packet %d: %v", file, i, err)
			}
			udp, b, err := wire.ParseUDP(b)
			if err != nil {
				t.Fatalf("%s packet %d: %v", file, i, err)
			}
			end := len(b) - wire.ICRCSize
			f(filepath.Base(file), i, captured{ip, udp, b[:end], wire.GetICRC(b[end:])})
			n++
		}
	}
	return n
}

// frames returns the IPv4 packets for port 4791 of a capture, without their Ethernet header.
func frames(t testing.TB, file string) (all [][]byte) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := pcapgo.NewReader(f)
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	for {
		b, info, err := r.ReadPacketData()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil || info.CaptureLength != info.Length {
			t.Fatalf("%s: %v, or cut", file, err)
		}
		if len(b) > 14+28 && b[12] == 0x08 && b[13] == 0x00 && b[14+9] == wire.ProtocolUDP && b[14+22] == 0x12 && b[14+23] == 0xb7 {
			all = append(all, b[14:])
		}
	}
}

// TestCaptures holds the codec against packets of a real kernel: each parses, its ICRC is right, and encoding what was parsed gives
// the same bytes.
func TestCaptures(t *testing.T) {
	seen := map[wire.Opcode]int{}
	n := captures(t, "*", func(name string, i int, p captured) {
		var h wire.Header
		payload, err := wire.Parse(p.bth, &h)
		if err != nil {
			t.Fatalf("%s packet %d: %v", name, i, err)
		}
		seen[h.Opcode]++
		if sum := wire.ICRC(p.ip, p.udp, p.bth); sum != p.icrc {
			t.Errorf("%s packet %d: ICRC %08x, want %08x", name, i, sum, p.icrc)
		}
		again := reencode(&h, payload)
		if !bytes.Equal(again, p.bth) {
			t.Errorf("%s packet %d (%v):\n%x, want\n%x", name, i, h.Opcode, again, p.bth)
		}
	})
	t.Logf("%d packets, %d opcodes", n, len(seen))
	if n < 1000 || len(seen) < 25 {
		t.Errorf("%d packets of %d opcodes: too few to say much: %v", n, len(seen), seen)
	}
}

func reencode(h *wire.Header, payload []byte) []byte {
	b := bytes.Repeat([]byte{0xee}, h.Size()) // nothing may be left of it
	h.Put(b)
	b = append(b, payload...)
	return append(b, make([]byte, wire.PadFor(len(payload)))...)
}

// TestCapturedIP rebuilds IP and UDP headers from what they say.
func TestCapturedIP(t *testing.T) {
	captures(t, "*", func(name string, i int, p captured) {
		ip, udp := make(wire.IPv4, wire.IPv4Size), make(wire.UDP, wire.UDPSize)
		ip.Put(&wire.IPv4Fields{TOS: p.ip.TOS(), TTL: p.ip.TTL(), Protocol: p.ip.Protocol(), ID: p.ip.ID(),
			Length: uint16(p.ip.Length()), Src: p.ip.Src(), Dst: p.ip.Dst()})
		if !bytes.Equal(ip, p.ip) {
			t.Errorf("%s packet %d: IP %x, want %x", name, i, ip, p.ip)
		}
		udp.Put(p.udp.SrcPort(), p.udp.DstPort(), uint16(p.udp.Length()))
		if !bytes.Equal(udp, p.udp) {
			t.Errorf("%s packet %d: UDP %x, want %x", name, i, udp, p.udp)
		}
	})
}

// TestCapturedID finds the identification of each packet as a UDP socket would have to.
func TestCapturedID(t *testing.T) {
	captures(t, "*", func(name string, i int, p captured) {
		zero := bytes.Clone(p.ip)
		zero[4], zero[5] = 0, 0
		id, ok := wire.FindID(wire.ICRC(zero, p.udp, p.bth), p.icrc, len(p.bth))
		if !ok || id != p.ip.ID() {
			t.Errorf("%s packet %d: identification %#x, %v; want %#x", name, i, id, ok, p.ip.ID())
		}
	})
}

// TestCapturedMAD reads the MADs of QP 1, and rebuilds their headers.
func TestCapturedMAD(t *testing.T) {
	seen := map[wire.Attribute]int{}
	captures(t, "cm_*", func(name string, i int, p captured) {
		var h wire.Header
		payload, err := wire.Parse(p.bth, &h)
		if err != nil || h.DestQP != wire.QP1 {
			return // TestCaptures looks at the error
		}
		m, err := wire.ParseMAD(payload)
		if err != nil {
			t.Fatalf("%s packet %d: %v", name, i, err)
		}
		if m.Class() != wire.ClassCM || h.QKey != wire.QKeyQP1 {
			t.Errorf("%s packet %d: class %#x, QKey %#x", name, i, m.Class(), h.QKey)
		}
		seen[m.Attribute()]++
		again := bytes.Clone(m)
		wire.MAD(again).Put(&wire.MADFields{Class: m.Class(), ClassVersion: m.ClassVersion(), Method: m.Method(), Status: m.Status(),
			TID: m.TID(), Attribute: m.Attribute(), Modifier: m.Modifier()})
		if !bytes.Equal(again, m) {
			t.Errorf("%s packet %d:\n%x, want\n%x", name, i, again[:wire.MADHeaderSize], m[:wire.MADHeaderSize])
		}
	})
	for _, a := range []wire.Attribute{wire.AttrConnectRequest, wire.AttrConnectReject, wire.AttrConnectReply, wire.AttrReadyToUse,
		wire.AttrDisconnectRequest, wire.AttrDisconnectReply, wire.AttrServiceIDResReq, wire.AttrServiceIDResReqResp} {
		if seen[a] == 0 {
			t.Errorf("no message %#x in the captures", a)
		}
	}
}

// TestCapturedNumbers reads numbers that the captures' texts tell, so that byte orders are right and not only symmetric.
func TestCapturedNumbers(t *testing.T) {
	at := func(capture string, want wire.Opcode) (found wire.Header) {
		captures(t, capture, func(_ string, _ int, p captured) {
			var h wire.Header
			if _, err := wire.Parse(p.bth, &h); err == nil && h.Opcode == want {
				found = h
			}
		})
		return found
	}
	if h := at("rc_send_inv_mtu1024", wire.OpRCSendOnlyInv); h.InvRKey != 0x0800014a || h.DestQP != 0x18 || h.PSN != 0x100 {
		t.Errorf("invalidate %#x, QP %#x, PSN %#x", h.InvRKey, h.DestQP, h.PSN)
	}
	if h := at("rc_send_imm_mtu1024", wire.OpRCSendOnlyImm); wire.ImmValue(h.Imm) != 0x11223344 {
		t.Errorf("immediate %#x", wire.ImmValue(h.Imm))
	}
}
