package local

import (
	"fmt"
	"testing"
	"time"

	"github.com/freeflow-rdma/freeflow/internal/qos"
	"github.com/freeflow-rdma/freeflow/internal/ring"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
	vt "github.com/freeflow-rdma/freeflow/internal/verbs/verbstest"
)

// stingy lets 4 KiB pass and then next to nothing for hours, or ten messages.
var stingy = map[string]qos.Rate{"bytes": {Bits: 1, Burst: 4096}, "messages": {Messages: 1}}

// scopes set a rate for queue pairs, the container, its tenant.
var scopes = map[string]func(p *qos.Params) *qos.Limits{
	"qp": func(p *qos.Params) *qos.Limits { return &p.QP }, "container": func(p *qos.Params) *qos.Limits { return &p.Container },
	"tenant": func(p *qos.Params) *qos.Limits { return &p.All },
}

// limited is a pair with a limit at one end.
type limited struct {
	*pair
	nic      *vt.NIC
	src, dst vt.Buffer
	ah       uint32
}

func limitedPair(t *testing.T, typ verbs.QPType) *limited {
	nic := vt.New(t, Carrier{})
	p := &pair{a: nic.Program(t), b: nic.Program(t)}
	p.ca, p.cb = p.a.CQ(255), p.b.CQ(255)
	p.qa, p.qb = p.a.QP(typ, p.ca, 63), p.b.QP(typ, p.cb, 63)
	l := &limited{pair: p, nic: nic, src: p.a.Shared(1<<20, vt.AllAccess), dst: p.b.Shared(1<<20, vt.AllAccess)}
	fill(l.src.B, 3)
	if typ == verbs.TypeUD {
		unconnected(p.qa, p.qb)
		l.ah = p.a.AH(p.b.Cont.GIDs[0])
	} else {
		vt.Connect(p.qa, p.qb, nil)
	}
	return l
}

// post sends a message of 4096 bytes, and posts the receive for it.
func (l *limited) post(id uint64, op verbs.Opcode) {
	if l.ah != 0 {
		l.qb.Recv(vt.RR(id, l.dst.SGE(0, 4096+40)))
		l.qa.Send(datagramTo(id, l.qb, l.ah, l.src.SGE(0, 4096)))
		return
	}
	if op == verbs.OpSend {
		l.qb.Recv(vt.RR(id, l.dst.SGE(0, 4096)))
	}
	w := vt.WR(id, op, l.src.SGE(0, 4096))
	w.RemoteAddr, w.RKey = l.dst.Addr, uint32(l.dst.RKey)
	l.qa.Send(w)
}

// TestLimits: each kind of limit, of each scope, in each direction, holds back each kind of message after the first, without an error however long it
// lasts, and lets it go at once when it is lifted. A neighbour does not notice.
func TestLimits(t *testing.T) {
	type row struct {
		typ     verbs.QPType
		op      verbs.Opcode
		forward bool // the data go from a to b
	}
	for _, x := range []row{{verbs.TypeRC, verbs.OpSend, true}, {verbs.TypeRC, verbs.OpRDMAWrite, true}, {verbs.TypeRC, verbs.OpRDMARead, false},
		{verbs.TypeUC, verbs.OpSend, true}, {verbs.TypeUD, verbs.OpSend, true}} {
		for scope, limits := range scopes {
			for kind, rate := range stingy {
				for _, egress := range []bool{true, false} {
					t.Run(fmt.Sprint(x, scope, kind, egress), func(t *testing.T) {
						l := limitedPair(t, x.typ)
						params := qos.Default()
						cont := l.b.Cont
						if kind == "messages" && egress || kind == "bytes" && egress == x.forward {
							cont = l.a.Cont
						}
						params.Tenant = "limited"
						if egress {
							limits(&params).Egress = rate
						} else {
							limits(&params).Ingress = rate
						}
						l.nic.Dev.SetParams(cont, params)
						l.post(1, x.op)
						want(t, l.ca.Poll(), 1, verbs.WCSuccess)
						l.post(2, x.op)
						l.ca.None(5 * time.Millisecond)
						l.nic.Dev.SetParams(l.nic.Program(t).Cont, qos.Default()) // somebody else's policy
						l.ca.None(5 * time.Millisecond)
						l.neighbour(t)
						l.nic.Dev.SetParams(cont, qos.Default())
						want(t, l.ca.Poll(), 2, verbs.WCSuccess)
						if n := l.a.Device().QP(l.qa.QPN); n.Stats.Limited.Load() == 0 || n.Stats.Retries.Load()+n.Stats.RNRWaits.Load() != 0 {
							t.Errorf("%+v", &n.Stats)
						}
					})
				}
			}
		}
	}
}

