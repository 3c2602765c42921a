package router

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/freeflow-rdma/freeflow/internal/fdconn"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
)

// Context is what sessions need of a *verbs.Context. Errors that are a syscall.Errno are the program's to see; any
// other is a fault here.
type Context interface {
	deviceFiles
	objects
	queues

	// AsyncFile gives the program's end of the asynchronous event channel; the caller closes it.
	AsyncFile() (*os.File, error)
	// DropProcess says that the process' connection has ended: its memory cannot be reached any more.
	DropProcess(p *verbs.Process)
	// Ring is the doorbell by message.
	Ring(qp verbs.Handle)
	// Fatal tells the program that the device is lost.
	Fatal()
	// Close ends the context and all that it owns.
	Close()
}

// deviceFiles are what a program maps and writes to. The files stay the context's.
type deviceFiles interface {
	ID() uint64
	// SetPID notes whose context it is, for operators.
	SetPID(pid int)
	Token() [16]byte
	RingsFile() *os.File
	MemoryFile() *os.File
	DoorbellFile() *os.File
	Wakers() []*os.File
	// MTU is the port's path MTU code.
	MTU() uint8

	MemAlloc(length uint64) (offset uint64, err error)
	MemFree(offset, length uint64) error
	Unshare(p *verbs.Process, va, length uint64)
}

// objects are the verbs of everything but queues.
type objects interface {
	AllocPD() (verbs.Handle, error)
	DeallocPD(pd verbs.Handle) error
	RegMR(p *verbs.Process, a verbs.MRInit) (verbs.MRInfo, error)
	DeregMR(mr verbs.Handle) error
	AllocMW(pd verbs.Handle, typ uint8) (verbs.MWInfo, error)
	DeallocMW(mw verbs.Handle) error
	CreateAH(pd verbs.Handle, a verbs.AHAttr) (ah verbs.Handle, ahNum uint32, err error)
	DestroyAH(ah verbs.Handle) error
	AttachMcast(qp verbs.Handle, gid verbs.GID, lid uint16) error
	DetachMcast(qp verbs.Handle, gid verbs.GID, lid uint16) error
}

// queues are the verbs of completion, work and receive queues.
type queues interface {
	// CreateCompChannel gives the program's end of a new channel; the caller closes it.
	CreateCompChannel() (*os.File, error)
	CreateCQ(a verbs.CQInit) (verbs.CQInfo, error)
	ResizeCQ(cq verbs.Handle, cqe uint32) (verbs.CQInfo, error)
	DestroyCQ(cq verbs.Handle) (compEvents, asyncEvents uint32, err error)
	ReqNotifyCQ(cq verbs.Handle, solicitedOnly bool) error

	CreateQP(a verbs.QPInit) (verbs.QPInfo, error)
	QueryQP(qp verbs.Handle) (verbs.QPAttr, verbs.QPInit, error)
	ModifyQP(qp verbs.Handle, mask verbs.AttrMask, a *verbs.QPAttr) error
	DestroyQP(qp verbs.Handle) (events uint32, err error)

	CreateSRQ(a verbs.SRQInit) (verbs.SRQInfo, error)
	ModifySRQ(srq verbs.Handle, mask, maxWR, limit uint32) (verbs.Queue, error)
	QuerySRQ(srq verbs.Handle) (verbs.SRQAttr, error)
	DestroySRQ(srq verbs.Handle) (events uint32, err error)
}

// Device opens contexts.
type Device interface {
	OpenContext(c *verbs.Container) (Context, error)
	// WorkerOfCPU says for each CPU which waker a thread that runs there writes to.
	WorkerOfCPU() []uint8
}

// shared is a context and how many sessions use it. The server's lock guards refs.
type shared struct {
	Context
	tenant *tenant
	refs   int
}

// opened describes a context as OPEN and JOIN answer.
func (c *shared) opened(workerOfCPU []uint8) (fdconn.Opened, error) {
	rings, doorbell, err := c.stat()
	if err != nil {
		return fdconn.Opened{}, err
	}
	o := fdconn.Opened{
		NWorkers:     uint32(len(c.Wakers())),
		ContextID:    c.ID(),
		Token:        c.Token(),
		RingsDev:     rings.Dev,
		RingsIno:     rings.Ino,
		DoorbellSize: uint64(doorbell.Size),
		WorkerOfCPU:  make([]uint8, len(workerOfCPU)),
	}
	for cpu, w := range workerOfCPU {
		if uint32(w) < o.NWorkers { // a context of another mode than auto has one waker for all
			o.WorkerOfCPU[cpu] = w
		}
	}
	return o, nil
}

// stat tells what the rings file and the doorbell file are.
func (c *shared) stat() (rings, doorbell unix.Stat_t, err error) {
	if err = fstat(c.RingsFile(), &rings); err == nil {
		err = fstat(c.DoorbellFile(), &doorbell)
	}
	return rings, doorbell, err
}

func fstat(f *os.File, st *unix.Stat_t) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return fmt.Errorf("stat %s: %w", f.Name(), err)
	}
	var failed error
	if err := raw.Control(func(fd uintptr) { failed = unix.Fstat(int(fd), st) }); err != nil {
		failed = err
	}
	if failed != nil {
		return fmt.Errorf("stat %s: %w", f.Name(), failed)
	}
	return nil
}

// files are the descriptors of OPEN's answer.
func (c *shared) files() []*os.File {
	return append([]*os.File{c.RingsFile(), c.MemoryFile(), c.DoorbellFile()}, c.Wakers()...)
}
