package transport

import (
	"fmt"
	"testing"

	"github.com/freeflow-rdma/freeflow/internal/qos"
	"github.com/freeflow-rdma/freeflow/internal/ring"
	"github.com/freeflow-rdma/freeflow/internal/simnet"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
	vt "github.com/freeflow-rdma/freeflow/internal/verbs/verbstest"
)

// load is a program that keeps a queue pair busy, and what it got done.
type load struct {
	w      *world
	e      *end
	wr     ring.SendWQE
	recv   func()
	size   int
	done   int // bytes of completed messages
	n      int // messages
	failed int
}

// busy starts a load: depth messages of a size are always posted.
func (w *world) busy(e *end, op verbs.Opcode, size, depth int) *load {
	src, dst := w.buffers(size)
	l := &load{w: w, e: e, size: size, recv: func() {}}
	l.wr = vt.WR(1, op, src.SGE(0, size))
	l.wr.RemoteAddr, l.wr.RKey = dst.Addr, uint32(dst.RKey)
	if op == verbs.OpSend {
		l.recv = func() { e.peer.q.Recv(vt.RR(2, dst.SGE(0, size))) }
	}
	for range depth {
		l.post()
	}
	e.run()
	return l
}

func (l *load) post() {
	l.recv()
	l.e.q.Post(l.wr)
}

// measure lets the loads go on for d ns.
func (w *world) measure(d int64, loads ...*load) {
	for until := w.net.Now + d; w.net.Now < until; {
		w.settle(20_000)
		for side := range 2 {
			for {
				e, ok := w.cq[side].PollFor(0)
				if !ok {
					break
				}
				for _, l := range loads {
					if uint32(l.e.qp.Num) != e.QPN || e.Opcode >= uint32(verbs.WCRecv) {
						continue
					}
					if e.Status != 0 {
						l.failed++
						continue
					}
					l.done += l.size
					l.n++
					l.post()
				}
			}
		}
		for _, l := range loads {
			l.e.run()
		}
	}
}

// ratio is the rate since the counters were cleared, over d ns, beside a cap in bits a second.
func (l *load) ratio(d, bits int64) float64 {
	return float64(l.done) * 8e9 / float64(d) / float64(bits)
}

// pacedWorld is a world in which limits run by its clock.
func pacedWorld(t testing.TB, seed uint64, q simnet.Quality) *world {
	w := newWorld(t, seed, q, q)
	w.prog[0].Device().SetClock(func() int64 { return w.net.Now })
	return w
}

func (w *world) limit(side int, f func(p *qos.Params)) {
	p := qos.Default()
	p.Tenant = fmt.Sprint(side)
	f(&p)
	w.prog[side].Device().SetParams(w.prog[side].Cont, p)
}

// TestPacedRates: whatever is sent, and wherever the limit is, the rate is the limit's within 2 %, nothing is sent twice and nobody thinks
// anybody dead.
func TestPacedRates(t *testing.T) {
	type row struct {
		name   string
		typ    verbs.QPType
		op     verbs.Opcode
		side   int  // that has the limit
		egress bool // the limit is of what it sends
		sack   bool
	}
	rows := []row{
		{"SEND out", verbs.TypeRC, verbs.OpSend, 0, true, true},
		{"WRITE out", verbs.TypeRC, verbs.OpRDMAWrite, 0, true, true},
		{"WRITE out, peer no router", verbs.TypeRC, verbs.OpRDMAWrite, 0, true, false},
		{"READ out of the responder", verbs.TypeRC, verbs.OpRDMARead, 1, true, true},
		{"UC out", verbs.TypeUC, verbs.OpRDMAWrite, 0, true, true},
		{"UC out, peer no router", verbs.TypeUC, verbs.OpRDMAWrite, 0, true, false},
		{"SEND in", verbs.TypeRC, verbs.OpSend, 1, false, true},
		{"WRITE in", verbs.TypeRC, verbs.OpRDMAWrite, 1, false, true},
		{"WRITE in, peer no router", verbs.TypeRC, verbs.OpRDMAWrite, 1, false, false},
		{"READ in", verbs.TypeRC, verbs.OpRDMARead, 0, false, true},
		{"UC in", verbs.TypeUC, verbs.OpRDMAWrite, 1, false, true},
	}
	for _, r := range rows {
		for _, mbit := range []int64{20, 500, 5000} {
			t.Run(fmt.Sprintf("%s/%d", r.name, mbit), func(t *testing.T) {
				w := pacedWorld(t, 1, simnet.Quality{Delay: 20_000, Rate: 2_500_000_000})
				w.path.SACK = r.sack
				a, _ := w.pair(r.typ, 63, func(x *verbs.QPAttr) { x.PathMTU, x.AckTimeout, x.RetryCnt = 5, 14, 7 })
				w.limit(r.side, func(p *qos.Params) {
					l := &p.Container.Egress
					if !r.egress {
						l = &p.Container.Ingress
					}
					l.Bits = uint64(mbit) * 1_000_000
				})
				l := w.busy(a, r.op, 65536, 16)
				w.measure(50_000_000+1_000_000_000_000/(mbit*1000), l) // the burst, and the window
				l.done = 0
				d := max(50_000_000, 50_000_000_000/mbit)
				w.measure(d, l)
				c := [2]*Counters{&w.host[0].Counters, &w.host[1].Counters}
				if got := l.ratio(d, mbit*1_000_000); got < 0.98 || got > 1.02 || l.failed > 0 {
					t.Errorf("%.4f of the limit, %d failed; sent again %d, timeouts %d", got, l.failed, c[0].Retransmits.Load(), c[0].Timeouts.Load())
				}
				if !r.sack && !r.egress {
					return // such a peer's timers know nothing of us
				}
				if n := c[0].Timeouts.Load() + c[0].Retransmits.Load() + c[0].DropNoRoom.Load() + c[1].DropNoRoom.Load(); n > 0 {
					t.Errorf("timeouts %d, sent again %d", c[0].Timeouts.Load(), c[0].Retransmits.Load())
				}
			})
		}
	}
}

