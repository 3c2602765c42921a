package pcap

import (
	"bytes"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/freeflow-rdma/freeflow/internal/mem"
	"github.com/freeflow-rdma/freeflow/internal/wire"
)

// messages puts a capture's packets together again to what was carried: the client's requests, and of the answers
// what a responder decides.
func messages(packets []packet, mtu int) (all []Message) {
	var data []byte
	answers := map[wire.PSN][]packet{}
	for _, p := range packets {
		if !p.h.Opcode.Info().Request {
			answers[p.h.PSN] = append(answers[p.h.PSN], p)
		}
	}
	for _, p := range packets {
		info := p.h.Opcode.Info()
		if !info.Request {
			continue
		}
		if info.First {
			data = nil
			all = append(all, Message{
				Service: info.Service, Kind: info.Kind, Src: p.src, Dst: p.dst, DestQP: p.h.DestQP, PSN: p.h.PSN, MTU: mtu,
				VA: p.h.VA, RKey: p.h.RKey, QKey: p.h.QKey, Add: p.h.Opcode == wire.OpRCFetchAdd, SwapAdd: p.h.SwapAdd, Compare: p.h.Compare,
				SrcQP: p.h.DestQP, // the same number on both hosts
			})
		}
		m := &all[len(all)-1]
		data = append(data, p.payload...)
		m.Payload, m.Length = pieces(bytes.Clone(data), 1000), len(data)
		if info.Last {
			m.Solicited, m.HasImm, m.HasInv, m.Imm, m.InvRKey = p.h.Solicited, info.HasImm, info.HasIETH, p.h.Imm, p.h.InvRKey
		}
		if m.Kind == wire.KindReadRequest {
			m.Length = int(p.h.Length)
			m.Payload = readPayload(answers, p.h.PSN, mtu, m.Length)
		}
		for _, a := range answers[p.h.PSN] {
			m.MSN, m.Original = a.h.MSN, a.h.AtomicAck
		}
	}
	return all
}

func readPayload(answers map[wire.PSN][]packet, psn wire.PSN, mtu, length int) []mem.Span {
	var data []byte
	for i := 0; i <= max(length-1, 0)/mtu; i++ {
		for _, a := range answers[psn.Add(i)] {
			data = append(data, a.payload...)
		}
	}
	return pieces(data, 777)
}

// TestLikeRealNICs makes the packets of each message that a pair of real NICs exchanged, and finds no byte different from BTH to
// payload, in either direction.
func TestLikeRealNICs(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("..", "wire", "testdata", "captures", "*_mtu*.pcap"))
	if err != nil || len(files) == 0 {
		t.Fatal("no captures", err)
	}
	tested := 0
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".pcap")
		if regexp.MustCompile("_err_|_rnr_|_tclass_").MatchString(name) {
			continue
		}
		mtu := 1024
		if strings.HasSuffix(name, "4096") {
			mtu = 4096
		}
		real := captured(t, name)
		frames := record(t, Filter{}, func(tap *Tap) {
			for _, m := range messages(real, mtu) {
				tap.Message(&m)
			}
		})
		for _, request := range []bool{true, false} {
			want, got := direction(real, request), direction(parseAll(t, frames), request)
			if len(got) != len(want) {
				t.Errorf("%s: %d packets, want %d", name, len(got), len(want))
				continue
			}
			for i := range want {
				if !bytes.Equal(got[i].bth, want[i].bth) {
					t.Errorf("%s packet %d (request %v):\n%+v, want\n%+v", name, i, request, got[i].h, want[i].h)
					break
				}
			}
		}
		tested++
	}
	if tested < 40 {
		t.Errorf("only %d captures", tested)
	}
}

func parseAll(t *testing.T, frames [][]byte) (all []packet) {
	for _, f := range frames {
		all = append(all, parse(t, f))
	}
	return all
}

func direction(all []packet, request bool) (out []packet) {
	for _, p := range all {
		if p.h.Opcode.Info().Request == request {
			out = append(out, p)
		}
	}
	return out
}

