package local

import (
	"errors"
	"syscall"
	"testing"
	"time"

	"github.com/freeflow-rdma/freeflow/internal/verbs"
	vt "github.com/freeflow-rdma/freeflow/internal/verbs/verbstest"
)

// shared is a pair whose second queue pair receives from an SRQ.
func shared(t *testing.T, typ verbs.QPType, n uint32) (*pair, *vt.SRQ) {
	t.Helper()
	nic := vt.New(t, Carrier{})
	p := &pair{a: nic.Program(t), b: nic.Program(t)}
	p.ca, p.cb = p.a.CQ(255), p.b.CQ(255)
	srq := p.b.SRQ(n)
	p.qa = p.a.QP(typ, p.ca, 63)
	p.qb = p.b.QPWith(verbs.QPInit{PD: p.b.PD, SendCQ: p.cb.Handle, RecvCQ: p.cb.Handle, SRQ: srq.Handle, HasSRQ: true, Type: typ,
		Cap: verbs.QPCap{MaxSendWR: 8, MaxSendSGE: 1}})
	vt.Connect(p.qa, p.qb, nil)
	return p, srq
}

// TestSRQ: order, limit event, resize with receives in it, and the last-WQE event after the last completion.
func TestSRQ(t *testing.T) {
	p, srq := shared(t, verbs.TypeRC, 15)
	async := p.b.Async()
	src, dst := buffers(p, 0, 4096)
	if _, err := p.b.ModifySRQ(srq.Handle, verbs.SRQMaskLimit, 0, 5); err != nil {
		t.Fatal(err)
	}
	for i := range uint64(6) {
		srq.Recv(vt.RR(i, dst.SGE(0, 64)))
	}
	if err := srq.Resize(5); !errors.Is(err, syscall.EINVAL) && srq.MaxWR < 6 {
		t.Fatalf("resize below what is posted: %v", err)
	}
	if err := srq.Resize(100); err != nil {
		t.Fatal(err)
	}
	for i := range uint64(6) {
		p.qa.Send(vt.WR(i, verbs.OpSend, src.SGE(0, 8)))
		want(t, p.cb.Poll(), i, verbs.WCSuccess)
		want(t, p.ca.Poll(), i, verbs.WCSuccess)
		if i == 0 {
			async.None(time.Millisecond)
		}
	}
	async.Want(vt.SRQUser, verbs.EventSRQLimit)
	if a, err := p.b.QuerySRQ(srq.Handle); err != nil || a.Limit != 0 || a.MaxWR < 100 {
		t.Errorf("QuerySRQ: %+v, %v", a, err)
	}
	srq.Recv(vt.RR(7, dst.SGE(0, 64)))
	p.qb.To(verbs.StateError)
	async.Want(p.qb.User, verbs.EventLastWQEReached)
	async.None(time.Millisecond)
	p.cb.None(time.Millisecond) // what is in an SRQ is not the queue pair's to flush
	if _, err := p.b.DestroySRQ(srq.Handle); !errors.Is(err, syscall.EBUSY) {
		t.Errorf("destroyed under a queue pair: %v", err)
	}
	if n, err := p.b.DestroyQP(p.qb.Handle); err != nil || n != 1 {
		t.Errorf("DestroyQP: %d events, %v", n, err)
	}
	if n, err := p.b.DestroySRQ(srq.Handle); err != nil || n != 1 {
		t.Errorf("DestroySRQ: %d events, %v", n, err)
	}
}

// TestSRQUnreliableTooLong: a receive of an SRQ that a message does not fit completes with the error, and the queue pair goes on.
func TestSRQUnreliableTooLong(t *testing.T) {
	p, srq := shared(t, verbs.TypeUC, 15)
	src, dst := buffers(p, 0, 4096)
	srq.Recv(vt.RR(1, dst.SGE(0, 64)), vt.RR(2, dst.SGE(0, 64)))
	p.qa.Send(vt.WR(1, verbs.OpSend, src.SGE(0, 65)), vt.WR(2, verbs.OpSend, src.SGE(0, 64)))
	want(t, p.cb.Poll(), 1, verbs.WCLocLenErr)
	want(t, p.cb.Poll(), 2, verbs.WCSuccess)
}

// TestSRQTakenIsFlushed: a receive that a message had begun to fill when its sender failed is flushed, then the event comes.
func TestSRQTakenIsFlushed(t *testing.T) {
	p, srq := shared(t, verbs.TypeRC, 15)
	async := p.b.Async()
	src, dst := p.a.Shared(1<<20, vt.AllAccess), p.b.Shared(1<<20, vt.AllAccess)
	srq.Recv(vt.RR(1, dst.SGE(0, 1<<20)))
	bad := src.SGE(0, 8)
	bad.LKey++
	p.qa.Send(vt.WR(2, verbs.OpSend, src.SGE(0, 1<<19), bad)) // fails after the first slices
	want(t, p.ca.Poll(), 2, verbs.WCLocProtErr)
	p.qb.To(verbs.StateError)
	async.Want(p.qb.User, verbs.EventLastWQEReached)
	e, ok := p.cb.PollFor(0)
	if !ok {
		t.Fatal("the event came before the completion")
	}
	want(t, e, 1, verbs.WCWRFlushErr)
}