// TestPacedSlow: a limit so low that a packet takes many times the peer's patience is not taken for a dead peer, in whatever direction.
func TestPacedSlow(t *testing.T) {
	for _, op := range []verbs.Opcode{verbs.OpSend, verbs.OpRDMAWrite, verbs.OpRDMARead} {
		for side := range 2 {
			for _, egress := range []bool{true, false} {
				w := pacedWorld(t, 3, simnet.Quality{Delay: 20_000, Loss: 0.02})
				a, _ := w.pair(verbs.TypeRC, 63, func(x *verbs.QPAttr) { x.PathMTU, x.AckTimeout, x.RetryCnt = 5, 10, 1 })
				w.limit(side, func(p *qos.Params) {
					p.QP.Egress, p.QP.Ingress = qos.Rate{Messages: 20}, qos.Rate{Messages: 20}
					if l := (qos.Rate{Bits: 1_000_000, Burst: 4096}); egress {
						p.QP.Egress = l
					} else {
						p.QP.Ingress = l
					}
				})
				l := w.busy(a, op, 20_000, 4)
				w.measure(700_000_000, l)
				if l.failed > 0 || l.n == 0 {
					t.Errorf("operation %d, side %d, egress %v: %d done, %d failed", op, side, egress, l.n, l.failed)
				}
			}
		}
	}
}

// TestPacedShare: queue pairs of a container that has a limit have equal parts of it, and what the network loses does not count.
func TestPacedShare(t *testing.T) {
	w := pacedWorld(t, 4, simnet.Quality{Delay: 20_000, Rate: 2_500_000_000, Loss: 0.005})
	w.limit(0, func(p *qos.Params) { p.Container.Egress.Bits = 1_000_000_000 })
	var all []*load
	sum := 0.0
	for range 8 {
		a, _ := w.pair(verbs.TypeRC, 63, func(x *verbs.QPAttr) { x.PathMTU, x.AckTimeout, x.RetryCnt = 5, 14, 7 })
		all = append(all, w.busy(a, verbs.OpRDMAWrite, 65536, 8))
	}
	w.measure(20_000_000, all...)
	for _, l := range all {
		l.done = 0
	}
	w.measure(400_000_000, all...)
	for i, l := range all {
		got := l.ratio(400_000_000, 125_000_000)
		if sum += got; got < 0.9 || got > 1.1 {
			t.Errorf("queue pair %d has %.3f of its part", i, got)
		}
	}
	if sum /= 8; sum < 0.98 || sum > 1.02 {
		t.Errorf("all have %.3f of the limit", sum)
	}
}

