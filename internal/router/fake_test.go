package router

import (
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/freeflow-rdma/freeflow/internal/verbs"
)

// fakeDevice opens fakeContexts.
type fakeDevice struct {
	t    testing.TB
	next atomic.Uint64
	open atomic.Int64
	mu   sync.Mutex
	last *fakeContext
}

func (d *fakeDevice) OpenContext(*verbs.Container) (Context, error) {
	c := &fakeContext{id: d.next.Add(1), device: d, rings: memfd(d.t, 4096), memory: memfd(d.t, 4096), doorbell: memfd(d.t, 8192)}
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		d.t.Error(err)
	}
	c.waker = os.NewFile(uintptr(fd), "waker")
	d.open.Add(1)
	d.mu.Lock()
	d.last = c
	d.mu.Unlock()
	return c, nil
}

// latest is the context that was opened last.
func (d *fakeDevice) latest() *fakeContext {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.last
}

func (d *fakeDevice) WorkerOfCPU() []uint8 { return []uint8{0, 1} }

func memfd(t testing.TB, size int64) *os.File {
	fd, err := unix.MemfdCreate("test", unix.MFD_CLOEXEC)
	if err == nil {
		err = unix.Ftruncate(fd, size)
	}
	if err != nil {
		t.Error(err)
	}
	return os.NewFile(uintptr(fd), "test")
}

// fakeContext writes down what it is asked and answers the same each time, or with fail.
type fakeContext struct {
	id                             uint64
	device                         *fakeDevice
	rings, memory, doorbell, waker *os.File

	mu    sync.Mutex
	calls []string
	fail  error
}

func (c *fakeContext) called(format string, args ...any) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.calls) < 100 { // enough for every test but those with random commands
		c.calls = append(c.calls, fmt.Sprintf(format, args...))
	}
	return c.fail
}

// take gives the calls since the last take.
func (c *fakeContext) take() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	calls := c.calls
	c.calls = nil
	return calls
}

func (c *fakeContext) SetPID(pid int)         { _ = c.called("SetPID %v", pid == os.Getpid()) }
func (c *fakeContext) ID() uint64             { return c.id }
func (c *fakeContext) Token() [16]byte        { return [16]byte{15: byte(c.id), 0: 0xaa} }
func (c *fakeContext) RingsFile() *os.File    { return c.rings }
func (c *fakeContext) MemoryFile() *os.File   { return c.memory }
func (c *fakeContext) DoorbellFile() *os.File { return c.doorbell }
func (c *fakeContext) MTU() uint8             { return verbs.MaxMTU }
func (c *fakeContext) Wakers() []*os.File     { return []*os.File{c.waker} }

func (c *fakeContext) MemAlloc(length uint64) (uint64, error) {
	return 0x4000, c.called("MemAlloc %#x", length)
}
func (c *fakeContext) MemFree(offset, length uint64) error {
	return c.called("MemFree %#x %#x", offset, length)
}
func (c *fakeContext) Unshare(p *verbs.Process, va, length uint64) {
	_ = c.called("Unshare %#x %#x", va, length)
}

func (c *fakeContext) AsyncFile() (*os.File, error) {
	return nullFile(), c.called("AsyncFile")
}
func (c *fakeContext) CreateCompChannel() (*os.File, error) {
	return nullFile(), c.called("CreateCompChannel")
}
func (c *fakeContext) DropProcess(p *verbs.Process) {
	_ = c.called("DropProcess")
	p.Close()
}
func (c *fakeContext) Ring(qp verbs.Handle) { _ = c.called("Ring %d", qp) }
func (c *fakeContext) Fatal()               { _ = c.called("Fatal") }
func (c *fakeContext) Close() {
	_ = c.called("Close")
	c.device.open.Add(-1)
	for _, f := range []*os.File{c.rings, c.memory, c.doorbell, c.waker} {
		if f.Close() != nil {
			c.device.t.Error("a context was closed twice")
		}
	}
}

func nullFile() *os.File {
	f, err := os.Open(os.DevNull)
	if err != nil {
		panic(err)
	}
	return f
}

func (c *fakeContext) AllocPD() (verbs.Handle, error)  { return 7, c.called("AllocPD") }
func (c *fakeContext) DeallocPD(pd verbs.Handle) error { return c.called("DeallocPD %d", pd) }
func (c *fakeContext) DeregMR(mr verbs.Handle) error   { return c.called("DeregMR %d", mr) }
func (c *fakeContext) DeallocMW(mw verbs.Handle) error { return c.called("DeallocMW %d", mw) }
func (c *fakeContext) DestroyAH(ah verbs.Handle) error { return c.called("DestroyAH %d", ah) }
func (c *fakeContext) QuerySRQ(srq verbs.Handle) (verbs.SRQAttr, error) {
	return verbs.SRQAttr{MaxWR: 1, MaxSGE: 2, Limit: 3}, c.called("QuerySRQ %d", srq)
}

func (c *fakeContext) RegMR(_ *verbs.Process, a verbs.MRInit) (verbs.MRInfo, error) {
	return verbs.MRInfo{Handle: 1, LKey: 2, RKey: 3}, c.called("RegMR %+v", a)
}

