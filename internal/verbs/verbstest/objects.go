package verbstest

import (
	"encoding/binary"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/freeflow-rdma/freeflow/internal/ring"
	"github.com/freeflow-rdma/freeflow/internal/shm"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
)

// Events is a program's end of a completion channel or of the async channel.
type Events struct {
	file *os.File
	p    *Program
}

func (p *Program) events(f *os.File, err error) *Events {
	p.T.Helper()
	if err != nil {
		p.T.Fatal(err)
	}
	p.T.Cleanup(func() { _ = f.Close() })
	return &Events{file: f, p: p}
}

// Channel makes a completion channel.
func (p *Program) Channel() *Events { return p.events(p.CreateCompChannel()) }

// Async gives the async channel. Each event can be read once, whichever Events reads it.
func (p *Program) Async() *Events { return p.events(p.AsyncFile()) }

// Inode names the channel in CQInit.
func (e *Events) Inode() uint64 {
	var st unix.Stat_t
	if err := unix.Fstat(int(e.file.Fd()), &st); err != nil {
		e.p.T.Fatal(err)
	}
	return st.Ino
}

// Next waits at most d for the next event and gives its element and, of an async event, its type.
func (e *Events) Next(d time.Duration) (element uint64, ev verbs.AsyncEvent, ok bool) {
	poll := []unix.PollFd{{Fd: int32(e.file.Fd()), Events: unix.POLLIN}}
	for until := time.Now().Add(d); ; {
		n, err := unix.Poll(poll, int(max(0, time.Until(until)).Milliseconds())+1)
		if err == unix.EINTR {
			continue
		}
		if n == 0 || err != nil {
			return 0, 0, false
		}
		break
	}
	var b [16]byte
	if n, err := unix.Read(int(e.file.Fd()), b[:]); err != nil || n < 8 {
		return 0, 0, false
	}
	return binary.LittleEndian.Uint64(b[:]), verbs.AsyncEvent(binary.LittleEndian.Uint32(b[8:])), true
}

// Want fails the test unless the next event is this one.
func (e *Events) Want(element uint64, ev verbs.AsyncEvent) {
	e.p.T.Helper()
	x, got, ok := e.Next(5 * time.Second)
	if !ok || x != element || got != ev {
		e.p.T.Fatalf("event %d of %#x (any: %v), want %d of %#x", got, x, ok, ev, element)
	}
}

// None fails the test if an event comes within d.
func (e *Events) None(d time.Duration) {
	e.p.T.Helper()
	if x, ev, ok := e.Next(d); ok {
		e.p.T.Fatalf("unexpected event %d of %#x", ev, x)
	}
}

// CQWith makes a completion queue as told.
func (p *Program) CQWith(a verbs.CQInit) *CQ {
	p.T.Helper()
	info, err := p.CreateCQ(a)
	if err != nil {
		p.T.Fatal(err)
	}
	return &CQ{CQInfo: info, client: p.mapQueue(info.Queue), p: p}
}

// Notify arms the completion queue as the library does, in the doorbell file.
func (c *CQ) Notify(solicitedOnly bool) {
	c.p.T.Helper()
	if err := c.p.ReqNotifyCQ(c.Handle, solicitedOnly); err != nil {
		c.p.T.Fatal(err)
	}
}

// None fails the test if a completion comes within d.
func (c *CQ) None(d time.Duration) {
	c.p.T.Helper()
	if e, ok := c.PollFor(d); ok {
		c.p.T.Fatalf("unexpected completion %+v", e)
	}
}

// Resize gives the completion queue room for n completions.
func (c *CQ) Resize(n uint32) error {
	info, err := c.p.Context.ResizeCQ(c.Handle, n)
	if err == nil {
		c.CQInfo, c.client = info, c.p.mapQueue(info.Queue)
	}
	return err
}

// SRQ is a shared receive queue as a program posts to it.
type SRQ struct {
	verbs.SRQInfo
	client
	p *Program
}

