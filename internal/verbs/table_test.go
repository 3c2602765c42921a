package verbs

import (
	"math/rand/v2"
	"sync"
	"testing"
)

// TestTable: an index is one object's until it is released, a freed one stays unused for long, and the limit holds.
func TestTable(t *testing.T) {
	tab := newTable[int](3, 10_000)
	held := map[uint32]bool{}
	r := rand.New(rand.NewPCG(1, 1))
	for range 200_000 {
		if len(held) > 0 && r.IntN(2) == 0 {
			for i := range held {
				tab.release(i)
				if tab.get(i) != nil {
					t.Fatal("a released index shows something")
				}
				delete(held, i)
				break
			}
			continue
		}
		v := new(int)
		var at uint32
		if _, err := tab.add(func(i uint32) *int { at = i; return v }); err != nil {
			t.Fatal(err)
		}
		if held[at] || at < 3 || at >= 10_000 || tab.get(at) != v {
			t.Fatalf("index %d", at)
		}
		held[at] = true
	}
	if tab.len() != len(held) {
		t.Errorf("%d indices taken, want %d", tab.len(), len(held))
	}
	for tab.len() < 10_000-3 {
		if _, err := tab.reserve(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := tab.reserve(); err == nil {
		t.Error("an index beyond the limit")
	}
	for _, i := range []uint32{0, 10_000, 1 << 24, 1<<32 - 1} {
		if tab.get(i) != nil {
			t.Errorf("index %d shows something", i)
		}
	}
}

// TestTableIndexReuse: the index that was released last is the last to come back.
func TestTableIndexReuse(t *testing.T) {
	tab := newTable[int](0, 1<<20)
	i, _ := tab.reserve()
	tab.release(i)
	for range freeDelay {
		j, _ := tab.reserve()
		if j == i {
			t.Fatal("a stale index came back at once")
		}
		tab.release(j)
	}
}

// TestTableConcurrent is for the race detector: readers beside writers.
func TestTableConcurrent(t *testing.T) {
	tab := newTable[int](0, 1<<16)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 2000 {
				var at uint32
				if _, err := tab.add(func(i uint32) *int { at = i; return new(int) }); err != nil {
					t.Error(err)
				}
				tab.get(at)
				tab.release(at)
			}
		})
	}
	wg.Go(func() {
		for range 20 {
			tab.each(func(uint32, *int) {})
		}
	})
	wg.Wait()
}
