package verbs_test

import (
	"encoding/binary"
	"testing"

	"github.com/freeflow-rdma/freeflow/internal/engine"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
	vt "github.com/freeflow-rdma/freeflow/internal/verbs/verbstest"
)

// idle carries nothing: the test does.
type idle struct{}

func (idle) Run(*engine.Worker, *verbs.QP, int) engine.Verdict { return engine.Idle }
func (idle) Open(*verbs.QP)                                    {}
func (idle) Reset(*verbs.QP)                                   {}

// TestExactlyARing: a program moves its index on while its work is taken, so that exactly a ring of work requests, which is also a
// batch, completes before anything is shown. Each completion is there, once, and the next batch starts anew.
func TestExactlyARing(t *testing.T) {
	nic := vt.New(t, idle{})
	p := nic.Program(t)
	cq := p.CQ(100)
	q := p.QP(verbs.TypeRC, cq, verbs.MaxBurst-1)
	qp := nic.Dev.QP(q.QPN)
	sq, _ := q.Bytes()
	at := uint32(0)
	finish := func(n uint32) {
		at = (at + n) % verbs.MaxBurst
		binary.LittleEndian.PutUint32(sq[128:], at) // the producer index
		for i := range n {
			if ok, _ := qp.Next(); !ok {
				t.Fatalf("%d of %d work requests", i, n)
			}
			qp.Complete(verbs.WCWRFlushErr)
		}
	}
	for range 3 {
		finish(verbs.MaxBurst / 2)
		finish(verbs.MaxBurst / 2)
		qp.Publish()
		for range verbs.MaxBurst {
			cq.Poll()
		}
	}
}
