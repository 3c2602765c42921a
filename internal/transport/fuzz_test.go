package transport

import (
	"bytes"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/freeflow-rdma/freeflow/internal/engine"
	"github.com/freeflow-rdma/freeflow/internal/mem"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
	vt "github.com/freeflow-rdma/freeflow/internal/verbs/verbstest"
	"github.com/freeflow-rdma/freeflow/internal/wire"
)

const page = 4096

// guarded is a registered page between two that are not, all shared with the router.
type guarded struct {
	vt.Buffer
	all []byte
}

func guard(p *vt.Program, access verbs.Access) guarded {
	all, ext := p.MapShared(3 * page)
	for i := range all {
		all[i] = 0xa5
	}
	return guarded{p.Register(all[page:2*page], access, 0, ext), all}
}

func (g *guarded) intact() bool {
	want := bytes.Repeat([]byte{0xa5}, page)
	return bytes.Equal(g.all[:page], want) && bytes.Equal(g.all[2*page:], want)
}

// reader is an output that reads what it is given and throws it away.
type reader struct {
	room int
	b    [page]byte
}

func (o *reader) Room() int { return o.room }

func (o *reader) Packet(_ *Path, _ *verbs.QP, h *wire.Header, payload []mem.Span, n int, _ bool) {
	var b [wire.MaxHeaderSize]byte
	if h.Size() == 0 || h.Put(b[:]) != h.Size() || n > page {
		panic("a packet that cannot be sent")
	}
	if n > 0 {
		if _, err := mem.Copy([]mem.Span{mem.Mapped(o.b[:n])}, payload, nil); err != nil {
			panic(err)
		}
	}
}

// target is queue pairs whose peer is a stranger that sends what it likes.
type target struct {
	p      *vt.Program
	cq     *vt.CQ
	q      [3]*vt.QP
	qp     [3]*verbs.QP
	mine   guarded // for receives, and what the queue pairs may send and fill
	open   guarded // that the peer may write
	secret guarded // of another domain
	env    Env
	out    reader
	path   Path
	opcode []wire.Opcode
	buf    [2 * page]byte
}

func newTarget(t testing.TB) *target {
	nic := vt.New(t, idle{})
	x := &target{p: nic.Program(t), path: Path{MTU: 4096, SACK: true}}
	x.cq = x.p.CQ(4095)
	x.mine, x.open = guard(x.p, vt.AllAccess), guard(x.p, vt.AllAccess)
	pd := x.p.PD
	other, err := x.p.AllocPD()
	if err != nil {
		t.Fatal(err)
	}
	x.p.PD = other
	x.secret = guard(x.p, vt.AllAccess)
	x.p.PD = pd
	fill(x.secret.B, 3)
	for i, typ := range []verbs.QPType{verbs.TypeRC, verbs.TypeUC, verbs.TypeUD} {
		x.q[i] = x.p.QP(typ, x.cq, 15)
		x.qp[i] = x.p.Device().QP(x.q[i].QPN)
	}
	x.env = Env{Now: 1, Out: &x.out, Scratch: new(mem.Scratch), Host: NewHost()}
	x.env.Host.pool.limit = 200 * keptSize
	for i := range 256 {
		if wire.Opcode(i).Info() != nil {
			x.opcode = append(x.opcode, wire.Opcode(i))
		}
	}
	return x
}

// bytes of a fuzz input; zeros when they are used up.
type input []byte

func (r *input) next() byte {
	if len(*r) == 0 {
		return 0
	}
	b := (*r)[0]
	*r = (*r)[1:]
	return b
}

func (x *target) reset() {
	for i, q := range x.q {
		q.To(verbs.StateReset)
		var peer *vt.QP
		if i < 2 {
			peer = q
		}
		q.Ready(peer, func(a *verbs.QPAttr) { a.PathMTU, a.RQPSN, a.SQPSN, a.MaxDestRdAtomic = 1, 0xfffffe, 0xfffffe, 4 })
		q.Start(func(a *verbs.QPAttr) {
			a.PathMTU, a.RQPSN, a.SQPSN, a.MaxRdAtomic, a.AckTimeout = 1, 0xfffffe, 0xfffffe, 4, 12
		})
	}
	for _, ok := x.cq.PollFor(0); ok; _, ok = x.cq.PollFor(0) {
	}
}