// SRQ makes a shared receive queue with room for n receives of 4 SGEs.
func (p *Program) SRQ(n uint32) *SRQ {
	p.T.Helper()
	info, err := p.CreateSRQ(verbs.SRQInit{UserHandle: SRQUser, PD: p.PD, MaxWR: n, MaxSGE: 4})
	if err != nil {
		p.T.Fatal(err)
	}
	return &SRQ{SRQInfo: info, client: p.mapQueue(info.Queue), p: p}
}

// Recv posts receives.
func (s *SRQ) Recv(ws ...ring.RecvWQE) {
	for i := range ws {
		s.postRecv(&ws[i])
	}
}

// Resize gives the shared receive queue room for n receives.
func (s *SRQ) Resize(n uint32) error {
	q, err := s.p.ModifySRQ(s.Handle, verbs.SRQMaskMaxWR, n, 0)
	if err == nil {
		s.Queue, s.client = q, s.p.mapQueue(q)
	}
	return err
}

// The user handles that events of the objects made here carry.
const (
	CQUser  = 0xc0
	SRQUser = 0x50
	QPUser  = 0x9000 // more the number of the queue pair in its program
)

// AH makes an address handle of another program's first address, or of a multicast group.
func (p *Program) AH(g verbs.GID) uint32 {
	p.T.Helper()
	_, num, err := p.CreateAH(p.PD, verbs.AHAttr{IsGlobal: true, PortNum: 1, DGID: g})
	if err != nil {
		p.T.Fatal(err)
	}
	return num
}

// State gives the queue pair's state by QueryQP.
func (q *QP) State() verbs.State {
	q.p.T.Helper()
	a, _, err := q.p.QueryQP(q.Handle)
	if err != nil {
		q.p.T.Fatal(err)
	}
	return a.State
}

// WantState waits until the queue pair is in a state.
func (q *QP) WantState(s verbs.State) {
	q.p.T.Helper()
	for until := time.Now().Add(5 * time.Second); q.State() != s; time.Sleep(100 * time.Microsecond) {
		if time.Now().After(until) {
			q.p.T.Fatalf("queue pair is in %v, want %v", q.State(), s)
		}
	}
}

// To takes the queue pair to ERR or RESET.
func (q *QP) To(s verbs.State) { q.Modify(verbs.MaskState, verbs.QPAttr{State: s}) }

// MapShared gives n bytes of memory that the router has mapped, not registered, with the extent to register them with.
func (p *Program) MapShared(n int) ([]byte, verbs.Extent) {
	p.T.Helper()
	off, err := p.MemAlloc(uint64(n))
	if err != nil {
		p.T.Fatal(err)
	}
	b, err := shm.Map(p.MemoryFile(), off, shm.PageUp(uint64(n)))
	if err != nil {
		p.T.Fatal(err)
	}
	p.T.Cleanup(func() { shm.Unmap(b) })
	return b, verbs.Extent{VA: address(b), Length: uint64(len(b)), Offset: off}
}

// Register registers memory with the extents given, and with IOVA as its name if that is not zero.
func (p *Program) Register(b []byte, access verbs.Access, iova uint64, ext ...verbs.Extent) Buffer {
	p.T.Helper()
	a := address(b)
	if iova == 0 {
		iova = a
	}
	info, err := p.RegMR(p.Proc, verbs.MRInit{PD: p.PD, Start: a, IOVA: iova, Length: uint64(len(b)), Access: access, Extents: ext})
	if err != nil {
		p.T.Fatalf("RegMR: %v", err)
	}
	return Buffer{B: b, Addr: iova, MRInfo: info}
}

// Bytes is the whole mapping of a queue, header included, to write nonsense into.
func (c *CQ) Bytes() []byte { return c.bytes(int(c.Queue.Size)) }

// Bytes is the whole mapping of the queue.
func (s *SRQ) Bytes() []byte { return s.bytes(int(s.Queue.Size)) }

// Bytes are the whole mappings of both queues; the second is nil with an SRQ.
func (q *QP) Bytes() (sq, rq []byte) {
	sq = q.sq.bytes(int(q.SQ.Size))
	if q.RQ.Size != 0 {
		rq = q.rq.bytes(int(q.RQ.Size))
	}
	return sq, rq
}
