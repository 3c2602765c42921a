package transport

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/freeflow-rdma/freeflow/internal/simnet"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
	vt "github.com/freeflow-rdma/freeflow/internal/verbs/verbstest"
)

var near = simnet.Quality{Delay: 10_000}

// TestOperations: every operation of RC in many sizes, over a network that loses nothing.
func TestOperations(t *testing.T) {
	for _, size := range []int{0, 1, 1023, 1024, 1025, 4096, 65536, 1<<20 + 3} {
		t.Run(fmt.Sprint(size), func(t *testing.T) { operations(t, size) })
	}
}

func operations(t *testing.T, size int) {
	w := newWorld(t, 1, near, near)
	a, b := w.pair(verbs.TypeRC, 63, nil)
	src, dst := w.buffers(size + 1)
	fill(src.B, uint64(size))
	check := func(what string) {
		t.Helper()
		if !bytes.Equal(src.B[:size], dst.B[:size]) {
			t.Fatalf("%s: data differ", what)
		}
		if _, ok := w.cq[0].PollFor(0); ok {
			t.Fatalf("%s: one completion too many", what)
		}
	}
	for _, op := range []verbs.Opcode{verbs.OpSend, verbs.OpSendImm} {
		clear(dst.B)
		b.q.Recv(vt.RR(1, dst.SGE(0, size+1)))
		wr := vt.WR(2, op, src.SGE(0, size))
		wr.Imm = 77
		a.q.Post(wr)
		a.run()
		w.settle(50_000_000)
		w.want(1, 1, verbs.WCSuccess)
		w.want(0, 2, verbs.WCSuccess)
		check("send")
	}
	for _, op := range []verbs.Opcode{verbs.OpRDMAWrite, verbs.OpRDMAWriteImm, verbs.OpRDMARead} {
		clear(dst.B)
		if op == verbs.OpRDMAWriteImm {
			b.q.Recv(vt.RR(1))
		}
		if op == verbs.OpRDMARead {
			fill(dst.B, 99)
		}
		wr := vt.WR(3, op, src.SGE(0, size))
		wr.RemoteAddr, wr.RKey = dst.Addr, uint32(dst.RKey)
		a.q.Post(wr)
		a.run()
		w.settle(50_000_000)
		if op == verbs.OpRDMAWriteImm {
			w.want(1, 1, verbs.WCSuccess)
		}
		w.want(0, 3, verbs.WCSuccess)
		check(fmt.Sprint("op ", op))
	}
	w.host[0].Counters.Each(func(n string, v uint64) {
		if v != 0 {
			t.Errorf("requester counts %s %d", n, v)
		}
	})
	w.host[1].Counters.Each(func(n string, v uint64) {
		if v != 0 {
			t.Errorf("responder counts %s %d", n, v)
		}
	})
}

// TestAtomics does both kinds, and many at once.
func TestAtomics(t *testing.T) {
	w := newWorld(t, 1, near, near)
	a, _ := w.pair(verbs.TypeRC, 63, nil)
	src, dst := w.buffers(4096)
	for i := range 40 {
		wr := vt.WR(uint64(i), verbs.OpAtomicFetchAdd, src.SGE(8*i, 8))
		wr.RemoteAddr, wr.RKey, wr.CompareAdd = dst.Addr+16, uint32(dst.RKey), 3
		a.q.Post(wr)
	}
	wr := vt.WR(40, verbs.OpAtomicCmpAndSwp, src.SGE(8*40, 8))
	wr.RemoteAddr, wr.RKey, wr.CompareAdd, wr.Swap = dst.Addr+16, uint32(dst.RKey), 120, 7
	a.q.Post(wr)
	a.run()
	w.settle(50_000_000)
	for i := range 41 {
		w.want(0, uint64(i), verbs.WCSuccess)
		if v := binary.LittleEndian.Uint64(src.B[8*i:]); v != uint64(3*i) {
			t.Fatalf("atomic %d gave %d", i, v)
		}
	}
	if v := binary.LittleEndian.Uint64(dst.B[16:]); v != 7 {
		t.Fatalf("memory holds %d", v)
	}
}

// TestMany: a full queue of messages of mixed kinds, several of them with inline data.
func TestMany(t *testing.T) {
	w := newWorld(t, 1, near, near)
	a, b := w.pair(verbs.TypeRC, 255, nil)
	src, dst := w.buffers(1 << 20)
	fill(src.B, 4)
	for i := range 200 {
		b.q.Recv(vt.RR(uint64(i), dst.SGE(i*4096, 4096)))
		if i%5 == 0 {
			a.q.PostInline(vt.WR(uint64(i), verbs.OpSend), src.B[i*4096:][:60])
		} else {
			a.q.Post(vt.WR(uint64(i), verbs.OpSend, src.SGE(i*4096, 2000), src.SGE(i*4096+2000, 2096)))
		}
	}
	a.run()
	w.settle(100_000_000)
	for i := range 200 {
		w.want(0, uint64(i), verbs.WCSuccess)
		w.want(1, uint64(i), verbs.WCSuccess)
		n := 4096
		if i%5 == 0 {
			n = 60
		}
		if !bytes.Equal(src.B[i*4096:][:n], dst.B[i*4096:][:n]) {
			t.Fatalf("message %d differs", i)
		}
	}
}

// TestRevokedRead: a key that is revoked while a READ is being answered ends it with a remote access error.
func TestRevokedRead(t *testing.T) {
	w := newWorld(t, 1, near, near)
	a, b := w.pair(verbs.TypeRC, 15, nil)
	src, dst := w.buffers(200_000)
	wr := vt.WR(1, verbs.OpRDMARead, src.SGE(0, 200_000))
	wr.RemoteAddr, wr.RKey = dst.Addr, uint32(dst.RKey)
	a.q.Post(wr)
	b.limit, b.held = 5, true // so many responses are sent at once
	a.run()
	w.net.Step()
	if err := w.prog[1].DeregMR(dst.Handle); err != nil {
		t.Fatal(err)
	}
	b.limit, b.held = 64, false
	b.run()
	w.settle(50_000_000)
	w.want(0, 1, verbs.WCRemAccessErr)
	if a.qp.State() != verbs.StateError || b.qp.State() != verbs.StateError {
		t.Fatalf("states %v and %v", a.qp.State(), b.qp.State())
	}
}

// TestChangedEntry: a program that writes over the entry of a work request which has to be sent again has a local QP operation error.
func TestChangedEntry(t *testing.T) {
	w := newWorld(t, 1, near, near)
	a, b := w.pair(verbs.TypeRC, 15, nil)
	src, dst := w.buffers(4096)
	b.q.Recv(vt.RR(1, dst.SGE(0, 4096)), vt.RR(2, dst.SGE(0, 4096)))
	lose := true
	w.link[0].Drop = func([]byte) bool { return lose }
	a.q.Post(vt.WR(1, verbs.OpSend, src.SGE(0, 64)), vt.WR(2, verbs.OpSend, src.SGE(64, 64)))
	a.run()
	w.settle(100_000)
	lose = false
	sq, _ := a.q.Bytes()
	sq[384+16] ^= byte(verbs.SendSolicited)
	w.settle(100_000_000)
	w.want(0, 1, verbs.WCLocQPOpErr)
	w.want(0, 2, verbs.WCWRFlushErr)
	if a.qp.State() != verbs.StateError {
		t.Fatal(a.qp.State())
	}
}
