package local

import (
	"errors"
	"syscall"
	"testing"

	"github.com/freeflow-rdma/freeflow/internal/ring"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
	vt "github.com/freeflow-rdma/freeflow/internal/verbs/verbstest"
)

const windowAccess = verbs.AccessRemoteWrite | verbs.AccessRemoteRead | verbs.AccessRemoteAtomic

// bind is a bind-window work request; the new key is the old with the next tag, as ibv_inc_rkey makes it.
func bind(id uint64, rkey verbs.RKey, b *vt.Buffer, off, n int, access verbs.Access) (ring.SendWQE, verbs.RKey) {
	next := rkey&^0xff | (rkey+1)&0xff
	w := vt.WR(id, verbs.OpBindMW)
	w.RemoteAddr, w.MWLength, w.MWLKey, w.MWRKey, w.MWNewKey, w.MWAccess = b.Addr+uint64(off), uint64(n), uint32(b.LKey), uint32(rkey), uint32(next), uint32(access)
	return w, next
}

type windowed struct {
	*pair
	src, dst vt.Buffer
}

func window(t *testing.T, typ uint8) (*windowed, verbs.MWInfo) {
	t.Helper()
	p := connect(t, verbs.TypeRC, nil)
	src, dst := buffers(p, 0, 4096)
	mw, err := p.b.AllocMW(p.b.PD, typ)
	if err != nil {
		t.Fatal(err)
	}
	return &windowed{p, src, dst}, mw
}

// via writes 8 bytes through a key and gives the status.
func (p *windowed) via(key verbs.RKey, addr uint64) verbs.WCStatus {
	w := vt.WR(50, verbs.OpRDMAWrite, p.src.SGE(0, 8))
	w.RemoteAddr, w.RKey = addr, uint32(key)
	p.qa.Send(w)
	return verbs.WCStatus(p.ca.Poll().Status)
}

// again brings the pair back to RTS after an error.
func (p *windowed) again() {
	p.qa.To(verbs.StateReset)
	p.qb.To(verbs.StateReset)
	vt.Connect(p.qa, p.qb, nil)
}

// TestWindows: bind, use, rebind or invalidate, and the keys that are stale then.
func TestWindows(t *testing.T) {
	for _, typ := range []uint8{1, 2} {
		p, mw := window(t, typ)
		w, key := bind(1, mw.RKey, &p.dst, 1000, 100, windowAccess|verbs.AccessLocalWrite)
		p.qb.Send(w)
		want(t, p.cb.Poll(), 1, verbs.WCSuccess)
		if st := p.via(key, p.dst.Addr+1092); st != verbs.WCSuccess {
			t.Fatalf("type %d: write in the window: %v", typ, st)
		}
		if err := p.b.DeregMR(p.dst.Handle); !errors.Is(err, syscall.EBUSY) {
			t.Fatalf("deregistered under a window: %v", err)
		}
		for _, bad := range []struct {
			key  verbs.RKey
			addr uint64
		}{{key, p.dst.Addr + 1093}, {key, p.dst.Addr + 999}, {mw.RKey, p.dst.Addr + 1000}} {
			if st := p.via(bad.key, bad.addr); st != verbs.WCRemAccessErr {
				t.Fatalf("type %d: write at %d: %v", typ, bad.addr-p.dst.Addr, st)
			}
			p.again()
			if typ == 2 { // a type 2 window goes with its queue pair's reset
				w, key = bind(1, key, &p.dst, 1000, 100, windowAccess)
				p.qb.Send(w)
				want(t, p.cb.Poll(), 1, verbs.WCSuccess)
			}
		}
		if typ == 1 {
			w, _ = bind(2, key, &p.dst, 0, 0, 0)
		} else {
			w = vt.WR(2, verbs.OpLocalInv)
			w.Imm = uint32(key)
		}
		p.qb.Send(w)
		want(t, p.cb.Poll(), 2, verbs.WCSuccess)
		if st := p.via(key, p.dst.Addr+1000); st != verbs.WCRemAccessErr {
			t.Fatalf("type %d: write through an unbound window: %v", typ, st)
		}
		if err := p.b.DeregMR(p.dst.Handle); err != nil {
			t.Fatal(err)
		}
		if err := p.b.DeallocMW(mw.Handle); err != nil {
			t.Fatal(err)
		}
	}
}

