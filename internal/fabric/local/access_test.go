package local

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/freeflow-rdma/freeflow/internal/verbs"
	vt "github.com/freeflow-rdma/freeflow/internal/verbs/verbstest"
)

// wall is an access policy: no two containers may talk while it is up.
type wall struct {
	up    atomic.Bool
	asked atomic.Int64
}

func (x *wall) may(c *verbs.Container, _ int, peer verbs.GID) bool {
	x.asked.Add(1)
	return !x.up.Load() || c.HasGID(peer)
}

// TestCut: connections that are not allowed any more end: the work request that is under way with the error of a peer that is gone, the others
// flushed; an idle one by an event. What has nothing to do with it goes on.
func TestCut(t *testing.T) {
	for _, typ := range []verbs.QPType{verbs.TypeRC, verbs.TypeUC} {
		l := limitedPair(t, typ)
		var x wall
		dev := l.nic.Dev
		dev.SetAccess(x.may)
		own := l.a.QP(typ, l.ca, 63)
		self := l.a.QP(typ, l.a.CQ(255), 63)
		vt.Connect(own, self, nil)
		l.post(1, verbs.OpRDMAWrite)
		want(t, l.ca.Poll(), 1, verbs.WCSuccess)
		qa, qb := l.qa, l.qb
		if typ == verbs.TypeRC {
			qa.Send(vt.WR(2, verbs.OpSend, l.src.SGE(0, 8)), vt.WR(3, verbs.OpSend, l.src.SGE(0, 8))) // waits for a receive
			l.ca.None(2 * time.Millisecond)
		}
		x.up.Store(true)
		dev.Recheck()
		qa.WantState(verbs.StateError)
		qb.WantState(verbs.StateError)
		if typ == verbs.TypeRC {
			want(t, l.ca.Poll(), 2, verbs.WCRetryExcErr)
			want(t, l.ca.Poll(), 3, verbs.WCWRFlushErr)
		}
		l.b.Async().Want(qb.User, verbs.EventQPFatal)
		buf := l.a.Shared(4096, vt.AllAccess)
		own.Send(remote(verbs.OpRDMAWrite, buf.SGE(0, 8), &buf))
		if e := l.ca.Poll(); e.Status != 0 {
			t.Errorf("a connection within the container: %+v", e)
		}
		if l.a.Cont.Refused() == 0 || l.b.Cont.Refused() == 0 {
			t.Errorf("refused: %d, %d", l.a.Cont.Refused(), l.b.Cont.Refused())
		}
		x.up.Store(false)
		dev.Recheck()
		for _, q := range []*vt.QP{qa, qb} {
			q.To(verbs.StateReset)
		}
		vt.Connect(qa, qb, nil)
		l.post(4, verbs.OpRDMAWrite)
		want(t, l.ca.Poll(), 4, verbs.WCSuccess)
	}
}

// TestDeniedConnect: a new connection that is not allowed carries nothing, and its retries run out.
func TestDeniedConnect(t *testing.T) {
	l := limitedPair(t, verbs.TypeRC)
	for _, q := range []*vt.QP{l.qa, l.qb} {
		q.To(verbs.StateReset)
	}
	var x wall
	x.up.Store(true)
	l.nic.Dev.SetAccess(x.may)
	vt.Connect(l.qa, l.qb, nil)
	clear(l.dst.B)
	l.post(1, verbs.OpRDMAWrite)
	want(t, l.ca.Poll(), 1, verbs.WCRetryExcErr)
	if l.dst.B[0] != 0 || l.a.Cont.Refused() != 1 {
		t.Errorf("refused %d", l.a.Cont.Refused())
	}
}

// TestDeniedDatagrams: to whom it may not talk a container's datagrams are lost, to one or to a group.
func TestDeniedDatagrams(t *testing.T) {
	l := limitedPair(t, verbs.TypeUD)
	var x wall
	l.nic.Dev.SetAccess(x.may)
	l.post(1, verbs.OpSend)
	want(t, l.cb.Poll(), 1, verbs.WCSuccess)
	want(t, l.ca.Poll(), 1, verbs.WCSuccess)
	g := verbs.GID{0xff, 0x12, 15: 9}
	for _, err := range []error{l.a.AttachMcast(l.qa.Handle, g, 0), l.b.AttachMcast(l.qb.Handle, g, 0)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	x.up.Store(true)
	l.nic.Dev.Recheck()
	l.post(2, verbs.OpSend)
	want(t, l.ca.Poll(), 2, verbs.WCSuccess)
	own := l.a.Shared(4096, vt.AllAccess)
	l.qa.Recv(vt.RR(7, own.SGE(0, 100)))
	l.qa.Send(datagramTo(3, nil, l.a.AH(g), l.src.SGE(0, 8)))
	want(t, l.ca.Poll(), 7, verbs.WCSuccess) // itself
	want(t, l.ca.Poll(), 3, verbs.WCSuccess)
	l.cb.None(2 * time.Millisecond)
	if l.a.Cont.Refused() != 2 {
		t.Errorf("refused %d", l.a.Cont.Refused())
	}
	asked := x.asked.Load()
	for id := range uint64(20) {
		l.qa.Send(datagramTo(id, l.qb, l.ah, l.src.SGE(0, 8)))
		l.ca.Poll()
	}
	if n := x.asked.Load(); n != asked {
		t.Errorf("asked %d times more about a peer that is known", n-asked)
	}
}
