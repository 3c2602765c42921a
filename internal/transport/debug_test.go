package transport

import (
	"fmt"
	"os"

	"github.com/freeflow-rdma/freeflow/internal/wire"
)

func (w *world) debug() {
	if os.Getenv("TRACE") == "" {
		return
	}
	w.trace = func(from int, h *wire.Header, n int, fate string) {
		fmt.Printf("%d.%06d %s %s len %d rlen %d syn %02x ack %v msn %d sack %x %s\n", w.net.Now/1e6, w.net.Now%1e6, []string{"a->", "<-b"}[from], name(h), n, h.Length, h.Syndrome, h.AckReq, h.MSN, h.SACK[0], fate)
	}
}

func (e *end) dump() {
	r := e.conn.req
	if r != nil {
		fmt.Printf("req n %d at %06x cur %d sent %06x acked %06x done %d next %06x replies %d reads %d broken %v cwnd %v sacked %d limited %v limit %d doneSeq %d\n", r.n, r.at, r.cur, r.sent, r.acked, r.done, r.next, r.replies, r.reads.n, r.broken, r.cc.cwnd, r.sacked, r.limited, r.limit, r.doneSeq)
		fmt.Printf("   timers %+v now %d due %d state %v\n", r.timers, e.w.net.Now, e.due, e.qp.State())
		for i := range min(r.n, 5) {
			fmt.Printf("   %d: %+v\n", i, *r.messages.at(i))
		}
	}
	p := &e.conn.resp
	fmt.Printf("resp expected %06x kind %d waiting %d wait.n %d nakked %v owed %v fresh %d pending %d state %v due %d busy %v\n", e.qp.Expected(), p.kind, p.waiting, p.wait.n, p.nakked, p.owed, p.fresh, len(p.pending.list)-p.pending.head, e.qp.State(), e.due, e.conn.busy.Load())
}
