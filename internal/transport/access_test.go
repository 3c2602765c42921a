package transport

import (
	"testing"

	"github.com/freeflow-rdma/freeflow/internal/simnet"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
	vt "github.com/freeflow-rdma/freeflow/internal/verbs/verbstest"
)

// TestSevered: between hosts a connection that is not allowed any more ends at both ends, and what still arrives of it is dropped; a new one
// carries nothing until its retries have run out.
func TestSevered(t *testing.T) {
	for _, typ := range []verbs.QPType{verbs.TypeRC, verbs.TypeUC} {
		w := newWorld(t, 1, simnet.Quality{Delay: 20_000}, simnet.Quality{Delay: 20_000})
		allowed := true
		dev := w.prog[0].Device()
		dev.SetAccess(func(*verbs.Container, int, verbs.GID) bool { return allowed })
		a, b := w.pair(typ, 63, nil)
		src, dst := w.buffers(1 << 20)
		wr := vt.WR(1, verbs.OpRDMAWrite, src.SGE(0, 1<<20))
		wr.RemoteAddr, wr.RKey = dst.Addr, uint32(dst.RKey)
		a.q.Post(wr)
		wr.WRID = 2
		a.q.Post(wr)
		a.run()
		w.settle(50_000)
		allowed = false
		dev.Recheck()
		a.run()
		w.want(0, 1, verbs.WCRetryExcErr)
		w.want(0, 2, verbs.WCWRFlushErr)
		b.run()
		w.settle(1_000_000)
		if a.qp.State() != verbs.StateError || b.qp.State() != verbs.StateError || b.qp.Container().Refused() < 2 {
			t.Errorf("states %v, %v; refused %d", a.qp.State(), b.qp.State(), b.qp.Container().Refused())
		}
		c, _ := w.pair(typ, 63, nil)
		w.link[0].Sent = 0
		wr.WRID = 3
		c.q.Post(wr)
		c.run()
		w.settle(1_000_000_000)
		if typ == verbs.TypeRC {
			w.want(0, 3, verbs.WCRetryExcErr)
		} else {
			w.want(0, 3, verbs.WCSuccess) // UC does not notice
		}
		if w.link[0].Sent != 0 {
			t.Errorf("%d packets left", w.link[0].Sent)
		}
	}
}

// TestUnheard: a datagram from one whom the container may not talk to is dropped where it arrives.
func TestUnheard(t *testing.T) {
	w := newWorld(t, 1, simnet.Quality{}, simnet.Quality{})
	w.prog[0].Device().SetAccess(func(_ *verbs.Container, _ int, g verbs.GID) bool { return g != verbs.GID{} })
	a, b := w.end(0, w.prog[0].QP(verbs.TypeUD, w.cq[0], 63)), w.end(1, w.prog[1].QP(verbs.TypeUD, w.cq[1], 63))
	for _, e := range []*end{a, b} {
		e.q.Ready(nil, nil)
		e.q.Start(nil)
	}
	src, dst := w.buffers(4096)
	b.q.Recv(vt.RR(2, dst.SGE(0, 1040)))
	wr := vt.WR(1, verbs.OpSend, src.SGE(0, 1000))
	wr.RemoteQKey, wr.RemoteQPN = vt.QKey, uint32(b.q.QPN)
	a.q.Post(wr)
	a.qp.Next()
	a.qp.Send.Length = 1000
	SendDatagram(&a.env, a.path, a.qp) // the world's datagrams come from no address
	w.settle(1000)
	if n := b.qp.Container().Refused(); n != 1 || b.qp.Stats.ReceivedMessages.Load() != 0 {
		t.Errorf("refused %d", n)
	}
}
