package local

import (
	"fmt"
	"testing"
	"time"

	"github.com/freeflow-rdma/freeflow/internal/engine"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
	vt "github.com/freeflow-rdma/freeflow/internal/verbs/verbstest"
)

// BenchmarkMessage is what one message costs a worker, without wake-ups: the carrier is run by hand on a batch.
func BenchmarkMessage(b *testing.B) {
	for _, op := range []verbs.Opcode{verbs.OpSend, verbs.OpRDMAWrite} {
		for _, size := range []int{64, 2048, 65536} {
			b.Run(fmt.Sprintf("op%d/%d", op, size), func(b *testing.B) {
				p := connect(b, verbs.TypeRC, nil)
				src, dst := buffers(p, 0, size)
				qp := p.a.Device().QP(p.qa.QPN)
				w := new(engine.Worker)
				const batch = 32
				ws := vt.WR(1, op, src.SGE(0, size))
				ws.RemoteAddr, ws.RKey = dst.Addr, uint32(dst.RKey)
				b.ReportAllocs()
				var spent time.Duration
				for i := 0; i < b.N; i += batch {
					for range batch {
						if op == verbs.OpSend {
							p.qb.Recv(vt.RR(2, dst.SGE(0, size)))
						}
						p.qa.Post(ws)
					}
					begun := time.Now()
					Carrier{}.Run(w, qp, 1<<30)
					spent += time.Since(begun)
					for range batch {
						p.ca.Poll()
						if op == verbs.OpSend {
							p.cb.Poll()
						}
					}
				}
				b.ReportMetric(float64(spent.Nanoseconds())/float64(b.N), "ns/message")
			})
		}
	}
}
