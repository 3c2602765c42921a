package local

import (
	"math/rand/v2"
	"testing"

	"github.com/freeflow-rdma/freeflow/internal/qos"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
	vt "github.com/freeflow-rdma/freeflow/internal/verbs/verbstest"
)

// TestUsageAddsUp: whatever is sent is received, in messages and bytes, by container and by peer, through resets, destroyed queue pairs, closed
// contexts and removed containers; whoever looks meanwhile sees no counter go back.
func TestUsageAddsUp(t *testing.T) {
	nic := vt.New(t, Carrier{})
	stop, stopped := make(chan bool), make(chan bool)
	go watchUsage(t, nic.Dev, stop, stopped)
	r := rand.New(rand.NewPCG(1, 2))
	var sent, read, messages uint64
	for round := range 12 {
		a, b := nic.Program(t), nic.Program(t)
		ca, cb := a.CQ(255), b.CQ(255)
		qa, qb := a.QP(verbs.TypeRC, ca, 63), b.QP(verbs.TypeRC, cb, 63)
		src, dst := a.Shared(1<<16, vt.AllAccess), b.Shared(1<<16, vt.AllAccess)
		for connection := range 2 {
			vt.Connect(qa, qb, nil)
			for range 50 {
				n := 8 + r.IntN(1<<16-8)
				op := []verbs.Opcode{verbs.OpSend, verbs.OpRDMAWrite, verbs.OpRDMARead, verbs.OpAtomicFetchAdd}[r.IntN(4)]
				w := remote(op, src.SGE(0, n), &dst)
				switch op {
				case verbs.OpSend:
					qb.Recv(vt.RR(1, dst.SGE(0, n)))
					sent += uint64(n)
				case verbs.OpRDMAWrite:
					sent += uint64(n)
				case verbs.OpRDMARead:
					read += uint64(n)
				default:
					w.SGE[0].Length = 8
					read += 8
				}
				messages++
				qa.Send(w)
				if e := ca.Poll(); e.Status != 0 {
					t.Fatalf("%+v", e)
				}
			}
			if connection == 0 {
				qa.To(verbs.StateReset)
				qb.To(verbs.StateReset)
			}
		}
		switch round % 3 {
		case 0:
			if _, err := a.DestroyQP(qa.Handle); err != nil {
				t.Fatal(err)
			}
		case 1:
			a.Close()
			b.Close()
			nic.Dev.RemoveContainer(a.Cont)
		}
	}
	stop <- true
	<-stopped
	var all verbs.Traffic
	for _, u := range nic.Dev.Usage() {
		var peers verbs.PeerTraffic
		for _, p := range u.Peers {
			peers.EgressBytes += p.EgressBytes
			peers.IngressBytes += p.IngressBytes
		}
		if peers.EgressBytes != u.EgressBytes || peers.IngressBytes != u.IngressBytes || len(u.Peers) != 1 {
			t.Errorf("%s: %d peers with %+v beside %d and %d", u.Container.ID, len(u.Peers), peers, u.EgressBytes, u.IngressBytes)
		}
		all.EgressBytes += u.EgressBytes
		all.IngressBytes += u.IngressBytes
		all.EgressMessages += u.EgressMessages
		all.IngressMessages += u.IngressMessages
		for i, n := range u.Ops {
			all.Ops[i] += n
		}
	}
	if all.EgressBytes != sent+read || all.IngressBytes != sent+read || all.EgressMessages != messages || all.IngressMessages != messages {
		t.Errorf("%+v; sent %d, read %d bytes, %d messages", all, sent, read, messages)
	}
	if n := all.Ops[verbs.OpSend] + all.Ops[verbs.OpRDMAWrite] + all.Ops[verbs.OpRDMARead] + all.Ops[verbs.OpAtomicFetchAdd]; n != messages {
		t.Errorf("operations %v", all.Ops)
	}
}

// watchUsage looks at the usage until it is told to stop.
func watchUsage(t *testing.T, d *verbs.Device, stop, stopped chan bool) {
	defer close(stopped)
	last := map[*verbs.Container]verbs.Traffic{}
	for {
		for _, u := range d.Usage() {
			if was := last[u.Container]; u.EgressBytes < was.EgressBytes || u.IngressMessages < was.IngressMessages {
				t.Errorf("a counter went back: %+v after %+v", u.Traffic, was)
			}
			last[u.Container] = u.Traffic
		}
		select {
		case <-stop:
			return
		default:
		}
	}
}

// TestUsageTells: of waits, errors and refusals; the bytes of datagrams are those that programs send.
func TestUsageTells(t *testing.T) {
	l := limitedPair(t, verbs.TypeUD)
	params := qos.Default()
	params.Tenant = "x"
	params.Quota[qos.PDs] = 1
	params.Container.Egress = qos.Rate{Messages: 200}
	l.nic.Dev.SetParams(l.a.Cont, params)
	for id := range uint64(3) {
		l.post(id, verbs.OpSend)
		l.cb.Poll()
		l.ca.Poll()
	}
	if _, err := l.a.AllocPD(); err == nil {
		t.Error("over the quota")
	}
	bad := datagramTo(9, l.qb, l.ah, l.src.SGE(0, 8))
	bad.SGE[0].LKey++
	l.qa.Send(bad)
	l.ca.Poll()
	for _, u := range l.nic.Dev.Usage() {
		switch u.Container {
		case l.a.Cont:
			if u.Tenant != "x" || u.EgressBytes != 3*4096 || u.LimitedNS == 0 || u.Denied[qos.PDs] != 1 || u.Has[qos.PDs] != 1 ||
				u.Errors[verbs.WCLocProtErr] != 1 || u.QPs != 1 {
				t.Errorf("%+v", u)
			}
		case l.b.Cont:
			if u.IngressBytes != 3*4096 || u.IngressMessages != 3 {
				t.Errorf("%+v", u)
			}
		}
	}
}
