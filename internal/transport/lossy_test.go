package transport

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/freeflow-rdma/freeflow/internal/simnet"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
	vt "github.com/freeflow-rdma/freeflow/internal/verbs/verbstest"
)

// TestAnything: random work over a random network that loses, doubles, reorders and spoils. Every byte is right, and everything completes, in
// order.
func TestAnything(t *testing.T) {
	n := seeds
	if testing.Short() {
		n = 15
	}
	for seed := range n {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { anything(t, seed) })
	}
}

// seeds is how many runs TestAnything has; more of them find more.
var seeds = uint64(60)

// patch is what one work request shall have made of the memory it wrote to.
type patch struct{ got, want []byte }

func anything(t *testing.T, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 7))
	q := simnet.Quality{Delay: 1000 + r.Int64N(100_000), Jitter: r.Int64N(20_000), LateBy: r.Int64N(300_000), Loss: r.Float64() * 0.06,
		Double: r.Float64() * 0.05, Late: r.Float64() * 0.05, Corrupt: r.Float64() * 0.02}
	if r.IntN(3) == 0 {
		q.Rate, q.Queue, q.Mark = 100_000_000+r.Int64N(1e9), 100_000, 50_000*r.IntN(2)
	}
	w := newWorld(t, seed, q, q)
	w.path.SACK = r.IntN(2) == 0
	mtu := uint8(1 + r.IntN(5))
	depth := uint8(1 + r.IntN(16))
	a, b := w.pair(verbs.TypeRC, 127, func(x *verbs.QPAttr) {
		x.PathMTU, x.AckTimeout, x.RetryCnt, x.RNRRetry = mtu, 16, 7, 7
		x.MaxRdAtomic, x.MaxDestRdAtomic = depth, depth
		x.SQPSN, x.RQPSN = 0xfffff0, 0xfffff0
	})
	if r.IntN(4) == 0 {
		a.limit, b.limit = 1+r.IntN(20), 1+r.IntN(20)
	}
	var patches []patch
	var late []func()
	wrs := 20 + r.IntN(80)
	src, dst := w.buffers(wrs * 8192)
	big, bigTo := w.prog[0].Shared(1<<20, vt.AllAccess), w.prog[1].Shared(1<<20, vt.AllAccess)
	fill(src.B, seed)
	fill(dst.B, seed+1)
	fill(big.B, seed+2)
	counter := dst.Addr + uint64(len(dst.B)) - 8
	binary.LittleEndian.PutUint64(dst.B[len(dst.B)-8:], 0)
	adds, recvs := uint64(0), []uint64{}
	for i := range wrs {
		id, at := uint64(i), i*8192
		n := r.IntN(8192)
		if i == wrs-1 {
			n = r.IntN(8000)
		}
		wr := vt.WR(id, verbs.OpSend, src.SGE(at, n/3), src.SGE(at+n/3, n-n/3))
		wr.RemoteAddr, wr.RKey = dst.Addr+uint64(at), uint32(dst.RKey)
		receive := func() {
			recvs = append(recvs, id)
			post := func() { b.q.Recv(vt.RR(id, dst.SGE(at, n))) }
			if r.IntN(3) == 0 || len(late) > 0 {
				late = append(late, post)
			} else {
				post()
			}
		}
		switch k := r.IntN(7); k {
		case 0, 1:
			receive()
			patches = append(patches, patch{dst.B[at:][:n], src.B[at:][:n]})
		case 2:
			wr.Opcode = uint32(verbs.OpRDMAWrite)
			patches = append(patches, patch{dst.B[at:][:n], src.B[at:][:n]})
		case 3:
			wr.Opcode = uint32(verbs.OpRDMARead)
			patches = append(patches, patch{src.B[at:][:n], bytes.Clone(dst.B[at:][:n])})
		case 4:
			wr = vt.WR(id, verbs.OpAtomicFetchAdd, src.SGE(at, 8))
			wr.RemoteAddr, wr.RKey, wr.CompareAdd = counter, uint32(dst.RKey), 5
			patches = append(patches, patch{src.B[at:][:8], binary.LittleEndian.AppendUint64(nil, adds)})
			adds += 5
		case 5:
			n := r.IntN(300_000)
			wr = vt.WR(id, verbs.OpRDMAWrite, big.SGE(0, n))
			wr.RemoteAddr, wr.RKey = bigTo.Addr, uint32(bigTo.RKey)
			if r.IntN(2) == 0 {
				wr.Opcode, wr.RemoteAddr = uint32(verbs.OpRDMARead), bigTo.Addr+500_000
				wr.SGE[0] = big.SGE(500_000, n)
			}
		case 6:
			wr.Opcode = uint32(verbs.OpRDMAWriteImm)
			receive()
			patches = append(patches, patch{dst.B[at:][:n], src.B[at:][:n]})
		}
		if r.IntN(6) == 0 {
			wr.SendFlags |= uint32(verbs.SendFence)
		}
		a.q.Post(wr)
		if r.IntN(10) == 0 {
			a.run()
			w.settle(r.Int64N(200_000))
		}
	}
	a.run()
	for _, post := range late {
		w.settle(r.Int64N(3_000_000))
		post()
	}
	for until := w.net.Now + 60_000_000_000; w.net.Now < until && a.conn.req.n > 0; {
		w.settle(1_000_000)
	}
	for i := range wrs {
		w.want(0, uint64(i), verbs.WCSuccess)
	}
	for _, id := range recvs {
		w.want(1, id, verbs.WCSuccess)
	}
	for i, p := range patches {
		if !bytes.Equal(p.got, p.want) {
			t.Fatalf("work request %d: memory differs", i)
		}
	}
	if got := binary.LittleEndian.Uint64(dst.B[len(dst.B)-8:]); got != adds {
		t.Fatalf("the counter is %d, want %d", got, adds)
	}
	w.settle(1_000_000_000)
	for i := range w.host {
		if n := w.host[i].pool.used.Load(); n != 0 {
			t.Fatalf("side %d: %d bytes of packets wait after everything", i, n)
		}
	}
}
