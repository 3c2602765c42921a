package transport

import (
	"sync"
	"testing"
	"time"

	"github.com/freeflow-rdma/freeflow/internal/engine"
	"github.com/freeflow-rdma/freeflow/internal/mem"
	"github.com/freeflow-rdma/freeflow/internal/ring"
	"github.com/freeflow-rdma/freeflow/internal/simnet"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
	vt "github.com/freeflow-rdma/freeflow/internal/verbs/verbstest"
	"github.com/freeflow-rdma/freeflow/internal/wire"
)

// pipe is an output whose packets another goroutine takes.
type pipe struct{ c chan Arrived }

func (o pipe) Room() int { return cap(o.c) - len(o.c) - 300 }

func (o pipe) Packet(_ *Path, _ *verbs.QP, h *wire.Header, payload []mem.Span, n int, _ bool) {
	a := Arrived{H: *h}
	if n > 0 {
		a.Payload = make([]byte, n, n+8)
		if _, err := mem.Copy([]mem.Span{mem.Mapped(a.Payload)}, payload, nil); err != nil {
			panic(err)
		}
	}
	o.c <- a
}

// TestTwoWorkers: one goroutine runs each queue pair and another brings its packets, as two workers do; both sides send.
func TestTwoWorkers(t *testing.T) {
	w := newWorld(t, 1, simnet.Quality{}, simnet.Quality{})
	x, y := w.pair(verbs.TypeRC, 63, func(a *verbs.QPAttr) { a.AckTimeout = 20 })
	src, dst := w.buffers(64 << 10)
	ends, lines := [2]*end{x, y}, [2]pipe{{make(chan Arrived, 8192)}, {make(chan Arrived, 8192)}}
	bufs := [2]vt.Buffer{src, dst}
	var stop sync.WaitGroup
	done := make(chan struct{})
	begun := time.Now()
	for i, e := range ends {
		out, in := lines[i], lines[1-i]
		kick := make(chan struct{}, 1)
		stop.Go(func() {
			env := Env{Out: out, Scratch: new(mem.Scratch), Host: w.host[i]}
			for {
				env.Now = int64(time.Since(begun)) + 1
				if e.conn.Run(&env, e.path, engine.Quantum) != engine.More {
					select {
					case <-kick:
					case <-done:
						return
					case <-time.After(100 * time.Microsecond):
					}
				}
			}
		})
		stop.Go(func() {
			env := Env{Out: out, Scratch: new(mem.Scratch), Host: w.host[i]}
			for {
				select {
				case a := <-in.c:
					env.Now = int64(time.Since(begun)) + 1
					if e.conn.Receive(&env, e.path, []Arrived{a}) {
						select {
						case kick <- struct{}{}:
						default:
						}
					}
				case <-done:
					return
				}
			}
		})
	}
	for round := range 100 {
		for i, e := range ends {
			ends[1-i].q.Recv(vt.RR(1, bufs[1-i].SGE(0, 8192)))
			for k, op := range []verbs.Opcode{verbs.OpSend, verbs.OpRDMAWrite, verbs.OpRDMARead, verbs.OpAtomicFetchAdd} {
				wr := vt.WR(uint64(k), op, bufs[i].SGE(16384*(i+1), 8192))
				wr.RemoteAddr, wr.RKey = bufs[1-i].Addr+uint64(16384*(i+1)), uint32(bufs[1-i].RKey)
				if op == verbs.OpAtomicFetchAdd {
					wr.SGE[0].Length = 8
				}
				e.q.Post(wr)
			}
		}
		for i := range ends {
			for range 5 {
				if e := w.cq[i].Poll(); e != (ring.CQE{}) && e.Status != 0 {
					t.Fatalf("round %d: %+v", round, e)
				}
			}
		}
	}
	close(done)
	stop.Wait()
}
