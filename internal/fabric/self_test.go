package fabric

import (
	"testing"

	"github.com/freeflow-rdma/freeflow/internal/verbs"
	vt "github.com/freeflow-rdma/freeflow/internal/verbs/verbstest"
)

// TestToOneself: a datagram queue pair sends to itself, by its number and by a group that it is a member of, and goes on working.
func TestToOneself(t *testing.T) {
	carrier := New()
	nic := vt.New(t, carrier)
	carrier.SetDevice(nic.Dev)
	p := nic.Program(t)
	cq := p.CQ(63)
	q := p.QP(verbs.TypeUD, cq, 15)
	q.Ready(nil, nil)
	q.Start(nil)
	group := verbs.GID{10: 0xff, 11: 0xff, 12: 239, 13: 1, 14: 2, 15: 3}
	if err := p.AttachMcast(q.Handle, group, 0); err != nil {
		t.Fatal(err)
	}
	mem := p.Shared(4096, vt.AllAccess)
	for _, to := range []struct {
		gid verbs.GID
		qpn uint32
	}{{p.Cont.GIDs[0], uint32(q.QPN)}, {group, 0xffffff}} {
		ah := p.AH(to.gid)
		for range 3 {
			q.Recv(vt.RR(1, mem.SGE(0, 1024)))
			w := vt.WR(2, verbs.OpSend, mem.SGE(2048, 100))
			w.RemoteQKey, w.AHNum, w.RemoteQPN = vt.QKey, ah, to.qpn
			q.Send(w)
			want(t, cq.Poll(), 1, verbs.WCSuccess)
			want(t, cq.Poll(), 2, verbs.WCSuccess)
		}
	}
}
