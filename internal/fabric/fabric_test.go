package fabric

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/freeflow-rdma/freeflow/internal/ring"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
	vt "github.com/freeflow-rdma/freeflow/internal/verbs/verbstest"
)

// connected is a queue pair on each of two hosts.
type connected struct {
	a, b     *testHost
	qa, qb   *vt.QP
	src, dst vt.Buffer
}

func connect(t testing.TB, typ verbs.QPType, size int, tune func(*verbs.QPAttr)) *connected {
	t.Helper()
	hs := hosts(t, 2)
	c := &connected{a: hs[0], b: hs[1]}
	c.qa, c.qb = c.a.prog.QP(typ, c.a.cq, 63), c.b.prog.QP(typ, c.b.cq, 63)
	vt.Connect(c.qa, c.qb, func(a *verbs.QPAttr) {
		a.AckTimeout = 18 // a second: a busy machine is no silent peer
		if tune != nil {
			tune(a)
		}
	})
	c.src, c.dst = c.a.prog.Shared(size, vt.AllAccess), c.b.prog.Shared(size, vt.AllAccess)
	r := rand.New(rand.NewPCG(uint64(size), 0))
	for i := range c.src.B {
		c.src.B[i] = byte(r.Uint32())
	}
	return c
}

func want(t *testing.T, e ring.CQE, id uint64, status verbs.WCStatus) {
	t.Helper()
	if e.WRID != id || e.Status != uint32(status) {
		t.Fatalf("completion of %d with status %d, want %d with %d", e.WRID, e.Status, id, status)
	}
}

// TestMessages sends, writes and reads messages of many sizes from one host to another.
func TestMessages(t *testing.T) {
	for _, mtu := range []uint8{1, 3, 5} {
		for _, size := range []int{0, 1, 255, 256, 4096, 4097, 65536, 1<<20 + 3} {
			t.Run(fmt.Sprintf("mtu %d size %d", verbs.MTUBytes(mtu), size), func(t *testing.T) {
				c := connect(t, verbs.TypeRC, size+1, func(a *verbs.QPAttr) { a.PathMTU = mtu })
				c.qb.Recv(vt.RR(1, c.dst.SGE(0, size+1)))
				c.qa.Send(vt.WR(2, verbs.OpSend, c.src.SGE(0, size)))
				e := c.b.cq.Poll()
				want(t, e, 1, verbs.WCSuccess)
				want(t, c.a.cq.Poll(), 2, verbs.WCSuccess)
				if e.ByteLen != uint32(size) || !bytes.Equal(c.src.B[:size], c.dst.B[:size]) {
					t.Fatal("SEND: data differ")
				}
				clear(c.dst.B)
				c.qa.Send(c.rdma(3, verbs.OpRDMAWrite, size))
				want(t, c.a.cq.Poll(), 3, verbs.WCSuccess)
				if !bytes.Equal(c.src.B[:size], c.dst.B[:size]) || c.dst.B[size] != 0 {
					t.Fatal("WRITE: data differ")
				}
				clear(c.src.B)
				c.qa.Send(c.rdma(4, verbs.OpRDMARead, size))
				want(t, c.a.cq.Poll(), 4, verbs.WCSuccess)
				if !bytes.Equal(c.src.B[:size], c.dst.B[:size]) {
					t.Fatal("READ: data differ")
				}
			})
		}
	}
}

// rdma is a request from the first host to the second one's buffer.
func (c *connected) rdma(id uint64, op verbs.Opcode, n int) ring.SendWQE {
	w := vt.WR(id, op, c.src.SGE(0, n))
	w.RemoteAddr, w.RKey = c.dst.Addr, uint32(c.dst.RKey)
	return w
}