// packet makes one that is near enough to what is expected to get far.
func (x *target) packet(r *input, q int) (a Arrived) {
	h := &a.H
	h.Opcode = x.opcode[int(r.next())%len(x.opcode)]
	base := wire.PSN(x.qp[q].Expected())
	if !h.Opcode.Info().Request && x.conn(q).req != nil {
		base = x.conn(q).req.acked
	}
	d := r.next()
	h.PSN = base
	if d&7 == 0 {
		h.PSN = base.Add(int(int8(d)) / 8)
	}
	h.AckReq, h.Solicited, h.FECN, h.BECN = d&16 != 0, d&32 != 0, d&64 != 0, d&128 != 0
	h.VA, h.RKey, h.Length = x.open.Addr+uint64(r.next())*16, uint32(x.open.RKey), uint32(r.next())*8
	switch r.next() & 15 {
	case 0:
		h.RKey = uint32(x.secret.RKey)
		h.VA = x.secret.Addr
	case 1:
		h.VA -= 1 << r.next()
	case 2:
		h.Length = 1 << (r.next() & 31)
	case 3:
		h.RKey ^= 1 << (r.next() & 31)
	}
	h.Syndrome = []uint8{0x1f, 0, 5, 0x20, 0x3f, 0x60, 0x61, 0x62, 0x63, 0x64, 0x40, 0xff, 1, 1, 1, 1}[r.next()&15]
	h.SACK[0], h.SACK[3] = uint64(r.next()), uint64(r.next())<<56
	h.QKey, h.SrcQP, h.InvRKey = vt.QKey, uint32(r.next()), uint32(x.open.RKey)
	if v := r.next(); v&3 == 0 && x.conn(q).req != nil {
		h.Rider = wire.Rider{OK: true, Syndrome: h.Syndrome, PSN: x.conn(q).req.acked.Add(int(int8(v)) / 4)}
	}
	n := 0
	if h.Opcode.Info().HasPayload {
		n = []int{256, 256, 0, 1, 64, 255, 257, 4096}[r.next()&7]
	}
	a.Payload = x.buf[:n]
	return a
}

func (x *target) conn(q int) *Conn { return x.qp[q].Ext.(*Conn) }

func (x *target) post(r *input, q int) {
	op := verbs.Opcode(r.next() % 17)
	sge := x.mine.SGE(int(r.next())*8, int(r.next())*8)
	if r.next()&7 == 0 {
		sge.LKey = uint32(x.secret.LKey)
	}
	w := vt.WR(uint64(r.next()), op, sge)
	w.RemoteAddr, w.RKey = x.open.Addr, uint32(x.open.RKey)
	if q < 2 && x.qp[q].State() == verbs.StateRTS {
		x.q[q].Post(w)
	}
}

func (x *target) run(q int) {
	for range 50 {
		var v engine.Verdict
		if q == 2 {
			v = x.conn(q).Datagrams(&x.env)
		} else {
			var p *Path
			if x.env.Now&64 == 0 {
				p = &x.path
			}
			v = x.conn(q).Run(&x.env, p, engine.Quantum)
		}
		if v != engine.More {
			return
		}
	}
}

func (x *target) do(t testing.TB, data []byte) {
	x.p.T = t
	x.reset()
	r := input(data)
	for len(r) > 0 {
		q := int(r.next()) % 3
		x.out.room = int(r.next())
		x.path.SACK = r.next()&3 != 0
		switch r.next() % 8 {
		case 0:
			x.q[q].Recv(vt.RR(1, x.mine.SGE(int(r.next())*4, int(r.next())*4), x.mine.SGE(int(r.next())*8, int(r.next())*8)))
		case 1:
			x.post(&r, q)
			x.run(q)
		case 2:
			x.env.Now += int64(r.next()) << (r.next() & 31)
			x.run(q)
		default:
			pkts := make([]Arrived, 1+r.next()&3)
			for i := range pkts {
				pkts[i] = x.packet(&r, q)
			}
			if q == 2 {
				var grh [40]byte
				if pkts[0].H.Opcode == wire.OpUDSendOnly || pkts[0].H.Opcode == wire.OpUDSendOnlyImm {
					x.conn(q).ReceiveDatagram(&x.env, &x.path, &pkts[0], &grh)
				}
			} else if x.conn(q).Receive(&x.env, &x.path, pkts) {
				x.run(q)
			}
		}
	}
	if !x.mine.intact() || !x.open.intact() || !x.secret.intact() {
		t.Fatal("memory was written that nobody may write")
	}
	want := make([]byte, len(x.secret.B))
	if fill(want, 3); !bytes.Equal(x.secret.B, want) {
		t.Fatal("the secret was written")
	}
	x.reset()
	if n := x.env.Host.pool.used.Load(); n != 0 {
		t.Fatalf("%d bytes are kept by nobody", n)
	}
}

// FuzzReceive: whatever arrives, and whatever is posted, nothing panics and no byte is written that was not registered for it.
func FuzzReceive(f *testing.F) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 8 {
		b := make([]byte, 400)
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		f.Add(b)
	}
	x := newTarget(f)
	f.Fuzz(func(t *testing.T, b []byte) { x.do(t, b[:min(len(b), 4096)]) })
}

// TestHostilePackets is FuzzReceive for a second, with random input.
func TestHostilePackets(t *testing.T) {
	x := newTarget(t)
	r := rand.New(rand.NewPCG(5, 6))
	runs := 0
	defer func() { t.Log(runs, "runs") }()
	for until := time.Now().Add(time.Second); time.Now().Before(until); {
		b := make([]byte, r.IntN(2000))
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		x.do(t, b)
		runs++
	}
}
