package local

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/freeflow-rdma/freeflow/internal/engine"
	"github.com/freeflow-rdma/freeflow/internal/ring"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
	vt "github.com/freeflow-rdma/freeflow/internal/verbs/verbstest"
)

// split cuts the n bytes of a buffer into at most k pieces, in order.
func split(r *rand.Rand, b *vt.Buffer, off, n, k int) []ring.SGE {
	var out []ring.SGE
	for ; n > 0 && len(out) < k-1; n -= int(out[len(out)-1].Length) {
		m := r.IntN(n + 1) // 0 is a length too
		out = append(out, b.SGE(off, m))
		off += m
	}
	if n > 0 || len(out) == 0 {
		out = append(out, b.SGE(off, n))
	}
	return out
}

// TestModel does random SEND, WRITE and READ between memory of both kinds with random SGEs, many at once, and compares with copies done in
// order on plain bytes.
func TestModel(t *testing.T) {
	for seed := range uint64(8) {
		r := rand.New(rand.NewPCG(seed, 77))
		nic := vt.New(t, Carrier{})
		p := &pair{a: nic.Program(t), b: nic.Program(t)}
		p.ca, p.cb = p.a.CQ(255), p.b.CQ(255)
		cap := verbs.QPCap{MaxSendWR: 63, MaxRecvWR: 63, MaxSendSGE: 32, MaxRecvSGE: 32, MaxInline: 512}
		p.qa = p.a.QPWith(verbs.QPInit{PD: p.a.PD, SendCQ: p.ca.Handle, RecvCQ: p.ca.Handle, Type: verbs.TypeRC, Cap: cap})
		p.qb = p.b.QPWith(verbs.QPInit{PD: p.b.PD, SendCQ: p.cb.Handle, RecvCQ: p.cb.Handle, Type: verbs.TypeRC, Cap: cap})
		vt.Connect(p.qa, p.qb, nil)
		size := 200_000
		if seed%2 == 1 {
			size = 2_000
		}
		src, dst := mixed(p.a, size), mixed(p.b, size)
		fill(src.B, seed)
		fill(dst.B, seed+100)
		model := [2][]byte{bytes.Clone(src.B), bytes.Clone(dst.B)}
		for range 20 {
			ops := 1 + r.IntN(30)
			sends := 0
			var ws []ring.SendWQE
			var last []byte
			for i := range ops {
				n := r.IntN(size / 2)
				from, to := r.IntN(size-n), r.IntN(size-n)
				w := vt.WR(uint64(i), verbs.OpRDMAWrite, split(r, &src, from, n, 1+r.IntN(32))...)
				w.RemoteAddr, w.RKey = dst.Addr+uint64(to), uint32(dst.RKey)
				switch r.IntN(4) {
				case 0:
					w.Opcode = uint32(verbs.OpRDMARead)
					copy(model[0][from:from+n], model[1][to:])
				case 1:
					w.Opcode = uint32(verbs.OpSend)
					p.qb.Recv(vt.RR(uint64(sends), split(r, &dst, to, n, 1+r.IntN(32))...))
					sends++
					copy(model[1][to:to+n], model[0][from:])
				default:
					copy(model[1][to:to+n], model[0][from:])
				}
				ws = append(ws, w)
			}
			p.qa.Send(ws...)
			if n := r.IntN(512); true { // and one inline, whose bytes stand in the queue
				last = make([]byte, n)
				fill(last, r.Uint64())
				w := vt.WR(uint64(ops), verbs.OpRDMAWrite)
				w.RemoteAddr, w.RKey = dst.Addr, uint32(dst.RKey)
				p.qa.SendInline(w, last)
				copy(model[1], last)
			}
			for i := range ops + 1 {
				want(t, p.ca.Poll(), uint64(i), verbs.WCSuccess)
			}
			for i := range sends {
				want(t, p.cb.Poll(), uint64(i), verbs.WCSuccess)
			}
			if !bytes.Equal(src.B, model[0]) || !bytes.Equal(dst.B, model[1]) {
				t.Fatalf("seed %d: memory is not the model's", seed)
			}
		}
	}
}

// mixed is a buffer of which some pages are shared and the rest, edges that are not page aligned among it, is reached through the process.
func mixed(p *vt.Program, n int) vt.Buffer {
	const page = 4096
	room, ext := p.MapShared(n + 2*page)
	var exts []verbs.Extent
	for off := uint64(page); off+page <= ext.Length; off += 3 * page {
		exts = append(exts, verbs.Extent{VA: ext.VA + off, Length: page, Offset: ext.Offset + off})
	}
	return p.Register(room[100:100+n], vt.AllAccess, 0, exts...)
}

// TestInlineCutByTurn: inline data that a turn's end cuts in two arrive whole.
func TestInlineCutByTurn(t *testing.T) {
	p := connect(t, verbs.TypeRC, nil)
	src, dst := p.a.Shared(engine.Quantum, vt.AllAccess), p.b.Shared(engine.Quantum, vt.AllAccess)
	for _, left := range []int{1, 3, 40, 63} {
		data := make([]byte, 64)
		fill(data, uint64(left))
		p.qa.Post(remote(verbs.OpRDMAWrite, src.SGE(0, engine.Quantum-left), &dst))
		p.qa.SendInline(remote(verbs.OpRDMAWrite, src.SGE(0, 0), &dst), data)
		want(t, p.ca.Poll(), 2, verbs.WCSuccess)
		want(t, p.ca.Poll(), 2, verbs.WCSuccess)
		if !bytes.Equal(dst.B[:64], data) {
			t.Errorf("%d bytes left of the turn: data differ", left)
		}
	}
}

