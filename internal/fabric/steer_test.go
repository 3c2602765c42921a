package fabric

import (
	"testing"

	"github.com/freeflow-rdma/freeflow/internal/fabric/udp"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
	vt "github.com/freeflow-rdma/freeflow/internal/verbs/verbstest"
)

// TestSteeringRoles: what a queue pair asks for follows what it moves, and ends with it.
func TestSteeringRoles(t *testing.T) {
	s := steering{much: &New().much}
	now := int64(1)
	spans := func(n int, f func(bytes, core int) bool, bytes, core int) {
		for range n * 10 {
			now += steerSpan / 10
			f(bytes/10, core)
		}
	}
	sent := func(bytes, core int) bool { return s.sent(now, bytes, core) }
	took := func(bytes, _ int) bool { return s.took(now, bytes) }
	from := func(when string, want uint8) {
		t.Helper()
		if got := s.says().From; got != want {
			t.Errorf("%s: from %#x, want %#x", when, got, want)
		}
	}
	spans(5, sent, steerBegin/2, 1)
	from("a little is sent", 0)
	spans(5, sent, 2*steerBegin, 1)
	from("much is sent by the second worker", 2)
	spans(5, took, 2*steerBegin, 0)
	from("much comes too", 2)
	spans(5, sent, 2*steerBegin, -1)
	from("a worker without a core sends", 0)
	spans(5, took, 2*steerBegin, 0)
	from("much comes", udp.HintPast+1)
	spans(5, took, 2*steerKeep, 0)
	from("less comes", udp.HintPast+1)
	spans(5, took, steerKeep/2, 0)
	from("little comes", 0)
	spans(5, took, 2*steerBegin, 0)
	now += 1000 * steerSpan
	spans(2, took, 10, 0)
	from("after a pause", 0)
	s.to.Store(7)
	s.forget()
	if s.says().Some() {
		t.Errorf("after RESET it says %+v", s.says())
	}
}

// TestSteering: two queue pairs that move much, by WRITE and by READ, tell each other where they want it.
func TestSteering(t *testing.T) {
	for name, c := range map[string]struct {
		op     verbs.Opcode
		sender int // which of the two ends sends the payload
	}{"write": {verbs.OpRDMAWrite, 0}, "read": {verbs.OpRDMARead, 1}} {
		t.Run(name, func(t *testing.T) {
			const size = 1 << 20
			x := connect(t, verbs.TypeRC, size, nil)
			if !x.a.carrier.steers || !x.b.carrier.steers {
				t.Skip("steering needs two cores and a filter")
			}
			ends := [2]*steering{}
			for i, e := range []struct {
				h *testHost
				q *vt.QP
			}{{x.a, x.qa}, {x.b, x.qb}} {
				ends[i] = &linkOf(e.h.Dev.QP(e.q.QPN)).steer
				e.h.carrier.much.set(1, 1) // for the slowest machine
			}
			out, in := ends[c.sender], ends[1-c.sender]
			for i := uint64(1); ; i++ {
				x.qa.Send(x.rdma(i, c.op, size))
				want(t, x.a.cq.Poll(), i, verbs.WCSuccess)
				o, n := out.says(), in.says()
				if o.From >= 1 && o.From < udp.HintPast && o.To == udp.HintPast+1 && n.From == udp.HintPast+1 && n.To >= 1 && n.To < udp.HintPast {
					return
				}
				if i == 2000 {
					t.Fatalf("after %d messages the sender says %+v, the receiver %+v", i, o, n)
				}
			}
		})
	}
}