// TestBindErrors: what a bind may not do ends with a memory window bind error.
func TestBindErrors(t *testing.T) {
	tests := []struct {
		name string
		typ  uint8
		mr   verbs.Access
		tune func(*ring.SendWQE)
	}{
		{"region without MW_BIND", 1, vt.AllAccess &^ verbs.AccessMWBind, func(*ring.SendWQE) {}},
		{"remote write on a read-only region", 2, verbs.AccessMWBind | verbs.AccessRemoteRead, func(*ring.SendWQE) {}},
		{"wrong LKey", 1, vt.AllAccess, func(w *ring.SendWQE) { w.MWLKey++ }},
		{"wrong window key", 1, vt.AllAccess, func(w *ring.SendWQE) { w.MWRKey++ }},
		{"new key of another index", 2, vt.AllAccess, func(w *ring.SendWQE) { w.MWNewKey += 256 }},
		{"beyond the region", 1, vt.AllAccess, func(w *ring.SendWQE) { w.MWLength = 5000 }},
		{"length that wraps", 1, vt.AllAccess, func(w *ring.SendWQE) { w.MWLength = ^uint64(0) }},
		{"before the region", 2, vt.AllAccess, func(w *ring.SendWQE) { w.RemoteAddr-- }},
		{"type 1, zero based", 1, vt.AllAccess, func(w *ring.SendWQE) { w.MWAccess |= uint32(verbs.AccessZeroBased) }},
		{"type 2, length 0", 2, vt.AllAccess, func(w *ring.SendWQE) { w.MWLength = 0 }},
		{"unknown right", 2, vt.AllAccess, func(w *ring.SendWQE) { w.MWAccess |= 1 << 15 }},
	}
	for _, tt := range tests {
		p, mw := window(t, tt.typ)
		b := p.b.Private(4096, tt.mr)
		w, _ := bind(1, mw.RKey, &b, 0, 4096, windowAccess)
		tt.tune(&w)
		p.qb.Send(w)
		if e := p.cb.Poll(); e.Status != uint32(verbs.WCMWBindErr) {
			t.Errorf("%s: status %d", tt.name, e.Status)
		}
		p.qb.WantState(verbs.StateError)
	}
}

// TestZeroBased: a zero-based region or window begins at address 0.
func TestZeroBased(t *testing.T) {
	p, mw := window(t, 2)
	w, key := bind(1, mw.RKey, &p.dst, 64, 64, windowAccess|verbs.AccessZeroBased)
	p.qb.Send(w)
	want(t, p.cb.Poll(), 1, verbs.WCSuccess)
	fill(p.src.B, 4)
	if st := p.via(key, 3); st != verbs.WCSuccess || p.dst.B[67] != p.src.B[0] || p.dst.B[74] != p.src.B[7] {
		t.Fatalf("write at 3: %v", st)
	}
	z := p.b.Private(4096, vt.AllAccess|verbs.AccessZeroBased)
	if st := p.via(z.RKey, 8); st != verbs.WCSuccess || z.B[8] != p.src.B[0] {
		t.Fatalf("zero-based region: %v", st)
	}
	if st := p.via(z.RKey, 4089); st != verbs.WCRemAccessErr {
		t.Fatalf("beyond a zero-based region: %v", st)
	}
}

// TestTypeTwoBelongsToItsQueuePair: another queue pair of the same domain cannot use or invalidate the window, a bound one cannot be bound
// again, and a peer's SEND with invalidate ends it.
func TestTypeTwoBelongsToItsQueuePair(t *testing.T) {
	p, mw := window(t, 2)
	qa2, qb2 := p.a.QP(verbs.TypeRC, p.ca, 8), p.b.QP(verbs.TypeRC, p.cb, 8)
	vt.Connect(qa2, qb2, nil)
	w, key := bind(1, mw.RKey, &p.dst, 0, 100, windowAccess)
	p.qb.Send(w)
	want(t, p.cb.Poll(), 1, verbs.WCSuccess)

	x := vt.WR(3, verbs.OpRDMAWrite, p.src.SGE(0, 8))
	x.RemoteAddr, x.RKey = p.dst.Addr, uint32(key)
	qa2.Send(x)
	want(t, p.ca.Poll(), 3, verbs.WCRemAccessErr)

	p.qb.Recv(vt.RR(4, p.dst.SGE(2000, 8)))
	inv := vt.WR(5, verbs.OpSendInv, p.src.SGE(0, 8))
	inv.Imm = uint32(key)
	p.qa.Send(inv)
	e := p.cb.Poll()
	want(t, e, 4, verbs.WCSuccess)
	if e.WCFlags != uint32(verbs.WCWithInv) || e.Imm != uint32(key) {
		t.Errorf("receive of an invalidate: %+v", e)
	}
	want(t, p.ca.Poll(), 5, verbs.WCSuccess)
	if st := p.via(key, p.dst.Addr); st != verbs.WCRemAccessErr {
		t.Fatalf("write after invalidate: %v", st)
	}

	p.again()
	w, key = bind(6, key, &p.dst, 0, 100, windowAccess)
	p.qb.Send(w)
	want(t, p.cb.Poll(), 6, verbs.WCSuccess)
	w, _ = bind(7, key, &p.dst, 0, 100, windowAccess)
	p.qb.Send(w)
	want(t, p.cb.Poll(), 7, verbs.WCMWBindErr)
}

