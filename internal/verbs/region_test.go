package verbs

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/freeflow-rdma/freeflow/internal/mem"
)

// TestCovers: no address or length, however great, makes a region cover what it does not.
func TestCovers(t *testing.T) {
	r := region{iova: 0x1000, length: 0x100}
	for _, tt := range []struct {
		addr, n uint64
		ok      bool
	}{
		{0x1000, 0x100, true}, {0x10ff, 1, true}, {0x1100, 0, true}, {0x1000, 0, true},
		{0x1000, 0x101, false}, {0xfff, 1, false}, {0x1100, 1, false}, {0x10ff, 2, false},
		{0x1000, math.MaxUint64, false}, {math.MaxUint64, 2, false}, {0, math.MaxUint64, false}, {0xfff, math.MaxUint64, false},
	} {
		if r.covers(tt.addr, tt.n) != tt.ok {
			t.Errorf("covers(%#x, %#x) is %v", tt.addr, tt.n, !tt.ok)
		}
	}
	high := region{iova: math.MaxUint64 - 0xfff, length: 0xfff}
	if !high.covers(math.MaxUint64-1, 1) || high.covers(math.MaxUint64, 1) || high.covers(math.MaxUint64, 3) {
		t.Error("a region at the end of the address space")
	}
}

// TestSpans: whatever pieces a region has, the spans of a range are that range, in order, mapped where a piece is and only there.
func TestSpans(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 9))
	proc := &Process{}
	for range 500 {
		reg := region{iova: uint64(r.IntN(1 << 20)), base: 0x10000 + uint64(r.IntN(5000)), length: 60_000, mem: &backing{proc: proc}}
		for va := uint64(0x10000); va < 0x10000+65_000; va += pageSize * uint64(1+r.IntN(3)) {
			if r.IntN(3) > 0 {
				reg.mem.pieces = append(reg.mem.pieces, piece{va: va, b: make([]byte, pageSize)})
			}
		}
		off := uint64(r.IntN(60_000))
		n := r.IntN(60_000-int(off)) + 1
		va := reg.base + off
		for _, s := range reg.spans(nil, reg.iova+off, n) {
			checkSpan(t, &reg, s, va)
			va += uint64(s.N)
		}
		if va != reg.base+off+uint64(n) {
			t.Fatalf("spans end at %#x, want %#x", va, reg.base+off+uint64(n))
		}
	}
}

// checkSpan holds one span that should begin at va to the region's pieces.
func checkSpan(t *testing.T, reg *region, s mem.Span, va uint64) {
	t.Helper()
	if s.N <= 0 {
		t.Fatal("an empty span")
	}
	for _, p := range reg.mem.pieces {
		end := p.va + uint64(len(p.b))
		if va >= end || va+uint64(s.N) <= p.va {
			continue
		}
		if want := mem.Mapped(p.b[va-p.va:]); s.P != want.P || va+uint64(s.N) > end {
			t.Fatalf("the span of %d at %#x is not in its piece at %#x", s.N, va, p.va)
		}
		return
	}
	if s.P != nil || s.VA != va || s.Proc != reg.mem.proc {
		t.Fatalf("the span at %#x should be the process'", va)
	}
}

// TestCheckAccess: the kernel's rules.
func TestCheckAccess(t *testing.T) {
	for a, ok := range map[Access]bool{
		0: true, AccessLocalWrite: true, AccessRemoteRead: true, AccessRemoteWrite: false, AccessRemoteAtomic: false,
		AccessRemoteWrite | AccessLocalWrite: true, AccessOnDemand: false, 1 << 15: false, AccessHugeTLB: true, 1 << 20: true, 1 << 30: false,
	} {
		if (checkAccess(a) == nil) != ok {
			t.Errorf("access %#x: %v", uint32(a), checkAccess(a))
		}
	}
}
