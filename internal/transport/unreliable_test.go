package transport

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/freeflow-rdma/freeflow/internal/simnet"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
	vt "github.com/freeflow-rdma/freeflow/internal/verbs/verbstest"
	"github.com/freeflow-rdma/freeflow/internal/wire"
)

// TestAssuredUC: between routers a lossy network loses none of UC's messages, whose receives are there.
func TestAssuredUC(t *testing.T) {
	for seed := range uint64(10) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			bad := simnet.Quality{Delay: 10_000, Jitter: 5_000, Loss: 0.03, Double: 0.02, Late: 0.03, LateBy: 50_000, Corrupt: 0.01}
			w := newWorld(t, seed, bad, bad)
			a, b := w.pair(verbs.TypeUC, 63, func(x *verbs.QPAttr) {
				x.PathMTU, x.SQPSN, x.RQPSN = 2, 0xfffff8, 0xfffff8
				if seed%2 == 1 {
					x.RQPSN = 77 // the programs need not agree
				}
			})
			const n, size = 40, 5000
			src, dst := w.buffers(n * size)
			fill(src.B, seed)
			for i := range n {
				id := uint64(i)
				wr := vt.WR(id, verbs.OpSend, src.SGE(i*size, size-i))
				if i%3 == 0 {
					wr.Opcode, wr.RemoteAddr, wr.RKey = uint32(verbs.OpRDMAWriteImm), dst.Addr+uint64(i*size), uint32(dst.RKey)
				}
				b.q.Recv(vt.RR(id, dst.SGE(i*size, size)))
				a.q.Post(wr)
			}
			a.run()
			w.settle(2_000_000_000)
			for i := range n {
				w.want(0, uint64(i), verbs.WCSuccess)
				w.want(1, uint64(i), verbs.WCSuccess)
				if at := i * size; !bytes.Equal(src.B[at:at+size-i], dst.B[at:at+size-i]) {
					t.Fatalf("message %d differs", i)
				}
			}
		})
	}
}

// TestAssuredUCNobodyListens: a peer that posts no receive, or does not answer at all, costs the sender messages and time, never an error.
func TestAssuredUCNobodyListens(t *testing.T) {
	t.Run("no receive", func(t *testing.T) {
		w := newWorld(t, 1, near, near)
		a, b := w.pair(verbs.TypeUC, 63, nil)
		src, dst := w.buffers(4096)
		for i := range 3 {
			a.q.Post(vt.WR(uint64(i), verbs.OpSend, src.SGE(0, 4096)))
		}
		a.run()
		w.settle(200_000_000)
		for i := range 3 {
			w.want(0, uint64(i), verbs.WCSuccess)
		}
		if n := w.host[1].Counters.DropNoRecv.Load(); n != 3 {
			t.Errorf("%d messages are counted as dropped, want 3", n)
		}
		b.q.Recv(vt.RR(9, dst.SGE(0, 4096)))
		a.q.Post(vt.WR(4, verbs.OpSend, src.SGE(0, 4096)))
		a.run()
		w.settle(10_000_000)
		w.want(0, 4, verbs.WCSuccess)
		w.want(1, 9, verbs.WCSuccess)
	})
	t.Run("late receive", func(t *testing.T) {
		w := newWorld(t, 1, near, near)
		a, b := w.pair(verbs.TypeUC, 63, nil)
		src, dst := w.buffers(4096)
		post := func(id uint64) {
			a.q.Post(vt.WR(id, verbs.OpSend, src.SGE(0, 4096)))
			a.run()
		}
		b.q.Recv(vt.RR(100, dst.SGE(0, 4096)))
		post(0)
		w.settle(10_000_000)
		w.want(0, 0, verbs.WCSuccess)
		w.want(1, 100, verbs.WCSuccess)

		// The program is off its core for a while: nothing is lost.
		post(1)
		w.settle(verbs.OffCoreTime / 2)
		b.q.Recv(vt.RR(101, dst.SGE(0, 4096)))
		w.settle(10_000_000)
		w.want(0, 1, verbs.WCSuccess)
		w.want(1, 101, verbs.WCSuccess)

		// It stays away: the first message that is lost costs a long wait, those behind it do not.
		for i := range uint64(4) {
			post(2 + i)
		}
		w.settle(verbs.OffCoreTime + 5*lookLast)
		for i := range uint64(4) {
			w.want(0, 2+i, verbs.WCSuccess)
		}
		if n := w.host[1].Counters.DropNoRecv.Load(); n != 4 {
			t.Errorf("%d messages are counted as dropped, want 4", n)
		}
	})
	t.Run("no answer", func(t *testing.T) {
		dead := near
		dead.Loss = 1
		w := newWorld(t, 1, dead, near)
		a, _ := w.pair(verbs.TypeUC, 63, nil)
		src, _ := w.buffers(4096)
		a.q.Post(vt.WR(1, verbs.OpSend, src.SGE(0, 4096)))
		a.run()
		w.settle(2 * goneDefault)
		w.want(0, 1, verbs.WCSuccess)
		if st := a.qp.State(); st != verbs.StateRTS {
			t.Errorf("the queue pair is in %v", st)
		}
	})
}

// TestPause: datagrams that pile up are told of, and their sender pauses: longer if it is told again at once, and not without end.
func TestPause(t *testing.T) {
	d := newDatagrams(t)
	cnps := 0
	d.trace = func(from int, h *wire.Header, _ int, _ string) {
		if from == 1 && h.Opcode == wire.OpCNP && h.DestQP == uint32(d.a.q.QPN) {
			cnps++
		}
	}
	for range crowdedAt + 2 {
		d.send(verbs.OpSend, 100, vt.QKey)
	}
	if cnps == 0 {
		t.Fatal("nobody was told")
	}
	c, now := d.a.conn, d.net.Now
	if c.pause.until.Load() == 0 {
		t.Fatal("there was no pause")
	}
	c.pause = pause{}
	for range 100 {
		for c.PausedUntil(now) == 0 {
			c.pause.ask(now)
			now += 1000
		}
		now = c.PausedUntil(now)
	}
	if step := c.pause.step.Load(); step != pauseLast {
		t.Errorf("the pause is %d ns, want %d", step, int64(pauseLast))
	}
	c.pause.ask(now + 100*pauseLast)
	if step := c.pause.step.Load(); step != pauseFirst {
		t.Errorf("after a long time without, the pause is %d ns, want %d", step, int64(pauseFirst))
	}
}
