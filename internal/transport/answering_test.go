package transport

import (
	"testing"

	"github.com/freeflow-rdma/freeflow/internal/verbs"
	vt "github.com/freeflow-rdma/freeflow/internal/verbs/verbstest"
	"github.com/freeflow-rdma/freeflow/internal/wire"
)

// TestAnswering: between programs that take turns acknowledgements go with the answers; when the turns end, the last one comes late, the next
// as ever.
func TestAnswering(t *testing.T) {
	w := newWorld(t, 1, near, near)
	a, b := w.pair(verbs.TypeRC, 127, func(x *verbs.QPAttr) { x.AckTimeout, x.RetryCnt = 18, 7 })
	src, dst := w.buffers(4096)
	acks := 0
	w.trace = func(from int, h *wire.Header, _ int, _ string) {
		if from == 1 && h.Opcode == wire.OpRCAcknowledge {
			acks++
		}
	}
	id := uint64(0)
	send := func(from, to *end, sf, st *vt.Buffer) {
		id++
		to.q.Recv(vt.RR(id, st.SGE(0, 64)))
		from.q.Post(vt.WR(id, verbs.OpSend, sf.SGE(0, 64)))
		from.run()
	}
	drain := func() (n int) {
		for i := range w.cq {
			for {
				e, ok := w.cq[i].PollFor(0)
				if !ok {
					break
				}
				if e.Status != uint32(verbs.WCSuccess) {
					t.Fatalf("completion of %d with status %d", e.WRID, e.Status)
				}
				n++
			}
		}
		return n
	}
	done := 0
	for range 40 {
		send(a, b, &src, &dst)
		w.settle(30_000)
		held, before := b.conn.resp.turns.ackAt != 0, acks
		send(b, a, &dst, &src)
		if held && acks != before+1 {
			t.Fatal("the answer took no acknowledgement with it")
		}
		w.settle(30_000)
		done += drain()
	}
	if b.conn.resp.turns.run < answerRun || done < 4*40-2 {
		t.Fatalf("%d answers were noticed, %d completions", b.conn.resp.turns.run, done)
	}
	send(a, b, &src, &dst) // which nobody answers
	w.settle(30_000)
	if b.conn.resp.turns.ackAt == 0 {
		t.Fatal("the acknowledgement does not wait for an answer")
	}
	w.settle(2 * ackHold)
	before := acks
	send(a, b, &src, &dst)
	w.settle(30_000)
	if acks != before+1 {
		t.Fatal("after turns that have ended an acknowledgement waits")
	}
	if done += drain(); done != 2*int(id) {
		t.Fatalf("%d completions of %d messages", done, id)
	}
}
