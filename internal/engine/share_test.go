package engine

import "testing"

// TestShare: a worker with many more items than another gives away half of the difference, those that have waited longest.
func TestShare(t *testing.T) {
	for _, c := range []struct{ mine, other, given int }{
		{0, 0, 0},
		{shareFrom - 1, 0, 0},
		{shareFrom, 0, shareFrom / 2},
		{101, 1, 50},
		{101, 100, 0},
		{101, 500, 0},
	} {
		e := &Engine{}
		e.fair.init(2)
		a, b := &Worker{e: e, urgent: true}, &Worker{e: e, urgent: true}
		a.sched, b.sched = &shares{fair: &e.fair}, &shares{fair: &e.fair, slot: 1}
		e.cores = []*Worker{a, b}
		if err := b.open(); err != nil {
			t.Fatal(err)
		}
		items := make([]Item, c.mine)
		for i := range items {
			a.sched.Push(&items[i], 0)
		}
		b.load.Store(int32(c.other))
		a.share()
		if len(b.inbox) != c.given || a.sched.Len() != c.mine-c.given || b.mail.Load() != (c.given > 0) {
			t.Errorf("%d beside %d: gave %d, %d left, want %d given", c.mine, c.other, len(b.inbox), a.sched.Len(), c.given)
		}
		for i, it := range b.inbox {
			if it != &items[i] {
				t.Errorf("%d beside %d: item %d given out of turn", c.mine, c.other, i)
			}
		}
		if int(a.load.Load()) != c.mine-c.given || int(b.load.Load()) != c.other+c.given {
			t.Errorf("%d beside %d: loads %d, %d", c.mine, c.other, a.load.Load(), b.load.Load())
		}
		b.takeMail()
		if b.sched.Len() != c.given {
			t.Errorf("%d beside %d: %d arrived", c.mine, c.other, b.sched.Len())
		}
		b.close()
	}
}
