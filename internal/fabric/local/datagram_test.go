package local

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"github.com/freeflow-rdma/freeflow/internal/ring"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
	vt "github.com/freeflow-rdma/freeflow/internal/verbs/verbstest"
)

func datagramTo(id uint64, q *vt.QP, ah uint32, s ring.SGE) ring.SendWQE {
	w := vt.WR(id, verbs.OpSend, s)
	w.RemoteQKey, w.AHNum, w.RemoteQPN = vt.QKey, ah, 0xffffff
	if q != nil {
		w.RemoteQPN = uint32(q.QPN)
	}
	return w
}

// ud is a pair of UD queue pairs, ready.
func ud(t *testing.T) (*pair, vt.Buffer, vt.Buffer) {
	t.Helper()
	nic := vt.New(t, Carrier{})
	p := &pair{a: nic.Program(t), b: nic.Program(t)}
	p.ca, p.cb = p.a.CQ(255), p.b.CQ(255)
	p.qa, p.qb = p.a.QP(verbs.TypeUD, p.ca, 63), p.b.QP(verbs.TypeUD, p.cb, 63)
	unconnected(p.qa, p.qb)
	src, dst := p.a.Shared(8192, vt.AllAccess), p.b.Shared(8192, vt.AllAccess)
	fill(src.B, 9)
	return p, src, dst
}

// unconnected makes UD queue pairs ready.
func unconnected(qs ...*vt.QP) {
	for _, q := range qs {
		q.Ready(nil, nil)
		q.Start(nil)
	}
}

// TestDatagram: data behind a global route header that tells both addresses.
func TestDatagram(t *testing.T) {
	p, src, dst := ud(t)
	ah := p.a.AH(p.b.Cont.GIDs[0])
	p.qb.Recv(vt.RR(1, dst.SGE(0, 4096+40)))
	w := datagramTo(2, p.qb, ah, src.SGE(0, 4096))
	w.Opcode, w.Imm = uint32(verbs.OpSendImm), 0x01020304
	p.qa.Send(w)
	e := p.cb.Poll()
	want(t, e, 1, verbs.WCSuccess)
	want(t, p.ca.Poll(), 2, verbs.WCSuccess)
	if e.ByteLen != 4136 || e.SrcQP != uint32(p.qa.QPN) || e.WCFlags != uint32(verbs.WCGRH|verbs.WCWithImm) || e.Imm != w.Imm {
		t.Errorf("%+v", e)
	}
	g := dst.B
	if g[0]>>4 != 6 || g[6] != 17 || binary.BigEndian.Uint16(g[4:]) != 4096+24 || verbs.GID(g[8:24]) != p.a.Cont.GIDs[0] || verbs.GID(g[24:40]) != p.b.Cont.GIDs[0] {
		t.Errorf("GRH % x", g[:40])
	}
	if !bytes.Equal(g[40:4136], src.B[:4096]) {
		t.Error("data differ")
	}
}

// TestDatagramDropped: what a UD queue pair does not take is gone, whoever sent it, and does no harm.
func TestDatagramDropped(t *testing.T) {
	p, src, dst := ud(t)
	ah, nobody := p.a.AH(p.b.Cont.GIDs[0]), p.a.AH(verbs.GIDOf(netip.MustParseAddr("10.77.9.9")))
	p.qb.Recv(vt.RR(1, dst.SGE(0, 140)))
	wrongKey := datagramTo(2, p.qb, ah, src.SGE(0, 8))
	wrongKey.RemoteQKey++
	ownKey := datagramTo(7, p.qb, ah, src.SGE(0, 8))
	ownKey.RemoteQKey = 1 << 31 // the sender's own, which is right
	p.qa.Send(wrongKey,
		datagramTo(3, p.qb, nobody, src.SGE(0, 8)),
		datagramTo(4, nil, ah, src.SGE(0, 8)),
		datagramTo(5, p.qb, ah, src.SGE(0, 101)),  // receive too short
		datagramTo(6, p.qb, ah, src.SGE(0, 4097)), // above the MTU
		ownKey)
	for id := range uint64(6) {
		want(t, p.ca.Poll(), 2+id, verbs.WCSuccess)
	}
	e := p.cb.Poll()
	want(t, e, 1, verbs.WCSuccess)
	if e.ByteLen != 48 {
		t.Errorf("the receive has %d bytes", e.ByteLen)
	}
	p.cb.None(time.Millisecond)
	if p.qa.State() != verbs.StateRTS || p.qb.State() != verbs.StateRTS {
		t.Error("a queue pair has left RTS")
	}
}