// TestPacedChange: a new limit counts for what waits already.
func TestPacedChange(t *testing.T) {
	w := pacedWorld(t, 5, simnet.Quality{Delay: 20_000, Rate: 2_500_000_000})
	a, _ := w.pair(verbs.TypeRC, 63, func(x *verbs.QPAttr) { x.PathMTU = 5 })
	w.limit(0, func(p *qos.Params) { p.Container.Egress = qos.Rate{Bits: 1, Burst: 4096} })
	l := w.busy(a, verbs.OpRDMAWrite, 65536, 8)
	for _, mbit := range []int64{1000, 100, 3000} {
		w.limit(0, func(p *qos.Params) { p.Container.Egress.Bits = uint64(mbit) * 1_000_000 })
		w.measure(20_000_000, l)
		l.done = 0
		w.measure(200_000_000, l)
		if got := l.ratio(200_000_000, mbit*1_000_000); got < 0.96 || got > 1.04 {
			t.Errorf("%d Mbit/s: %.3f", mbit, got)
		}
	}
	w.limit(0, func(*qos.Params) {})
	w.measure(10_000_000, l)
	l.done = 0
	w.measure(50_000_000, l)
	if got := l.ratio(50_000_000, 20_000_000_000); got < 0.8 || l.failed > 0 {
		t.Errorf("without a limit: %.3f of the wire", got)
	}
}

// TestPacedMessages: messages a second, in and out.
func TestPacedMessages(t *testing.T) {
	for side := range 2 {
		w := pacedWorld(t, 6, simnet.Quality{Delay: 20_000})
		a, _ := w.pair(verbs.TypeRC, 63, nil)
		w.limit(side, func(p *qos.Params) {
			p.All = qos.Limits{Egress: qos.Rate{Messages: 10_000}, Ingress: qos.Rate{Messages: 10_000}}
		})
		for _, op := range []verbs.Opcode{verbs.OpSend, verbs.OpAtomicFetchAdd} {
			if op == verbs.OpAtomicFetchAdd && side == 1 {
				continue // an atomic's message is counted where it is sent
			}
			l := w.busy(a, op, 8, 16)
			w.measure(10_000_000, l)
			l.n = 0
			w.measure(500_000_000, l)
			if l.n < 4900 || l.n > 5100 || l.failed > 0 {
				t.Errorf("side %d, operation %d: %d messages in half a second, %d failed", side, op, l.n, l.failed)
			}
			l.e.q.To(verbs.StateReset)
			l.e.peer.q.To(verbs.StateReset)
			vt.Connect(l.e.q, l.e.peer.q, nil)
		}
	}
}

// TestPacedDatagrams: a receiver's limit makes senders of datagrams pause, and nothing is lost.
func TestPacedDatagrams(t *testing.T) {
	w := pacedWorld(t, 7, simnet.Quality{Delay: 20_000})
	a, b := w.end(0, w.prog[0].QP(verbs.TypeUD, w.cq[0], 255)), w.end(1, w.prog[1].QP(verbs.TypeUD, w.cq[1], 255))
	for _, e := range []*end{a, b} {
		e.q.Ready(nil, nil)
		e.q.Start(nil)
	}
	const bits = 200_000_000
	w.limit(1, func(p *qos.Params) { p.Container.Ingress.Bits = bits })
	src, dst := w.buffers(8192)
	wr := vt.WR(1, verbs.OpSend, src.SGE(0, 1000))
	wr.RemoteQKey, wr.RemoteQPN = vt.QKey, uint32(b.q.QPN)
	got := 0
	step := func(d int64) {
		for until := w.net.Now + d; w.net.Now < until; w.settle(5000) {
			for {
				if _, ok := w.cq[1].PollFor(0); !ok {
					break
				}
				got++
			}
			for range 100 { // as the fabric would: 50 datagrams a step at most, unless told to pause
				b.q.Recv(vt.RR(2, dst.SGE(0, 1040)))
				if a.conn.PausedUntil(w.net.Now) != 0 || got < 0 {
					break
				}
				a.env.Now = w.net.Now
				a.q.Post(wr)
				a.qp.Next()
				a.qp.Send.Length = 1000
				if _, sent := SendDatagram(&a.env, a.path, a.qp); !sent {
					t.Fatal("no room")
				}
				a.qp.Advance(1)
				a.qp.Complete(verbs.WCSuccess)
				a.qp.Publish()
				w.cq[0].PollFor(0)
				if a.qp.Stats.SentMessages()%8 == 0 {
					break
				}
			}
		}
	}
	step(50_000_000)
	got = 0
	step(500_000_000)
	if r := float64(got) * 8000 / (bits / 2); r < 0.98 || r > 1.02 {
		t.Errorf("%.3f of the limit", r)
	}
	if n := b.qp.Stats.Dropped.Load() + w.host[1].Counters.DropNoRecv.Load(); n != 0 {
		t.Errorf("%d datagrams were lost", n)
	}
}