// samples is a message of each kind, over IPv4 and IPv6.
func samples() (all []Message) {
	data := make([]byte, 10000)
	for i := range data {
		data[i] = byte(i)
	}
	for _, six := range []bool{false, true} {
		base := Message{Service: wire.ServiceRC, Src: a4, Dst: b4, SrcQP: 0x11, DestQP: 0x22, MTU: 1024, MSN: 5, PSN: 0xfffffe, VA: 0x7f0000001000, RKey: 0x1234}
		if six {
			base.Src, base.Dst = a6, b6
		}
		add := func(kind wire.Kind, n int, change func(*Message)) {
			m := base
			m.Kind, m.Length, m.Payload = kind, n, pieces(data[:n], 999)
			if change != nil {
				change(&m)
			}
			all = append(all, m)
		}
		imm := func(m *Message) { m.HasImm, m.Imm = true, wire.ImmValue(7) }
		for _, n := range []int{0, 1, 1024, 1025, 9999} {
			add(wire.KindSend, n, nil)
			add(wire.KindSend, n, imm)
			add(wire.KindSend, n, func(m *Message) { m.HasInv, m.InvRKey = true, 0x99 })
			add(wire.KindWrite, n, nil)
			add(wire.KindWrite, n, imm)
			add(wire.KindReadRequest, n, nil)
			for _, kind := range []wire.Kind{wire.KindSend, wire.KindWrite} {
				add(kind, n, func(m *Message) { m.Service = wire.ServiceUC })
				add(kind, n, func(m *Message) { m.Service = wire.ServiceUC; imm(m) })
			}
		}
		add(wire.KindAtomic, 0, func(m *Message) { m.Compare, m.SwapAdd, m.Original = 1, 2, 3 })
		add(wire.KindAtomic, 0, func(m *Message) { m.Add, m.SwapAdd, m.Original = true, 2, 3 })
		for _, n := range []int{0, 13, 1024} {
			add(wire.KindSend, n, func(m *Message) { m.Service, m.QKey = wire.ServiceUD, 0x11111111 })
			add(wire.KindSend, n, func(m *Message) { m.Service, m.QKey = wire.ServiceUD, 0x11111111; imm(m) })
		}
		add(wire.KindWrite, 100, func(m *Message) { m.NAK = wire.SyndromeNAKAccess })
		add(wire.KindReadRequest, 100, func(m *Message) { m.NAK = wire.SyndromeNAKAccess })
	}
	return all
}

func TestEveryKindIsWellFormed(t *testing.T) {
	for _, m := range samples() {
		frames := record(t, Filter{}, func(tap *Tap) { tap.Message(&m) })
		if len(frames) == 0 {
			t.Errorf("no packet of %+v", m)
		}
		var sent []byte
		for i, p := range parseAll(t, frames) {
			if wire.ICRC(p.ip, p.udp, p.bth) != p.icrc {
				t.Errorf("%s: ICRC", p.h.Opcode)
			}
			back := !p.h.Opcode.Info().Request
			want := m.DestQP
			if back {
				want = m.SrcQP
			}
			if p.h.DestQP != want || (p.src == m.Dst) != back {
				t.Errorf("%s goes from %s to %s, %#x", p.h.Opcode, p.src, p.dst, p.h.DestQP)
			}
			if len(p.payload) > m.MTU {
				t.Errorf("%s has %d bytes", p.h.Opcode, len(p.payload))
			}
			sent = append(sent, p.payload...)
			if p.h.PSN.Diff(m.PSN) < 0 || int(p.h.PSN.Diff(m.PSN)) > i {
				t.Errorf("%s has PSN %d", p.h.Opcode, p.h.PSN)
			}
		}
		whole := make([]byte, 0, m.Length)
		for i := range m.Payload {
			b := make([]byte, m.Payload[i].N)
			mem.Copy([]mem.Span{mem.Mapped(b)}, []mem.Span{m.Payload[i]}, nil)
			whole = append(whole, b...)
		}
		if m.NAK == 0 && !bytes.Equal(sent, whole) {
			t.Errorf("kind %d, %d bytes: the packets hold %d others", m.Kind, m.Length, len(sent))
		}
	}
}

func TestMessageWithoutItsMemory(t *testing.T) {
	m := Message{Service: wire.ServiceRC, Kind: wire.KindSend, Src: a4, Dst: b4, MTU: 1024, Length: 100}
	m.Payload = []mem.Span{{N: 50, VA: 0x1000}} // unmapped and of nobody; and less than the message has
	frames := record(t, Filter{}, func(tap *Tap) { tap.Message(&m) })
	if p := parse(t, frames[0]); !bytes.Equal(p.payload, make([]byte, 100)) {
		t.Errorf("payload % x", p.payload)
	}
	m.Kind = 99
	if frames := record(t, Filter{}, func(tap *Tap) { tap.Message(&m) }); len(frames) != 0 {
		t.Error("a message of no kind has packets")
	}
}

// TestHugeMessageEndsSoon: two gigabytes that nobody reads do not keep the worker.
func TestHugeMessageEndsSoon(t *testing.T) {
	m := Message{Service: wire.ServiceRC, Kind: wire.KindWrite, Src: a4, Dst: b4, MTU: 4096, Length: 1 << 31}
	var tap Tap
	r, _ := tap.start(Filter{})
	tap.Message(&m)
	if filled := r.head.Load(); filled != ringSlots || r.dropped.Load() != 1<<31/4096-ringSlots+1 { // and the acknowledgement
		t.Errorf("%d packets, %d dropped", filled, r.dropped.Load())
	}
}
