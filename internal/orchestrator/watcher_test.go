package orchestrator

import (
	"fmt"
	"testing"

	pb "github.com/freeflow-rdma/freeflow/api/freeflow/v1"
)

func anything(*pb.Change) bool { return true }

// names are what a batch is about, in its order.
func names(b batch) (list []string) {
	for _, c := range b.changes {
		list = append(list, refOf(c).name)
	}
	return list
}

func TestWatchGoesOnWhereItWas(t *testing.T) {
	w := newWorld(t, 2)
	w.keep(w.host("a"))
	first := w.stores[0].mirror.Watch(w.ctx, 0, ofKind(pb.Kind_KIND_CONTAINER))
	b, err := first.Next(w.ctx)
	if err != nil || !b.snapshot || len(b.changes) != 0 {
		t.Fatalf("begins with %v, %v", b, err)
	}
	w.register("a", "x")
	if b, err = first.Next(w.ctx); err != nil || b.snapshot || fmt.Sprint(names(b)) != "[x]" {
		t.Fatalf("then %v, %v", b, err)
	}
	rev := b.rev
	for _, name := range []string{"y", "z"} {
		w.register("a", name)
	}
	if err := w.stores[0].Unregister(w.ctx, "a", def("y"), "i"); err != nil {
		t.Fatal(err)
	}
	w.current()
	for i, s := range w.stores { // also at the one that it has never asked before
		again := s.mirror.Watch(w.ctx, rev, ofKind(pb.Kind_KIND_CONTAINER))
		b, err := again.Next(w.ctx)
		if err != nil || b.snapshot || fmt.Sprint(names(b)) != "[z y]" || b.changes[1].GetContainer().State != pb.Container_STATE_STOPPED {
			t.Errorf("orchestrator %d goes on with %v, %v", i, b, err)
		}
	}
	// What is no longer known is told as a whole, and so is everything after the state was loaded anew.
	old := w.stores[0].mirror.Watch(w.ctx, 1, anything)
	if b, err := old.Next(w.ctx); err != nil || !b.snapshot || len(b.changes) != 5 {
		t.Errorf("after long: %v, %v", names(b), err)
	}
	if err := w.stores[0].mirror.load(w.ctx); err != nil {
		t.Fatal(err)
	}
	if b, err := old.Next(w.ctx); err != nil || !b.snapshot || len(b.changes) != 5 {
		t.Errorf("after a load: %v, %v", names(b), err)
	}
}