// TestUnreliableWaits: a UC or UD message that finds no receive waits a little for one, and is lost after that.
func TestUnreliableWaits(t *testing.T) {
	for name, start := range map[string]func(*testing.T) (*pair, vt.Buffer, vt.Buffer){
		"UD": ud,
		"UC": func(t *testing.T) (*pair, vt.Buffer, vt.Buffer) {
			p := connect(t, verbs.TypeUC, nil)
			return p, p.a.Shared(4096, vt.AllAccess), p.b.Shared(4096, vt.AllAccess)
		},
	} {
		t.Run(name, func(t *testing.T) {
			p, src, dst := start(t)
			message := func(id uint64) ring.SendWQE { return vt.WR(id, verbs.OpSend, src.SGE(0, 8)) }
			if name == "UD" {
				ah := p.a.AH(p.b.Cont.GIDs[0])
				message = func(id uint64) ring.SendWQE { return datagramTo(id, p.qb, ah, src.SGE(0, 8)) }
			}
			// On a busy machine this test may be too late with its receive; it is the message's turn again then.
			waited := false
			for id := uint64(1); !waited && id < 100; id++ {
				p.qa.Send(message(id))
				for n := p.a.Device().QP(p.qa.QPN); n.Stats.RNRWaits.Load() < id; {
					time.Sleep(50 * time.Microsecond)
				}
				p.qb.Recv(vt.RR(1, dst.SGE(0, 64)))
				want(t, p.ca.Poll(), id, verbs.WCSuccess)
				_, waited = p.cb.PollFor(time.Millisecond)
				if !waited { // the receive is there for the next
					p.qa.Send(message(id))
					want(t, p.ca.Poll(), id, verbs.WCSuccess)
					want(t, p.cb.Poll(), 1, verbs.WCSuccess)
				}
			}
			if !waited {
				t.Error("no message has waited for its receive")
			}
			p.qa.Send(message(200), message(201), message(202))
			for id := uint64(200); id < 203; id++ {
				want(t, p.ca.Poll(), id, verbs.WCSuccess)
			}
			p.qb.Recv(vt.RR(2, dst.SGE(0, 64)))
			p.cb.None(time.Millisecond)
		})
	}
}

// TestDatagramErrors: the sender's own errors take it to SQE.
func TestDatagramErrors(t *testing.T) {
	for name, tune := range map[string]func(*ring.SendWQE){
		"no such AH":       func(w *ring.SendWQE) { w.AHNum += 1000 },
		"operation of RC":  func(w *ring.SendWQE) { w.Opcode = uint32(verbs.OpRDMAWrite) },
		"window operation": func(w *ring.SendWQE) { w.Opcode = uint32(verbs.OpBindMW) },
		"atomic write":     func(w *ring.SendWQE) { w.Opcode = uint32(verbs.OpAtomicWrite) },
	} {
		p, src, _ := ud(t)
		w := datagramTo(2, p.qb, p.a.AH(p.b.Cont.GIDs[0]), src.SGE(0, 8))
		tune(&w)
		p.qa.Send(w)
		if e := p.ca.Poll(); e.Status != uint32(verbs.WCLocQPOpErr) {
			t.Errorf("%s: status %d", name, e.Status)
		}
		p.qa.WantState(verbs.StateSQE)
		p.qa.Modify(verbs.MaskState, verbs.QPAttr{State: verbs.StateRTS})
	}
}

// TestMulticast: every member hears, the sender too if it is one; who has left does not.
func TestMulticast(t *testing.T) {
	p, src, dst := ud(t)
	g := verbs.GIDOf(netip.MustParseAddr("239.1.2.3"))
	own := p.a.Shared(4096, vt.AllAccess)
	for _, err := range []error{p.a.AttachMcast(p.qa.Handle, g, 0), p.b.AttachMcast(p.qb.Handle, g, 0), p.b.AttachMcast(p.qb.Handle, g, 0)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	ah := p.a.AH(g)
	p.qa.Recv(vt.RR(1, own.SGE(0, 100)))
	p.qb.Recv(vt.RR(1, dst.SGE(0, 50), dst.SGE(100, 50)))
	p.qa.Send(datagramTo(2, nil, ah, src.SGE(0, 60)))
	want(t, p.cb.Poll(), 1, verbs.WCSuccess)
	want(t, p.ca.Poll(), 1, verbs.WCSuccess)
	want(t, p.ca.Poll(), 2, verbs.WCSuccess)
	if !bytes.Equal(own.B[40:100], src.B[:60]) || !bytes.Equal(dst.B[40:50], src.B[:10]) || !bytes.Equal(dst.B[100:150], src.B[10:60]) {
		t.Error("data differ")
	}
	if _, err := p.b.DestroyQP(p.qb.Handle); err == nil {
		t.Error("a member was destroyed")
	}
	if err := p.b.DetachMcast(p.qb.Handle, g, 0); err != nil {
		t.Fatal(err)
	}
	p.qb.Recv(vt.RR(1, dst.SGE(0, 100)))
	p.qa.Send(datagramTo(2, nil, ah, src.SGE(0, 60)))
	want(t, p.ca.Poll(), 2, verbs.WCSuccess)
	p.cb.None(time.Millisecond)
}

// TestMulticastLeftAtClose: a program that ends leaves every group.
func TestMulticastLeftAtClose(t *testing.T) {
	p, _, _ := ud(t)
	groups := []verbs.GID{verbs.GIDOf(netip.MustParseAddr("239.1.2.3")), verbs.GIDOf(netip.MustParseAddr("ff12::1")), verbs.GIDOf(netip.MustParseAddr("ff12::2"))}
	for _, g := range groups {
		if err := p.b.AttachMcast(p.qb.Handle, g, 0); err != nil {
			t.Fatal(err)
		}
	}
	p.b.Close()
	for _, g := range groups {
		if n := len(p.a.Device().QP(p.qa.QPN).Members(g)); n != 0 {
			t.Errorf("%v has %d members", g, n)
		}
	}
}
