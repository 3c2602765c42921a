package engine

import (
	"fmt"
	"testing"
)

// spinner always has more to do, and does nothing.
type spinner struct{ Item }

func (s *spinner) Run(w *Worker, budget int) Verdict {
	w.Spend(budget)
	return More
}

// BenchmarkTurn is what a turn costs beside what the item does, with items that take turns, with and without shares.
func BenchmarkTurn(b *testing.B) {
	for _, on := range []bool{false, true} {
		for _, n := range []int{1, 64} {
			b.Run(fmt.Sprintf("shares=%v/items=%d", on, n), func(b *testing.B) {
				e := &Engine{}
				e.fair.init(2)
				e.fair.on.Store(on)
				w := &Worker{e: e, sched: &shares{fair: &e.fair}}
				tenant := NewGroup(nil)
				for range n {
					s := &spinner{}
					s.Init(s, nil)
					s.In(NewGroup(tenant))
					w.sched.Push(&s.Item, 0)
				}
				b.ReportAllocs()
				b.ResetTimer()
				for int(w.Turns.Load()) < b.N {
					w.now = nanotime()
					w.runTurns()
				}
			})
		}
	}
}
