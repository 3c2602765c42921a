//go:build !race

package local

import (
	"runtime"
	"testing"

	"github.com/freeflow-rdma/freeflow/internal/verbs"
	vt "github.com/freeflow-rdma/freeflow/internal/verbs/verbstest"
)

// TestNoAllocation (not under the race detector, which allocates by itself): a message, from the doorbell to both completions, allocates nothing, whatever kind of memory it lies in.
func TestNoAllocation(t *testing.T) {
	for kind := range 4 {
		for _, op := range []verbs.Opcode{verbs.OpSend, verbs.OpRDMAWrite, verbs.OpRDMARead, verbs.OpAtomicFetchAdd} {
			p := connect(t, verbs.TypeRC, nil)
			src, dst := buffers(p, kind, 4096)
			w, r := remote(op, src.SGE(0, 8), &dst), vt.RR(1, dst.SGE(0, 8))
			one := func() {
				if op == verbs.OpSend {
					p.qb.Recv(r)
				}
				p.qa.Send(w)
				p.ca.Poll()
				if op == verbs.OpSend {
					p.cb.Poll()
				}
			}
			if n := allocations(one); n > 0.1 {
				t.Errorf("operation %d, kind %d: %v allocations a message", op, kind, n)
			}
		}
	}
}

// allocations is testing.AllocsPerRun, which leaves the workers no processor.
func allocations(f func()) float64 {
	const runs = 500
	f()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range runs {
		f()
	}
	runtime.ReadMemStats(&after)
	return float64(after.Mallocs-before.Mallocs) / runs
}