func (c *fakeContext) AllocMW(pd verbs.Handle, typ uint8) (verbs.MWInfo, error) {
	return verbs.MWInfo{Handle: 1, RKey: 2}, c.called("AllocMW %d %d", pd, typ)
}

func (c *fakeContext) CreateAH(pd verbs.Handle, a verbs.AHAttr) (verbs.Handle, uint32, error) {
	return 1, 2, c.called("CreateAH %d %+v", pd, a)
}

func (c *fakeContext) AttachMcast(qp verbs.Handle, gid verbs.GID, lid uint16) error {
	return c.called("AttachMcast %d %v %d", qp, gid, lid)
}

func (c *fakeContext) DetachMcast(qp verbs.Handle, gid verbs.GID, lid uint16) error {
	return c.called("DetachMcast %d %v %d", qp, gid, lid)
}

func (c *fakeContext) CreateCQ(a verbs.CQInit) (verbs.CQInfo, error) {
	return verbs.CQInfo{Handle: 1, CQE: 2, Queue: verbs.Queue{Offset: 3, Size: 4}}, c.called("CreateCQ %+v", a)
}

func (c *fakeContext) ResizeCQ(cq verbs.Handle, cqe uint32) (verbs.CQInfo, error) {
	return verbs.CQInfo{Handle: 1, CQE: 2, Queue: verbs.Queue{Offset: 3, Size: 4}}, c.called("ResizeCQ %d %d", cq, cqe)
}

func (c *fakeContext) DestroyCQ(cq verbs.Handle) (comp, async uint32, err error) {
	return 1, 2, c.called("DestroyCQ %d", cq)
}

func (c *fakeContext) ReqNotifyCQ(cq verbs.Handle, solicitedOnly bool) error {
	return c.called("ReqNotifyCQ %d %v", cq, solicitedOnly)
}

func (c *fakeContext) CreateQP(a verbs.QPInit) (verbs.QPInfo, error) {
	return verbs.QPInfo{
		Handle: 1, QPN: 2, Cap: verbs.QPCap{MaxSendWR: 3, MaxRecvWR: 4, MaxSendSGE: 5, MaxRecvSGE: 6, MaxInline: 7},
		RQ: verbs.Queue{Offset: 8, Size: 9}, SQ: verbs.Queue{Offset: 10, Size: 11},
	}, c.called("CreateQP %+v", a)
}

func (c *fakeContext) QueryQP(qp verbs.Handle) (verbs.QPAttr, verbs.QPInit, error) {
	a, init := fakeAttr()
	return a, init, c.called("QueryQP %d", qp)
}

func (c *fakeContext) ModifyQP(qp verbs.Handle, mask verbs.AttrMask, a *verbs.QPAttr) error {
	return c.called("ModifyQP %d %#x %+v", qp, uint32(mask), *a)
}

func (c *fakeContext) DestroyQP(qp verbs.Handle) (uint32, error) {
	return 1, c.called("DestroyQP %d", qp)
}

func (c *fakeContext) CreateSRQ(a verbs.SRQInit) (verbs.SRQInfo, error) {
	return verbs.SRQInfo{Handle: 1, MaxWR: 2, MaxSGE: 3, Num: 4, Queue: verbs.Queue{Offset: 5, Size: 6}}, c.called("CreateSRQ %+v", a)
}

func (c *fakeContext) ModifySRQ(srq verbs.Handle, mask, maxWR, limit uint32) (verbs.Queue, error) {
	return verbs.Queue{Offset: 1, Size: 2}, c.called("ModifySRQ %d %d %d %d", srq, mask, maxWR, limit)
}

func (c *fakeContext) DestroySRQ(srq verbs.Handle) (uint32, error) {
	return 1, c.called("DestroySRQ %d", srq)
}

// fakeAttr gives every attribute a value of its own.
func fakeAttr() (verbs.QPAttr, verbs.QPInit) {
	av := func(n byte) verbs.AHAttr {
		return verbs.AHAttr{DGID: verbs.GID{n, 15: n}, FlowLabel: uint32(n) + 1, SGIDIndex: n + 2, HopLimit: n + 3, TrafficClass: n + 4,
			DLID: uint16(n) + 5, SL: n + 6, SrcPathBits: n + 7, StaticRate: n + 8, IsGlobal: true, PortNum: n + 9}
	}
	return verbs.QPAttr{
		State: verbs.StateRTS, CurState: verbs.StateSQD, PathMTU: 1, PathMigState: 2, QKey: 3, RQPSN: 4, SQPSN: 5, DestQPN: 6,
		Access: 7, AV: av(0x40), AltAV: av(0x60), PKeyIndex: 8, AltPKeyIndex: 9, SQDraining: true, MaxRdAtomic: 10, MaxDestRdAtomic: 11,
		MinRNRTimer: 12, PortNum: 13, AckTimeout: 14, RetryCnt: 15, RNRRetry: 16, AltPortNum: 17, AltTimeout: 18,
	}, verbs.QPInit{SigAll: true, Cap: verbs.QPCap{MaxSendWR: 21, MaxRecvWR: 22, MaxSendSGE: 23, MaxRecvSGE: 24, MaxInline: 25}}
}

var errRefused = fmt.Errorf("wrapped: %w", syscall.EBUSY)
