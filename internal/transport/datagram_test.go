package transport

import (
	"bytes"
	"testing"

	"github.com/freeflow-rdma/freeflow/internal/engine"
	"github.com/freeflow-rdma/freeflow/internal/ring"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
	vt "github.com/freeflow-rdma/freeflow/internal/verbs/verbstest"
)

// datagrams are two UD queue pairs, and what a fabric does for them.
type datagrams struct {
	*world
	a, b     *end
	src, dst vt.Buffer
	ah       uint32
}

func newDatagrams(t testing.TB) *datagrams {
	w := newWorld(t, 1, near, near)
	a, b := w.end(0, w.prog[0].QP(verbs.TypeUD, w.cq[0], 15)), w.end(1, w.prog[1].QP(verbs.TypeUD, w.cq[1], 15))
	for _, e := range []*end{a, b} {
		e.q.Ready(nil, nil)
		e.q.Start(nil)
	}
	d := &datagrams{world: w, a: a, b: b, ah: w.prog[0].AH(w.prog[1].Cont.GIDs[0])}
	d.src, d.dst = w.buffers(8192)
	fill(d.src.B, 1)
	return d
}

// send posts a work request and sends it as a fabric does.
func (d *datagrams) send(op verbs.Opcode, n int, qkey uint32) verbs.WCStatus {
	w := vt.WR(2, op, d.src.SGE(0, n))
	w.RemoteQPN, w.RemoteQKey, w.AHNum, w.Imm = uint32(d.b.q.QPN), qkey, d.ah, 9
	d.a.q.Post(w)
	qp := d.a.qp
	if ok, bad := qp.Next(); !ok || bad {
		d.Fatal("nothing was posted")
	}
	qp.Send.Length = uint32(n)
	d.a.env.Now = d.net.Now
	status, sent := SendDatagram(&d.a.env, d.a.path, qp)
	if !sent {
		d.Fatal("there was no room")
	}
	qp.Advance(1)
	qp.Complete(status)
	qp.Publish()
	d.settle(100_000)
	e, ok := d.cq[0].PollFor(0)
	if !ok {
		d.Fatal("no completion")
	}
	return verbs.WCStatus(e.Status)
}

func (d *datagrams) got() (ring.CQE, bool) { return d.cq[1].PollFor(0) }

// TestDatagrams: with a receive posted, with one posted late, with the wrong QKey, too long for the receive, too long for the path.
func TestDatagrams(t *testing.T) {
	d := newDatagrams(t)
	drops := func(what string, n uint64) {
		t.Helper()
		found := false
		d.host[1].Counters.Each(func(name string, v uint64) { found = found || name == what && v == n })
		if _, ok := d.got(); ok || !found {
			t.Fatalf("want %s %d and nothing received (any: %v)", what, n, ok)
		}
	}
	for _, op := range []verbs.Opcode{verbs.OpSend, verbs.OpSendImm} {
		d.b.q.Recv(vt.RR(1, d.dst.SGE(0, 8192)))
		if s := d.send(op, 4096, vt.QKey); s != verbs.WCSuccess {
			t.Fatal(s)
		}
		e, ok := d.got()
		if !ok || e.ByteLen != 4136 || e.SrcQP != uint32(d.a.q.QPN) || !bytes.Equal(d.dst.B[40:4136], d.src.B[:4096]) || op == verbs.OpSendImm && e.Imm != 9 {
			t.Fatalf("op %d: %+v (any: %v)", op, e, ok)
		}
	}
	d.send(verbs.OpSend, 100, vt.QKey+1)
	drops("drop_qkey", 1)
	d.send(verbs.OpSend, 5000, vt.QKey)
	d.b.q.Recv(vt.RR(3, d.dst.SGE(0, 100)))
	d.send(verbs.OpSend, 100, vt.QKey)
	drops("drop_length", 1)
	d.send(verbs.OpSend, 60, vt.QKey) // the receive is there still
	if e, ok := d.got(); !ok || e.WRID != 3 || e.ByteLen != 100 {
		t.Fatalf("%+v", e)
	}
	d.send(verbs.OpSend, 10, vt.QKey) // waits
	d.settle(1_000_000)
	d.b.q.Recv(vt.RR(4, d.dst.SGE(0, 100)))
	d.settle(100_000)
	if e, ok := d.got(); !ok || e.WRID != 4 {
		t.Fatal("a datagram does not wait for its receive")
	}
	d.send(verbs.OpSend, 10, vt.QKey)
	d.settle(verbs.OffCoreTime + 1_000_000)
	d.b.q.Recv(vt.RR(5, d.dst.SGE(0, 100)))
	d.settle(1_000_000)
	drops("drop_no_receive", 1)
	if v := d.b.conn.Datagrams(&d.b.env); v != engine.Idle || d.host[1].pool.used.Load() != 0 {
		t.Fatal("something waits for ever")
	}
}
