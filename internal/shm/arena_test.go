package shm

import (
	"math/rand/v2"
	"slices"
	"syscall"
	"testing"
)

func newArena(t *testing.T) *Arena {
	t.Helper()
	a, err := NewArena("test", 1<<20, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Close)
	return a
}

// TestArenaKeepsPiecesApart allocates and frees at random and holds the arena against a model of who owns which byte.
func TestArenaKeepsPiecesApart(t *testing.T) {
	a := newArena(t)
	rng := rand.New(rand.NewPCG(1, 2))
	type piece struct{ off, n uint64 }
	var live []piece
	for step := range 3000 {
		if len(live) > 0 && rng.IntN(2) == 0 {
			i := rng.IntN(len(live))
			p := live[i]
			b, ok := a.At(p.off, p.n)
			if !ok || b[0] != byte(p.off>>12) || b[p.n-1] != byte(p.off>>12) {
				t.Fatalf("step %d: piece %#x lost its bytes", step, p.off)
			}
			if err := a.Free(p.off, p.n); err != nil {
				t.Fatalf("step %d: free: %v", step, err)
			}
			live = slices.Delete(live, i, i+1)
			continue
		}
		n := PageUp(1 + rng.Uint64N(600<<10))
		off, err := a.Alloc(n)
		if err != nil {
			t.Fatal(err)
		}
		for _, q := range live {
			if off < q.off+q.n && q.off < off+n {
				t.Fatalf("step %d: [%#x,+%#x) overlaps [%#x,+%#x)", step, off, n, q.off, q.n)
			}
		}
		b, _ := a.At(off, n)
		if b[0] != 0 || b[n-1] != 0 {
			t.Fatalf("step %d: piece is not zeroed", step)
		}
		b[0], b[n-1] = byte(off>>12), byte(off>>12)
		live = append(live, piece{off, n})
	}
	for _, p := range live {
		if err := a.Free(p.off, p.n); err != nil {
			t.Fatal(err)
		}
	}
	if a.Used() != 0 {
		t.Fatalf("%d bytes still in use", a.Used())
	}
}

func TestArenaRefusesWhatItDidNotGive(t *testing.T) {
	a := newArena(t)
	off, err := a.Alloc(4 * PageSize)
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range [][2]uint64{
		{off + 8*PageSize, PageSize}, {off, 0}, {off + 1, PageSize}, {off, 1 << 40},
		{^uint64(0) - PageSize + 1, PageSize}, {off + 3*PageSize, 2 * PageSize},
	} {
		if err := a.Free(bad[0], bad[1]); err != syscall.EINVAL {
			t.Errorf("Free(%#x, %#x) = %v, want EINVAL", bad[0], bad[1], err)
		}
		if _, ok := a.At(bad[0], bad[1]); ok && bad[0]%PageSize == 0 {
			t.Errorf("At(%#x, %#x) succeeded", bad[0], bad[1])
		}
	}
	if err := a.Free(off+PageSize, PageSize); err != nil {
		t.Errorf("a part of a piece: %v", err)
	}
	if err := a.Free(off, 4*PageSize); err != syscall.EINVAL {
		t.Errorf("freeing a piece with a hole = %v, want EINVAL", err)
	}
}

func TestArenaLimit(t *testing.T) {
	a, err := NewArena("test", 1<<20, 2<<20)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if _, err := a.Alloc(2 << 20); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Alloc(1); err != syscall.ENOMEM {
		t.Fatalf("over the limit: %v, want ENOMEM", err)
	}
}

// TestSealedFile: a container that has the file cannot shrink it.
func TestSealedFile(t *testing.T) {
	f, err := Create("test", PageSize)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(0); err == nil {
		t.Fatal("the file could be shrunk")
	}
}
