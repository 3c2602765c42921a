package transport

import (
	"fmt"
	"testing"
	"time"

	"github.com/freeflow-rdma/freeflow/internal/mem"
	"github.com/freeflow-rdma/freeflow/internal/simnet"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
	vt "github.com/freeflow-rdma/freeflow/internal/verbs/verbstest"
	"github.com/freeflow-rdma/freeflow/internal/wire"
)

// bin is an output that keeps headers, and payloads where they lie, as a batch of iovecs does.
type bin struct {
	pkts []Arrived
	n    int
	keep bool
}

func (o *bin) Packet(_ *Path, _ *verbs.QP, h *wire.Header, payload []mem.Span, n int, _ bool) {
	if o.n++; o.keep {
		a := Arrived{H: *h}
		if n > 0 {
			a.Payload = bytesOf(payload[0], n)
		}
		o.pkts = append(o.pkts, a)
	}
}

func (o *bin) Room() int { return 256 }

// BenchmarkPacket is what a packet costs in Run, without the output, and in Receive, with the copy.
func BenchmarkPacket(b *testing.B) {
	for _, op := range []verbs.Opcode{verbs.OpSend, verbs.OpRDMAWrite, verbs.OpRDMARead} {
		for _, size := range []int{64, 4096, 65536} {
			b.Run(fmt.Sprintf("op%d/%d", op, size), func(b *testing.B) { packets(b, op, size) })
		}
	}
}

func packets(b *testing.B, op verbs.Opcode, size int) {
	w := newWorld(b, 1, simnet.Quality{}, simnet.Quality{})
	x, y := w.pair(verbs.TypeRC, 63, func(a *verbs.QPAttr) { a.PathMTU = 5 })
	src, dst := w.buffers(1 << 20)
	outs := [2]*bin{{keep: true}, {keep: true}}
	x.env.Out, y.env.Out = outs[0], outs[1]
	batch := min(16, 1<<20/size/16*16)
	wr := vt.WR(1, op, src.SGE(0, size))
	wr.RemoteAddr, wr.RKey = dst.Addr, uint32(dst.RKey)
	var run, recv time.Duration
	sent := 0
	b.ReportAllocs()
	for i := 0; i < b.N; i += batch {
		for range batch {
			if op == verbs.OpSend {
				y.q.Recv(vt.RR(2, dst.SGE(0, size)))
			}
			x.q.Post(wr)
		}
		for range 100 {
			x.env.Now += 1000
			y.env.Now += 1000
			t := time.Now()
			x.conn.Run(&x.env, x.path, 1<<30)
			run += time.Since(t)
			sent += len(outs[0].pkts)
			if len(outs[0].pkts) == 0 {
				break
			}
			t = time.Now()
			y.conn.Receive(&y.env, y.path, outs[0].pkts)
			recv += time.Since(t)
			outs[0].pkts = outs[0].pkts[:0]
			for len(outs[1].pkts) > 0 || y.conn.busy.Load() {
				sent += len(outs[1].pkts)
				t = time.Now()
				x.conn.Receive(&x.env, x.path, outs[1].pkts)
				run += time.Since(t)
				outs[1].pkts = outs[1].pkts[:0]
				t = time.Now()
				y.conn.Run(&y.env, y.path, 1<<30)
				recv += time.Since(t)
			}
		}
		for range batch {
			if e := w.cq[0].Poll(); e.Status != 0 {
				b.Fatalf("%+v", e)
			}
			if op == verbs.OpSend {
				w.cq[1].Poll()
			}
		}
	}
	b.ReportMetric(float64(run.Nanoseconds())/float64(sent), "ns/pkt-requester")
	b.ReportMetric(float64(recv.Nanoseconds())/float64(sent), "ns/pkt-responder")
}
