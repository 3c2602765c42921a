package wire_test

import (
	"math/rand/v2"
	"testing"

	"github.com/freeflow-rdma/freeflow/internal/wire"
)

func TestPSN(t *testing.T) {
	const top = wire.PSNMask
	for _, c := range []struct {
		p, q wire.PSN
		diff int32
	}{
		{0, 0, 0}, {1, 0, 1}, {0, 1, -1}, {0, top, 1}, {top, 0, -1}, {5, top - 4, 10}, {1<<23 - 1, 0, 1<<23 - 1},
		{1 << 23, 0, -1 << 23}, {0, 1 << 23, -1 << 23}, {1<<23 + 1, 0, -1<<23 + 1},
	} {
		if got := c.p.Diff(c.q); got != c.diff {
			t.Errorf("%#x - %#x = %d, want %d", c.p, c.q, got, c.diff)
		}
		if got := c.p.Less(c.q); got != (c.diff < 0) {
			t.Errorf("%#x < %#x: %v", c.p, c.q, got)
		}
	}
}

// TestPSNProperties: whatever p and n are, going n on and back leads to p, and the difference is n.
func TestPSNProperties(t *testing.T) {
	rnd := rand.New(rand.NewPCG(7, 8))
	for range 100_000 {
		p, n := wire.PSN(rnd.Uint32N(1<<24)), rnd.IntN(1<<24)-1<<23
		q := p.Add(n)
		switch {
		case q > wire.PSNMask:
			t.Fatalf("%#x + %d = %#x", p, n, q)
		case q.Add(-n) != p:
			t.Fatalf("%#x + %d - %d = %#x", p, n, n, q.Add(-n))
		case q.Diff(p) != int32(n):
			t.Fatalf("%#x + %d is %d after it", p, n, q.Diff(p))
		case n != -1<<23 && n != 0 && q.Less(p) == p.Less(q):
			t.Fatalf("neither or both of %#x, %#x come first", p, q)
		}
	}
}