// neighbour sends between two other containers.
func (l *limited) neighbour(t *testing.T) {
	a, b := l.nic.Program(t), l.nic.Program(t)
	cq := a.CQ(255)
	qa, qb := a.QP(verbs.TypeRC, cq, 63), b.QP(verbs.TypeRC, b.CQ(255), 63)
	vt.Connect(qa, qb, nil)
	src, dst := a.Shared(4096, vt.AllAccess), b.Shared(4096, vt.AllAccess)
	for i := range uint64(20) {
		qa.Send(remote(verbs.OpRDMAWrite, src.SGE(0, 4096), &dst))
		if e := cq.Poll(); e.Status != 0 {
			t.Fatalf("message %d: %+v", i, e)
		}
	}
}

// TestLimitedFlush: work requests that wait for a limit are flushed like others, and what they had booked is there for others.
func TestLimitedFlush(t *testing.T) {
	l := limitedPair(t, verbs.TypeRC)
	params := qos.Default()
	params.Container.Egress = qos.Rate{Bits: 8 * 4096 * 1000, Burst: 4096}
	l.nic.Dev.SetParams(l.a.Cont, params)
	slow := params
	slow.Container.Egress.Bits = 1
	l.nic.Dev.SetParams(l.a.Cont, slow)
	for id := range uint64(3) {
		l.post(id, verbs.OpRDMAWrite)
	}
	want(t, l.ca.Poll(), 0, verbs.WCSuccess)
	l.ca.None(5 * time.Millisecond)
	l.qa.To(verbs.StateError)
	want(t, l.ca.Poll(), 1, verbs.WCWRFlushErr)
	want(t, l.ca.Poll(), 2, verbs.WCWRFlushErr)
	other := l.a.QP(verbs.TypeRC, l.ca, 63)
	peer := l.b.QP(verbs.TypeRC, l.cb, 63)
	vt.Connect(other, peer, nil)
	l.nic.Dev.SetParams(l.a.Cont, params)
	w := vt.WR(9, verbs.OpRDMAWrite, l.src.SGE(0, 4096))
	w.RemoteAddr, w.RKey = l.dst.Addr, uint32(l.dst.RKey)
	other.Send(w)
	want(t, l.ca.Poll(), 9, verbs.WCSuccess)
}

// TestLimitedBig: a message that is many times what may pass at once arrives whole, in parts.
func TestLimitedBig(t *testing.T) {
	l := limitedPair(t, verbs.TypeRC)
	params := qos.Default()
	params.QP.Egress = qos.Rate{Bits: 200_000_000, Burst: 4096}
	params.Container.Ingress = params.QP.Egress
	l.nic.Dev.SetParams(l.a.Cont, params)
	l.nic.Dev.SetParams(l.b.Cont, params)
	l.qb.Recv(vt.RR(1, l.dst.SGE(0, 1<<20)))
	l.qa.Send(vt.WR(2, verbs.OpSend, l.src.SGE(0, 1<<20)))
	want(t, l.cb.Poll(), 1, verbs.WCSuccess)
	want(t, l.ca.Poll(), 2, verbs.WCSuccess)
	if string(l.src.B) != string(l.dst.B) {
		t.Error("data differ")
	}
}

// TestMulticastLimited: a member that is limited misses datagrams; the sender and the others do not wait for it.
func TestMulticastLimited(t *testing.T) {
	p, src, dst := ud(t)
	dev := p.a.Device()
	params := qos.Default()
	params.Container.Ingress = stingy["bytes"]
	g := verbs.GIDOf(p.b.Cont.GIDs[0].Addr()) // a group needs an address of its own
	g = verbs.GID{0xff, 0x12, 15: g[15]}
	for _, err := range []error{p.a.AttachMcast(p.qa.Handle, g, 0), p.b.AttachMcast(p.qb.Handle, g, 0)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	dev.SetParams(p.b.Cont, params)
	own := p.a.Shared(8192, vt.AllAccess)
	ah := p.a.AH(g)
	var ws []ring.SendWQE
	for range 10 {
		p.qa.Recv(vt.RR(1, own.SGE(0, 4136)))
		p.qb.Recv(vt.RR(1, dst.SGE(0, 4136)))
		ws = append(ws, datagramTo(2, nil, ah, src.SGE(0, 4096)))
	}
	p.qa.Send(ws...)
	for range 20 {
		if e := p.ca.Poll(); e.Status != 0 {
			t.Fatalf("%+v", e)
		}
	}
	if n := dev.QP(p.qb.QPN).Stats.Dropped.Load(); n != 8 {
		t.Errorf("%d datagrams were kept away, want 8", n)
	}
}