// TestCQOverrun: the queue says so once, and the queue pair that overran it ends.
func TestCQOverrun(t *testing.T) {
	nic := vt.New(t, Carrier{})
	p := &pair{a: nic.Program(t), b: nic.Program(t)}
	p.ca, p.cb = p.a.CQ(3), p.b.CQ(63)
	p.qa, p.qb = p.a.QP(verbs.TypeRC, p.ca, 15), p.b.QP(verbs.TypeRC, p.cb, 15)
	vt.Connect(p.qa, p.qb, nil)
	async := p.a.Async()
	src, dst := buffers(p, 0, 64)
	for range 5 {
		p.qa.Send(remote(verbs.OpRDMAWrite, src.SGE(0, 8), &dst))
	}
	async.Want(vt.CQUser, verbs.EventCQErr)
	async.Want(p.qa.User, verbs.EventQPFatal)
	p.qa.WantState(verbs.StateError)
	for range 3 {
		want(t, p.ca.Poll(), 2, verbs.WCSuccess)
	}
	async.None(time.Millisecond)
	if n, err := p.a.DestroyQP(p.qa.Handle); n != 1 || err != nil {
		t.Errorf("DestroyQP: %d, %v", n, err)
	}
	if _, n, err := p.a.DestroyCQ(p.ca.Handle); n != 1 || err != nil {
		t.Errorf("DestroyCQ: %d, %v", n, err)
	}
}

// TestCQResize: unread completions move along, and a size below them is refused.
func TestCQResize(t *testing.T) {
	p := connect(t, verbs.TypeRC, nil)
	src, dst := buffers(p, 0, 64)
	post := func(from, n uint64) {
		for i := range n {
			w := remote(verbs.OpRDMAWrite, src.SGE(0, 8), &dst)
			w.WRID = from + i
			p.qa.Send(w)
		}
	}
	post(0, 50)
	for i := range uint64(20) {
		want(t, p.ca.Poll(), i, verbs.WCSuccess)
	}
	time.Sleep(5 * time.Millisecond)
	if err := p.ca.Resize(15); !errors.Is(err, syscall.EINVAL) {
		t.Fatalf("resize below 30 unread: %v", err)
	}
	if err := p.ca.Resize(40); err != nil {
		t.Fatal(err)
	}
	post(50, 10)
	for i := range uint64(40) {
		want(t, p.ca.Poll(), 20+i, verbs.WCSuccess)
	}
}

// TestNotify: what is armed and when it fires (IBTA 11.4.2.2), and that destroying counts what was read.
func TestNotify(t *testing.T) {
	nic := vt.New(t, Carrier{})
	p := &pair{a: nic.Program(t), b: nic.Program(t)}
	ch := p.b.Channel()
	p.ca, p.cb = p.a.CQ(255), p.b.CQWith(verbs.CQInit{UserHandle: 7, CQE: 255, Channel: ch.Inode()})
	p.qa, p.qb = p.a.QP(verbs.TypeRC, p.ca, 63), p.b.QP(verbs.TypeRC, p.cb, 63)
	vt.Connect(p.qa, p.qb, nil)
	src, dst := buffers(p, 0, 64)
	send := func(flags verbs.SendFlags) {
		t.Helper()
		p.qb.Recv(vt.RR(1, dst.SGE(0, 8)))
		w := vt.WR(2, verbs.OpSend, src.SGE(0, 8))
		w.SendFlags |= uint32(flags)
		p.qa.Send(w)
		want(t, p.cb.Poll(), 1, verbs.WCSuccess)
		want(t, p.ca.Poll(), 2, verbs.WCSuccess)
	}
	send(0)
	ch.None(time.Millisecond) // never armed
	p.cb.Notify(false)
	send(0)
	ch.Want(7, 0)
	send(verbs.SendSolicited)
	ch.None(time.Millisecond) // fired already
	p.cb.Notify(true)
	send(0)
	ch.None(time.Millisecond)
	send(verbs.SendSolicited)
	ch.Want(7, 0)
	p.cb.Notify(true) // an error is always solicited
	p.qb.Recv(vt.RR(3, dst.SGE(0, 8)))
	p.qb.To(verbs.StateError)
	want(t, p.cb.Poll(), 3, verbs.WCWRFlushErr)
	time.Sleep(time.Millisecond)
	if _, err := p.b.DestroyQP(p.qb.Handle); err != nil {
		t.Fatal(err)
	}
	if n, _, err := p.b.DestroyCQ(p.cb.Handle); n != 2 || err != nil { // the third was not read
		t.Errorf("DestroyCQ: %d, %v", n, err)
	}
	ch.None(time.Millisecond) // and is taken back
}

// TestBacklog: events that the channel's socket cannot hold are not lost, and none comes twice.
func TestBacklog(t *testing.T) {
	nic := vt.New(t, Carrier{})
	p := &pair{a: nic.Program(t), b: nic.Program(t)}
	ch := p.a.Channel()
	p.ca, p.cb = p.a.CQ(255), p.b.CQ(255)
	const n = 1500
	cqs := make([]*vt.CQ, n)
	src := p.a.Shared(64, vt.AllAccess)
	for i := range cqs {
		cqs[i] = p.a.CQWith(verbs.CQInit{UserHandle: uint64(1000 + i), CQE: 3, Channel: ch.Inode()})
		cqs[i].Notify(false)
		q := p.a.QP(verbs.TypeRC, cqs[i], 3)
		q.Ready(q, nil) // to itself
		q.Start(nil)
		q.Send(remote(verbs.OpRDMAWrite, src.SGE(0, 8), &src))
	}
	for _, c := range cqs {
		want(t, c.Poll(), 2, verbs.WCSuccess)
	}
	seen := map[uint64]bool{}
	for range cqs {
		x, _, ok := ch.Next(5 * time.Second)
		if !ok || seen[x] {
			t.Fatalf("event of %d after %d (any: %v)", x, len(seen), ok)
		}
		seen[x] = true
	}
	ch.None(30 * time.Millisecond)
}