// TestAtomics: both operations, by many queue pairs at once on one counter, in memory of both kinds.
func TestAtomics(t *testing.T) {
	for kind := range 2 {
		nic := vt.New(t, Carrier{})
		target := nic.Program(t)
		cell := target.Shared(4096, vt.AllAccess)
		if kind == 1 {
			cell = target.Private(4096, vt.AllAccess)
		}
		cq := target.CQ(63)
		const qps, each = 4, 200
		var wg sync.WaitGroup
		for range qps {
			a := nic.Program(t)
			ca := a.CQ(255)
			qa, qb := a.QP(verbs.TypeRC, ca, 63), target.QP(verbs.TypeRC, cq, 8)
			vt.Connect(qa, qb, nil)
			old := a.Shared(4096, vt.AllAccess)
			wg.Go(func() {
				for range each {
					w := remote(verbs.OpAtomicFetchAdd, old.SGE(0, 8), &cell)
					w.CompareAdd = 3
					qa.Send(w)
					ca.Poll()
					v := binary.NativeEndian.Uint64(old.B)
					for { // and one more by compare and swap
						w := remote(verbs.OpAtomicCmpAndSwp, old.SGE(0, 8), &cell)
						w.CompareAdd, w.Swap = v, v+1
						qa.Send(w)
						ca.Poll()
						got := binary.NativeEndian.Uint64(old.B)
						if got == v {
							break
						}
						v = got
					}
				}
			})
		}
		wg.Wait()
		if v := binary.NativeEndian.Uint64(cell.B); v != qps*each*4 {
			t.Errorf("kind %d: counter is %d, want %d", kind, v, qps*each*4)
		}
	}
}

// TestAtomicWrite stores 8 bytes that stand in the entry.
func TestAtomicWrite(t *testing.T) {
	for kind := range 2 {
		p := connect(t, verbs.TypeRC, nil)
		src, dst := buffers(p, 2*kind, 64)
		w := remote(verbs.OpAtomicWrite, src.SGE(0, 0), &dst)
		w.RemoteAddr += 8
		p.qa.SendInline(w, []byte("12345678"))
		e := p.ca.Poll()
		want(t, e, 2, verbs.WCSuccess)
		if e.Opcode != uint32(verbs.WCAtomicWrite) || string(dst.B[7:17]) != "\x0012345678\x00" {
			t.Errorf("%+v, % x", e, dst.B[:24])
		}
		w.RemoteAddr++
		p.qa.SendInline(w, []byte("12345678"))
		want(t, p.ca.Poll(), 2, verbs.WCRemInvReqErr)
	}
}

// TestZeroLength: messages of no bytes need no memory and no key (IBTA C9-88), and are delivered.
func TestZeroLength(t *testing.T) {
	p := connect(t, verbs.TypeRC, nil)
	p.qb.Recv(vt.RR(1), vt.RR(2))
	w := vt.WR(3, verbs.OpRDMAWriteImm)
	w.RKey, w.Imm = 0xdead, 42
	r := vt.WR(4, verbs.OpRDMARead)
	p.qa.Send(vt.WR(2, verbs.OpSend), w, r)
	for id := range uint64(3) {
		want(t, p.ca.Poll(), 2+id, verbs.WCSuccess)
	}
	want(t, p.cb.Poll(), 1, verbs.WCSuccess)
	e := p.cb.Poll()
	want(t, e, 2, verbs.WCSuccess)
	if e.Imm != 42 || e.Opcode != uint32(verbs.WCRecvRDMAImm) || e.ByteLen != 0 {
		t.Errorf("%+v", e)
	}
}

// TestTwoGiB: the longest message, 32 SGEs over the same memory on both sides; a byte more is too long.
func TestTwoGiB(t *testing.T) {
	if testing.Short() {
		t.Skip("copies 2 GiB")
	}
	nic := vt.New(t, Carrier{})
	a := nic.Program(t)
	cq := a.CQ(63)
	cap := verbs.QPCap{MaxSendWR: 3, MaxRecvWR: 3, MaxSendSGE: 32, MaxRecvSGE: 32}
	q := a.QPWith(verbs.QPInit{PD: a.PD, SendCQ: cq.Handle, RecvCQ: cq.Handle, Type: verbs.TypeRC, Cap: cap})
	q.Ready(q, nil)
	q.Start(nil)
	const piece = verbs.MaxMessage / 32
	src, dst := a.Shared(piece, vt.AllAccess), a.Shared(piece, vt.AllAccess)
	fill(src.B[:4096], 1)
	fill(src.B[piece-4096:], 2)
	var from, to [32]ring.SGE
	for i := range from {
		from[i], to[i] = src.SGE(0, piece), dst.SGE(0, piece)
	}
	q.Recv(vt.RR(1, to[:]...))
	q.Send(vt.WR(2, verbs.OpSend, from[:]...))
	e := cq.Poll()
	want(t, e, 1, verbs.WCSuccess)
	want(t, cq.Poll(), 2, verbs.WCSuccess)
	if e.ByteLen != verbs.MaxMessage || !bytes.Equal(src.B, dst.B) {
		t.Errorf("%d bytes arrived", e.ByteLen)
	}
	from[31].Length++
	q.Send(vt.WR(3, verbs.OpSend, from[:]...))
	want(t, cq.Poll(), 3, verbs.WCLocLenErr)
}
