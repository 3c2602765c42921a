package simnet

import (
	"slices"
	"testing"
)

// TestOrder: a link keeps packets in order whatever the jitter, and the clock never runs back.
func TestOrder(t *testing.T) {
	n := New(1)
	var got []byte
	was := int64(0)
	l := n.Link(Quality{Delay: 100, Jitter: 1000, Rate: 1e9}, func(b []byte, _ bool) {
		if got = append(got, b[0]); n.Now < was {
			t.Fatal("the clock ran back")
		}
		was = n.Now
	})
	for i := range 200 {
		l.Send([]byte{byte(i), 0, 0, 0})
	}
	for n.Step() {
	}
	if len(got) != 200 || !slices.IsSorted(got) {
		t.Fatalf("%d packets, in order: %v", len(got), slices.IsSorted(got))
	}
}

// TestSame: one seed, one run.
func TestSame(t *testing.T) {
	run := func(seed uint64) (got []byte) {
		n := New(seed)
		l := n.Link(Quality{Delay: 10, Loss: 0.2, Double: 0.2, Late: 0.2, LateBy: 50, Corrupt: 0.2}, func(b []byte, _ bool) { got = append(got, b...) })
		for i := range 100 {
			n.At(int64(i), func() { l.Send([]byte{byte(i)}) })
		}
		for n.Step() {
		}
		return got
	}
	if a := run(3); !slices.Equal(a, run(3)) || slices.Equal(a, run(4)) {
		t.Fatal("the seed does not decide")
	}
}

// TestQueue: what the queue has no room for is lost, and a filling queue marks.
func TestQueue(t *testing.T) {
	n := New(1)
	got, marks := 0, 0
	l := n.Link(Quality{Rate: 1e6, Queue: 10_000, Mark: 5000}, func(_ []byte, marked bool) {
		if got++; marked {
			marks++
		}
	})
	for range 100 {
		l.Send(make([]byte, 1000))
	}
	for n.Step() {
	}
	if got != 10 || l.Lost != 90 || marks != 4 {
		t.Fatalf("%d arrived, %d lost, %d marked", got, l.Lost, marks)
	}
}
