package local

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/freeflow-rdma/freeflow/internal/ring"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
	vt "github.com/freeflow-rdma/freeflow/internal/verbs/verbstest"
)

// pair is two programs with a connected queue pair each.
type pair struct {
	a, b   *vt.Program
	ca, cb *vt.CQ
	qa, qb *vt.QP
}

func connect(t testing.TB, typ verbs.QPType, tune func(*verbs.QPAttr)) *pair {
	t.Helper()
	n := vt.New(t, Carrier{})
	p := &pair{a: n.Program(t), b: n.Program(t)}
	p.ca, p.cb = p.a.CQ(255), p.b.CQ(255)
	p.qa, p.qb = p.a.QP(typ, p.ca, 63), p.b.QP(typ, p.cb, 63)
	vt.Connect(p.qa, p.qb, tune)
	return p
}

func fill(b []byte, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 0))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
}

func want(t *testing.T, e ring.CQE, id uint64, status verbs.WCStatus) {
	t.Helper()
	if e.WRID != id || e.Status != uint32(status) {
		t.Fatalf("completion of %d with status %d, want %d with %d", e.WRID, e.Status, id, status)
	}
}

// TestSend carries messages of many sizes between memory of both kinds.
func TestSend(t *testing.T) {
	for _, size := range []int{0, 1, 63, 64, 4096, 4097, 65536, 1<<20 + 3} {
		for kind := range 4 {
			p := connect(t, verbs.TypeRC, nil)
			src, dst := buffers(p, kind, size+1)
			fill(src.B, uint64(size))
			p.qb.Recv(vt.RR(1, dst.SGE(0, size+1)))
			p.qa.Send(vt.WR(2, verbs.OpSend, src.SGE(0, size)))
			e := p.cb.Poll()
			want(t, e, 1, verbs.WCSuccess)
			if e.ByteLen != uint32(size) || e.Opcode != uint32(verbs.WCRecv) || e.QPN != uint32(p.qb.QPN) || e.SrcQP != uint32(p.qa.QPN) {
				t.Fatalf("size %d: receive completed as %+v", size, e)
			}
			want(t, p.ca.Poll(), 2, verbs.WCSuccess)
			if !bytes.Equal(src.B[:size], dst.B[:size]) || dst.B[size] != 0 {
				t.Fatalf("size %d kind %d: data differ", size, kind)
			}
		}
	}
}

// buffers gives a source and a destination: bit 0 of kind makes the source private, bit 1 the destination.
func buffers(p *pair, kind, n int) (src, dst vt.Buffer) {
	if kind&1 == 0 {
		src = p.a.Shared(n, vt.AllAccess)
	} else {
		src = p.a.Private(n, vt.AllAccess)
	}
	if kind&2 == 0 {
		dst = p.b.Shared(n, vt.AllAccess)
	} else {
		dst = p.b.Private(n, vt.AllAccess)
	}
	return src, dst
}

// TestWriteAndRead carries data both ways without the peer's help.
func TestWriteAndRead(t *testing.T) {
	for kind := range 4 {
		p := connect(t, verbs.TypeRC, nil)
		const n = 700_001
		src, dst := buffers(p, kind, n)
		fill(src.B, 5)
		w := vt.WR(1, verbs.OpRDMAWrite, src.SGE(0, n))
		w.RemoteAddr, w.RKey = dst.Addr, uint32(dst.RKey)
		p.qa.Send(w)
		want(t, p.ca.Poll(), 1, verbs.WCSuccess)
		if !bytes.Equal(src.B, dst.B) {
			t.Fatal("written data differ")
		}
		fill(dst.B, 6)
		w.WRID, w.Opcode = 2, uint32(verbs.OpRDMARead)
		p.qa.Send(w)
		want(t, p.ca.Poll(), 2, verbs.WCSuccess)
		if !bytes.Equal(src.B, dst.B) {
			t.Fatal("read data differ")
		}
	}
}

// TestSentBeforeHeard: when the receiver is woken, the sender's completion is there. A program whose send completion queue has room for
// one waits for the answer first and its own completion then, and would overrun the queue if they came the other way round.
func TestSentBeforeHeard(t *testing.T) {
	for _, typ := range []verbs.QPType{verbs.TypeRC, verbs.TypeUC, verbs.TypeUD} {
		nic := vt.New(t, Carrier{})
		a, b := nic.Program(t), nic.Program(t)
		events := b.Channel()
		ca, cb := a.CQ(255), b.CQWith(verbs.CQInit{CQE: 255, UserHandle: vt.CQUser, Channel: events.Inode()})
		qa, qb := a.QP(typ, ca, 63), b.QP(typ, cb, 63)
		message := func(src vt.Buffer) ring.SendWQE { return vt.WR(2, verbs.OpSend, src.SGE(0, 64)) }
		if typ == verbs.TypeUD {
			unconnected(qa, qb)
			ah := a.AH(b.Cont.GIDs[0])
			message = func(src vt.Buffer) ring.SendWQE { return datagramTo(2, qb, ah, src.SGE(0, 64)) }
		} else {
			vt.Connect(qa, qb, nil)
		}
		src, dst := a.Shared(4096, vt.AllAccess), b.Shared(4096, vt.AllAccess)
		for i := range 2000 {
			cb.Notify(false)
			qb.Recv(vt.RR(1, dst.SGE(0, 104)))
			qa.Send(message(src))
			events.Want(vt.CQUser, 0)
			if _, ok := ca.PollFor(0); !ok {
				t.Fatalf("type %d, message %d: the receiver was woken before the sender's completion was there", typ, i)
			}
			want(t, cb.Poll(), 1, verbs.WCSuccess)
		}
	}
}

// BenchmarkPostToCompletion is one small SEND at a time, rung through the control path.
func BenchmarkStep(b *testing.B) {
	p := connect(b, verbs.TypeRC, nil)
	src, dst := buffers(p, 0, 4096)
	b.ResetTimer()
	for i := 0; i < b.N; i += 32 {
		var ws [32]ring.SendWQE
		for k := range ws {
			ws[k] = vt.WR(2, verbs.OpSend, src.SGE(0, 64))
			p.qb.Recv(vt.RR(1, dst.SGE(0, 64)))
		}
		p.qa.Send(ws[:]...)
		for range ws {
			p.ca.Poll()
			p.cb.Poll()
		}
	}
}