// TestWindowIsNoLKey: a window's key names memory for peers only, and a region without remote rights has no RKey.
func TestWindowIsNoLKey(t *testing.T) {
	p, mw := window(t, 1)
	w, key := bind(1, mw.RKey, &p.dst, 0, 100, windowAccess)
	p.qb.Send(w)
	want(t, p.cb.Poll(), 1, verbs.WCSuccess)
	p.qb.Send(vt.WR(2, verbs.OpSend, ring.SGE{Addr: p.dst.Addr, Length: 8, LKey: uint32(key)}))
	want(t, p.cb.Poll(), 2, verbs.WCLocProtErr)
	p.again()
	local := p.b.Private(64, verbs.AccessLocalWrite)
	if st := p.via(local.RKey, local.Addr); st != verbs.WCRemAccessErr {
		t.Fatalf("write to a region without rights: %v", st)
	}
}

// TestPDMismatch: a key of the same context but another protection domain is no key, for SGEs and for peers.
func TestPDMismatch(t *testing.T) {
	p, _ := window(t, 1)
	first := p.b.PD
	other, err := p.b.AllocPD()
	if err != nil {
		t.Fatal(err)
	}
	p.b.PD = other
	b := p.b.Private(64, vt.AllAccess)
	p.b.PD = first
	if st := p.via(b.RKey, b.Addr); st != verbs.WCRemAccessErr {
		t.Fatalf("write through another domain: %v", st)
	}
	p.again()
	p.qb.Send(vt.WR(2, verbs.OpSend, b.SGE(0, 8)))
	want(t, p.cb.Poll(), 2, verbs.WCLocProtErr)
	if err := p.b.DeallocPD(other); !errors.Is(err, syscall.EBUSY) {
		t.Errorf("domain with a region ended: %v", err)
	}
}

// TestRevoke: a revoked registration is out of peers' reach at once, by its key and by every window, and cannot be given to one again; its
// program uses it on.
func TestRevoke(t *testing.T) {
	p, mw := window(t, 2)
	w, key := bind(1, mw.RKey, &p.dst, 0, 100, windowAccess)
	p.qb.Send(w)
	want(t, p.cb.Poll(), 1, verbs.WCSuccess)
	dev := p.b.Device()
	if err := dev.RevokeMR(p.dst.RKey + 1); !errors.Is(err, syscall.ENOENT) {
		t.Fatalf("revoked a key that is none: %v", err)
	}
	if err := dev.RevokeMR(p.dst.RKey); err != nil {
		t.Fatal(err)
	}
	for _, key := range []verbs.RKey{p.dst.RKey, key} {
		if st := p.via(key, p.dst.Addr); st != verbs.WCRemAccessErr {
			t.Errorf("write by key %#x: %v", key, st)
		}
		p.again()
	}
	p.qb.Recv(vt.RR(7, p.dst.SGE(0, 8)))
	p.qa.Send(vt.WR(8, verbs.OpSend, p.src.SGE(0, 8)))
	want(t, p.ca.Poll(), 8, verbs.WCSuccess)
	want(t, p.cb.Poll(), 7, verbs.WCSuccess)
	w, _ = bind(9, key, &p.dst, 0, 100, windowAccess)
	p.qb.Send(w)
	want(t, p.cb.Poll(), 9, verbs.WCMWBindErr)
}
