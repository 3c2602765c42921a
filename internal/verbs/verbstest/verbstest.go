// Package verbstest is a program's side of the virtual NIC in Go, for tests and benchmarks of the packages behind the sockets: it
// maps a context's files as the C library would, posts work requests into the rings and polls completions. It
// stands in for libibverbs and the rxe provider, nothing else uses it.
package verbstest

import (
	"log/slog"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/freeflow-rdma/freeflow/internal/engine"
	"github.com/freeflow-rdma/freeflow/internal/ring"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
)

// NIC is a device with its engine.
type NIC struct {
	Dev *verbs.Device
	eng *engine.Engine
	n   byte
}

// New starts an engine and a device that the carrier moves messages for; both end with the test. A carrier with a Bind method is given
// the engine first.
func New(t testing.TB, carrier verbs.Carrier) *NIC {
	t.Helper()
	eng, err := engine.New(slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(eng.Close)
	if b, ok := carrier.(interface{ Bind(*engine.Engine) }); ok {
		b.Bind(eng)
	}
	return &NIC{Dev: verbs.NewDevice(slog.New(slog.NewTextHandler(os.Stderr, nil)), eng, carrier), eng: eng}
}

// Engine is the NIC's.
func (n *NIC) Engine() *engine.Engine { return n.eng }

// Program is a process of a container of its own, with one context, one PD and one CQ.
type Program struct {
	*verbs.Context
	T    testing.TB
	Cont *verbs.Container
	Proc *verbs.Process
	PD   verbs.Handle
	qps  uint64
}

// Program adds a container to network "default" and opens the device in it. It ends with the test.
func (n *NIC) Program(t testing.TB) *Program {
	t.Helper()
	n.n++
	gid := verbs.GIDOf(netip.AddrFrom4([4]byte{10, 77, 0, n.n}))
	c := &verbs.Container{ID: gid.String(), Name: gid.Addr().String(), Network: "default", GIDs: []verbs.GID{gid}}
	if err := n.Dev.AddContainer(c); err != nil {
		t.Fatal(err)
	}
	return n.ProgramIn(t, c)
}

// ProgramIn opens the device in a container that is there.
func (n *NIC) ProgramIn(t testing.TB, c *verbs.Container) *Program {
	t.Helper()
	ctx, err := n.Dev.OpenContext(c)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile("/proc/self/mem", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	p := &Program{Context: ctx, T: t, Cont: c, Proc: verbs.NewProcess(f, os.Getpid())}
	t.Cleanup(func() { ctx.Close(); ctx.DropProcess(p.Proc) })
	if p.PD, err = ctx.AllocPD(); err != nil {
		t.Fatal(err)
	}
	return p
}

// Buffer is registered memory that the router shares: b is the program's view of it, its address the one in work requests.
type Buffer struct {
	B    []byte
	Addr uint64
	verbs.MRInfo
}

// Shared registers n bytes of memory that the router has mapped.
func (p *Program) Shared(n int, access verbs.Access) Buffer {
	p.T.Helper()
	b, ext := p.MapShared(n)
	return p.Register(b[:n], access, 0, ext)
}

// Private registers n bytes of memory that the router reaches through the process.
func (p *Program) Private(n int, access verbs.Access) Buffer {
	p.T.Helper()
	return p.Register(make([]byte, n), access, 0)
}

// SGE names n bytes of the buffer from off on.
func (b *Buffer) SGE(off, n int) ring.SGE {
	return ring.SGE{Addr: b.Addr + uint64(off), Length: uint32(n), LKey: uint32(b.LKey)}
}

// CQ is a completion queue as a program polls it.
type CQ struct {
	verbs.CQInfo
	client
	p *Program
}

// CQ makes a completion queue.
func (p *Program) CQ(n uint32) *CQ {
	p.T.Helper()
	return p.CQWith(verbs.CQInit{UserHandle: CQUser, CQE: n})
}

// Poll waits for the next completion.
func (c *CQ) Poll() ring.CQE {
	c.p.T.Helper()
	e, ok := c.PollFor(10 * time.Second)
	if !ok {
		c.p.T.Fatal("no completion within 10 s")
	}
	return e
}

// PollFor waits at most d for the next completion.
func (c *CQ) PollFor(d time.Duration) (ring.CQE, bool) {
	for until := time.Now().Add(d); ; {
		if e, ok := c.pollOne(); ok {
			return e, true
		}
		if time.Now().After(until) {
			return ring.CQE{}, false
		}
		time.Sleep(5 * time.Microsecond)
	}
}

// QP is a queue pair as a program posts to it.
type QP struct {
	verbs.QPInfo
	User   uint64 // what its events carry
	Type   verbs.QPType
	sq, rq client
	p      *Program
}

// QP makes a queue pair of depth n whose both queues complete in cq.
func (p *Program) QP(t verbs.QPType, cq *CQ, n uint32) *QP {
	p.T.Helper()
	return p.QPWith(verbs.QPInit{PD: p.PD, SendCQ: cq.Handle, RecvCQ: cq.Handle, Type: t,
		Cap: verbs.QPCap{MaxSendWR: n, MaxRecvWR: n, MaxSendSGE: 4, MaxRecvSGE: 4, MaxInline: 64}})
}

// QPWith makes a queue pair as told.
func (p *Program) QPWith(a verbs.QPInit) *QP {
	p.T.Helper()
	if a.UserHandle == 0 {
		a.UserHandle = QPUser + p.qps
		p.qps++
	}
	info, err := p.CreateQP(a)
	if err != nil {
		p.T.Fatal(err)
	}
	q := &QP{QPInfo: info, User: a.UserHandle, Type: a.Type, sq: p.mapQueue(info.SQ), p: p}
	if info.RQ.Size != 0 {
		q.rq = p.mapQueue(info.RQ)
	}
	return q
}

// Modify is ModifyQP; an error fails the test.
func (q *QP) Modify(mask verbs.AttrMask, a verbs.QPAttr) {
	q.p.T.Helper()
	if err := q.p.ModifyQP(q.Handle, mask, &a); err != nil {
		q.p.T.Fatalf("ModifyQP to %v: %v", a.State, err)
	}
}

// AllAccess is every right that a registration or queue pair can give.
const AllAccess = verbs.AccessLocalWrite | verbs.AccessRemoteWrite | verbs.AccessRemoteRead | verbs.AccessRemoteAtomic | verbs.AccessMWBind

// QKey is what UD queue pairs here take.
const QKey = 0x11111111

// Connect takes two queue pairs to RTS, connected to each other. tune changes the attributes of both, if given.
func Connect(a, b *QP, tune func(*verbs.QPAttr)) {
	a.p.T.Helper()
	a.Ready(b, tune)
	b.Ready(a, tune)
	a.Start(tune)
	b.Start(tune)
}

// Ready takes a queue pair to RTR, towards a peer.
func (q *QP) Ready(peer *QP, tune func(*verbs.QPAttr)) {
	q.p.T.Helper()
	a := verbs.QPAttr{PortNum: 1, Access: AllAccess &^ (verbs.AccessLocalWrite | verbs.AccessMWBind), QKey: QKey, PathMTU: 3, MaxDestRdAtomic: 16, MinRNRTimer: 12, RQPSN: 7}
	if peer != nil {
		a.DestQPN = peer.QPN
		a.AV = verbs.AHAttr{IsGlobal: true, PortNum: 1, DGID: peer.p.Cont.GIDs[0]}
	}
	if tune != nil {
		tune(&a)
	}
	a.State = verbs.StateInit
	if q.Type == verbs.TypeUD {
		q.Modify(verbs.MaskState|verbs.MaskPKeyIndex|verbs.MaskPort|verbs.MaskQKey, a)
	} else {
		q.Modify(verbs.MaskState|verbs.MaskPKeyIndex|verbs.MaskPort|verbs.MaskAccessFlags, a)
	}
	a.State = verbs.StateRTR
	mask := verbs.MaskState
	switch q.Type {
	case verbs.TypeRC:
		mask |= verbs.MaskMaxDestRdAtomic | verbs.MaskMinRNRTimer
		fallthrough
	case verbs.TypeUC:
		mask |= verbs.MaskAV | verbs.MaskPathMTU | verbs.MaskDestQPN | verbs.MaskRQPSN
	}
	q.Modify(mask, a)
}

// Start takes a queue pair from RTR to RTS.
func (q *QP) Start(tune func(*verbs.QPAttr)) {
	q.p.T.Helper()
	a := verbs.QPAttr{AckTimeout: 10, RetryCnt: 3, RNRRetry: 7, SQPSN: 7, MaxRdAtomic: 16}
	if tune != nil {
		tune(&a)
	}
	a.State = verbs.StateRTS
	mask := verbs.MaskState | verbs.MaskSQPSN
	if q.Type == verbs.TypeRC {
		mask |= verbs.MaskTimeout | verbs.MaskRetryCnt | verbs.MaskRNRRetry | verbs.MaskMaxRdAtomic
	}
	q.Modify(mask, a)
}

// Post posts work requests and does not ring.
func (q *QP) Post(ws ...ring.SendWQE) {
	for i := range ws {
		q.sq.postSend(&ws[i], q.Type == verbs.TypeUD)
	}
}

// Send posts work requests and rings.
func (q *QP) Send(ws ...ring.SendWQE) {
	q.Post(ws...)
	q.p.Ring(q.Handle)
}

// Recv posts receives.
func (q *QP) Recv(ws ...ring.RecvWQE) {
	for i := range ws {
		q.rq.postRecv(&ws[i])
	}
}

// WR is a work request of one SGE, signaled.
func WR(id uint64, op verbs.Opcode, s ...ring.SGE) ring.SendWQE {
	w := ring.SendWQE{WRID: id, Opcode: uint32(op), SendFlags: uint32(verbs.SendSignaled), NumSGE: uint32(len(s))}
	copy(w.SGE[:], s)
	return w
}

// RR is a receive.
func RR(id uint64, s ...ring.SGE) ring.RecvWQE {
	w := ring.RecvWQE{WRID: id, NumSGE: uint32(len(s))}
	copy(w.SGE[:], s)
	return w
}
