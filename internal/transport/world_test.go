package transport

import (
	"testing"

	"github.com/freeflow-rdma/freeflow/internal/engine"
	"github.com/freeflow-rdma/freeflow/internal/mem"
	"github.com/freeflow-rdma/freeflow/internal/simnet"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
	vt "github.com/freeflow-rdma/freeflow/internal/verbs/verbstest"
	"github.com/freeflow-rdma/freeflow/internal/wire"
)

// idle is a carrier whose Run does nothing: tests run the connections by hand, in virtual time.
type idle struct{}

func (idle) Run(*engine.Worker, *verbs.QP, int) engine.Verdict { return engine.Idle }
func (idle) Open(qp *verbs.QP)                                 { qp.Ext = Open(qp) }
func (idle) Reset(qp *verbs.QP)                                { qp.Ext.(*Conn).Reset() }

// world is two hosts and the network between them.
//
//	program a ── end[0] ── link[0] ──▶ end[1] ── program b
//	                   ◀── link[1] ──
type world struct {
	testing.TB
	net   *simnet.Net
	host  [2]*Host
	prog  [2]*vt.Program
	cq    [2]*vt.CQ
	link  [2]*simnet.Link
	ends  [2][]*end
	trace func(from int, h *wire.Header, n int, fate string)
	path  Path
}

// end is one queue pair and the worker that has it.
type end struct {
	w     *world
	side  int
	q     *vt.QP
	qp    *verbs.QP
	conn  *Conn
	env   Env
	path  *Path
	limit int  // of Room
	held  bool // does not run by itself
	peer  *end
	due   int64 // when Run is to be called next; 0: never
}

func newWorld(t testing.TB, seed uint64, there, back simnet.Quality) *world {
	nic := vt.New(t, idle{})
	w := &world{TB: t, net: simnet.New(seed), path: Path{MTU: 4096, SACK: true}}
	for i := range 2 {
		w.prog[i] = nic.Program(t)
		w.cq[i] = w.prog[i].CQ(8191)
		w.host[i] = NewHost()
	}
	w.link[0] = w.net.Link(there, w.deliver(1))
	w.link[1] = w.net.Link(back, w.deliver(0))
	return w
}

// deliver parses a packet as the fabric does; one that is spoilt is dropped, as the ICRC would see to.
func (w *world) deliver(to int) func([]byte, bool) {
	return func(b []byte, marked bool) {
		sum := uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 | uint32(b[3])<<24
		if checksum(b[4:]) != sum {
			return
		}
		var a Arrived
		g, packet, err := wire.ParseGeneve(b[4:])
		if err == nil {
			a.Payload, err = wire.Parse(packet, &a.H)
		}
		if err != nil {
			w.Fatal(err)
		}
		a.H.Rider = g.Rider()
		a.H.FECN = a.H.FECN || marked
		for _, e := range w.ends[to] {
			if uint32(e.qp.Num) == a.H.DestQP {
				e.arrive(a)
			}
		}
	}
}

func checksum(b []byte) uint32 {
	h := uint32(2166136261)
	for _, x := range b {
		h = (h ^ uint32(x)) * 16777619
	}
	return h
}

// pair makes and connects two queue pairs of depth n.
func (w *world) pair(t verbs.QPType, n uint32, tune func(*verbs.QPAttr)) (a, b *end) {
	a, b = w.end(0, w.prog[0].QP(t, w.cq[0], n)), w.end(1, w.prog[1].QP(t, w.cq[1], n))
	a.peer, b.peer = b, a
	vt.Connect(a.q, b.q, tune)
	return a, b
}

func (w *world) end(side int, q *vt.QP) *end {
	qp := w.prog[side].Device().QP(q.QPN)
	e := &end{w: w, side: side, q: q, qp: qp, conn: qp.Ext.(*Conn), path: &w.path, limit: 256}
	e.env = Env{Out: e, Scratch: new(mem.Scratch), Host: w.host[side]}
	w.ends[side] = append(w.ends[side], e)
	return e
}

// Packet is Output's: the packet is put together at once.
func (e *end) Packet(p *Path, _ *verbs.QP, h *wire.Header, payload []mem.Span, n int, _ bool) {
	if p == nil {
		e.w.Fatal("a packet without a way")
	}
	h.Pad = wire.PadFor(n)
	front := 4 + wire.GeneveSize // a checksum, then as between routers
	if h.Rider.OK {
		front += wire.RiderSize
	}
	size := front + h.Size() + n + int(h.Pad)
	b := make([]byte, size, size+8) // an ICRC would follow
	if g := wire.Geneve(b[4:]); h.Rider.OK {
		g.PutOptions(wire.Steer{}, &h.Rider, wire.RiderSize)
	}
	h.Put(b[front:])
	if n > 0 {
		if _, err := mem.Copy([]mem.Span{mem.Mapped(b[front+h.Size():][:n])}, payload, nil); err != nil {
			e.w.Fatal(err)
		}
	}
	sum := checksum(b[4:])
	b[0], b[1], b[2], b[3] = byte(sum), byte(sum>>8), byte(sum>>16), byte(sum>>24)
	lost := e.w.link[e.side].Lost
	hdr := *h
	e.w.link[e.side].Send(b)
	if e.w.trace != nil {
		fate := ""
		if e.w.link[e.side].Lost != lost {
			fate = "lost"
		}
		e.w.trace(e.side, &hdr, n, fate)
	}
}

// Room is Output's.
func (e *end) Room() int { return e.limit }

// arrive hands a packet over.
func (e *end) arrive(a Arrived) {
	e.env.Now = e.w.net.Now
	if e.qp.Type == verbs.TypeUD {
		var grh [40]byte
		if e.conn.ReceiveDatagram(&e.env, e.path, &a, &grh) {
			e.run()
		}
		return
	}
	if again := e.conn.Receive(&e.env, e.path, []Arrived{a}); !e.held && (again || e.qp.State() == verbs.StateError) {
		e.run()
	}
}

// run lets the queue pair run until it has no more to do now.
func (e *end) run() {
	for range 10_000 {
		e.env.Now = e.w.net.Now
		var v engine.Verdict
		if e.qp.Type == verbs.TypeUD {
			v = e.conn.Datagrams(&e.env)
		} else {
			v = e.conn.Run(&e.env, e.path, engine.Quantum)
		}
		switch v {
		case engine.Idle:
			e.due = 0
			return
		case engine.Wait:
			at := max(e.qp.WakeAt, e.w.net.Now+1)
			if e.due != at {
				e.due = at
				e.w.net.At(at, func() {
					if e.due == at {
						e.run()
					}
				})
			}
			return
		}
	}
	e.w.Fatal("a queue pair never comes to rest")
}

// settle lets d ns pass.
func (w *world) settle(d int64) { w.net.RunUntil(w.net.Now + d) }

// buffers gives memory on both sides.
func (w *world) buffers(n int) (src, dst vt.Buffer) {
	return w.prog[0].Shared(n, vt.AllAccess), w.prog[1].Shared(n, vt.AllAccess)
}

func fill(b []byte, seed uint64) {
	for i := range b {
		seed = seed*6364136223846793005 + 1442695040888963407
		b[i] = byte(seed >> 56)
	}
}

// want fails unless the next completion of a side is this one.
func (w *world) want(side int, id uint64, status verbs.WCStatus) {
	w.Helper()
	e, ok := w.cq[side].PollFor(0)
	if !ok || e.WRID != id || e.Status != uint32(status) {
		w.Fatalf("side %d: completion %+v (any: %v), want id %d status %d", side, e, ok, id, status)
	}
}
