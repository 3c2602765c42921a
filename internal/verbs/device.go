package verbs

import (
	"crypto/rand"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/freeflow-rdma/freeflow/internal/engine"
	"github.com/freeflow-rdma/freeflow/internal/mem"
	"github.com/freeflow-rdma/freeflow/internal/qos"
	"github.com/freeflow-rdma/freeflow/internal/shm"
)

var pageSize = shm.PageSize

// NewProcess binds a process' mem file; see package mem.
func NewProcess(file *os.File, pid int) *Process { return mem.NewProcess(file, pid) }

// Carrier moves the messages of queue pairs.
type Carrier interface {
	// Run is engine.Runner's, for one queue pair.
	Run(w *engine.Worker, qp *QP, budget int) engine.Verdict
	// Open is called once for each new queue pair, before anybody else sees it: the carrier may leave its own state in Ext.
	Open(qp *QP)
	// Reset says that a queue pair is in RESET, or gone, and no worker is at it: what the carrier knows of it is void.
	Reset(qp *QP)
}

// Device is the virtual NIC of a host: the tables of everything that has a number there.
type Device struct {
	log      *slog.Logger
	eng      *engine.Engine
	carrier  Carrier
	qps      *table[QP]
	keys     *table[region]
	windows  *table[window]
	tags     []atomic.Uint32 // last tag of each key index, four to a word
	ctxs     *table[Context]
	late     lateMail
	networks atomic.Pointer[map[string]*network] // replaced, never changed
	topology atomic.Uint64                       // counts the replacements
	mtu      atomic.Uint32                       // SetMTU's
	mu       sync.Mutex                          // of networks and containers
	conts    map[string]*Container
	mrWatch  MRWatch
	lastMR   atomic.Uint64
	params   standing
	access   access
	meter    meter

	hosted     atomic.Pointer[map[GID][]*QP] // HostMembers'; replaced, never changed
	groupWatch func(g GID, has bool)
}

// MRWatch is told of every registration that comes and goes. Its methods are called under a context's lock and return at once.
type MRWatch interface {
	AddMR(MRRow)
	RemoveMR(id uint64)
}

// WatchMRs says who is told. To be called before there are contexts.
func (d *Device) WatchMRs(w MRWatch) { d.mrWatch = w }

func (d *Device) forgetMR(mr *MR) {
	if d.mrWatch != nil {
		d.mrWatch.RemoveMR(mr.id)
	}
}

// firstQPN: 0 and 1 are the management queue pairs'.
const firstQPN = 16

// NewDevice makes an empty device whose messages the carrier moves on the engine's workers.
func NewDevice(log *slog.Logger, eng *engine.Engine, carrier Carrier) *Device {
	d := &Device{log: log, eng: eng, carrier: carrier, conts: map[string]*Container{},
		qps: newTable[QP](firstQPN, 1<<24), keys: newTable[region](1, 1<<24), windows: newTable[window](1, 1<<24),
		tags: make([]atomic.Uint32, 1<<22), ctxs: newTable[Context](1, 1<<20)}
	d.networks.Store(&map[string]*network{})
	d.mtu.Store(MaxMTU)
	d.lastMR.Store(uint64(mathrand.Uint32()) << 20) // not where an earlier router began
	// Windows are found under their key's index, so this table never reserves; its chunks appear as keys do.
	d.windows.shadow()
	return d
}

// newTag gives the next tag of a key index.
func (d *Device) newTag(index uint32) uint8 {
	shift := index % 4 * 8
	w := &d.tags[index/4]
	for {
		old := w.Load()
		tag := uint8(old>>shift) + 1
		if w.CompareAndSwap(old, old&^(0xff<<shift)|uint32(tag)<<shift) {
			return tag
		}
	}
}

// Quiesce waits until no worker holds what was unlinked before the call.
func (d *Device) Quiesce() { d.eng.Quiesce() }

// WorkerOfCPU is engine.Engine.WorkerOfCPU.
func (d *Device) WorkerOfCPU() []uint8 { return d.eng.WorkerOfCPU() }

// SetMTU says what path MTU the port has (a code, 1 to 5: 256 to 4096 bytes). Queue pairs that are there keep theirs.
func (d *Device) SetMTU(code uint8) { d.mtu.Store(uint32(code)) }

// MTU is the port's path MTU code.
func (d *Device) MTU() uint8 { return uint8(d.mtu.Load()) }

// MTUBytes is the path MTU of a code, in bytes.
func MTUBytes(code uint8) uint32 { return 128 << code }

// Topology changes whenever Lookup may answer something else than before. Any goroutine.
func (d *Device) Topology() uint64 { return d.topology.Load() }

// QP finds a queue pair by number; nil if there is none. Any goroutine.
func (d *Device) QP(n QPN) *QP { return d.qps.get(uint32(n)) }

// Container is one container on this host. Its GIDs and names do not change while it is registered.
type Container struct {
	ID, Name, Network string
	VNI               uint32 // the network's number on the wire; 0: the network is this host's alone
	GIDs              []GID
	HostGID           int    // index of the host's own address among the GIDs, from which peers are reached that are no routers; 0: there is none
	GUID              uint64 // as sysfs and QueryDevice tell it
	Mode              engine.Mode

	gone   atomic.Bool
	goods  belongings
	params atomic.Pointer[qos.Params] // as last set; nil: never
	limits atomic.Pointer[limits]     // nil: none
	turns  atomic.Pointer[engine.Group]
	gates  gates

	refused atomic.Uint64
	reach   reached
	metered metered
}

// Gone reports whether the container has been removed.
func (c *Container) Gone() bool { return c.gone.Load() }

// EngineMode is how workers serve what the container opens now: as its policy has it, or as it was started.
func (c *Container) EngineMode() engine.Mode {
	if p := c.params.Load(); p != nil && p.Mode != "" {
		if m, err := engine.ParseMode(p.Mode); err == nil {
			return m
		}
	}
	return c.Mode
}

// HasGID reports whether a GID is one of the container's.
func (c *Container) HasGID(g GID) bool {
	for _, x := range c.GIDs {
		if x == g {
			return true
		}
	}
	return false
}

// own are the GIDs that are the container's alone.
func (c *Container) own() []GID {
	if c.HostGID == 0 {
		return c.GIDs
	}
	return slices.Delete(slices.Clone(c.GIDs), c.HostGID, c.HostGID+1)
}

// network is the containers of one virtual network by GID, and its multicast groups. Replaced, never changed.
type network struct {
	byGID  map[GID]*Container
	groups map[GID][]*QP
}

func (n *network) clone() *network {
	m := &network{byGID: map[GID]*Container{}, groups: map[GID][]*QP{}}
	if n != nil {
		for k, v := range n.byGID {
			m.byGID[k] = v
		}
		for k, v := range n.groups {
			m.groups[k] = v
		}
	}
	return m
}

// changeNetwork shows a changed copy of a network.
func (d *Device) changeNetwork(name string, f func(*network) error) error {
	old := *d.networks.Load()
	n := old[name].clone()
	if err := f(n); err != nil {
		return err
	}
	all := make(map[string]*network, len(old)+1)
	for k, v := range old {
		all[k] = v
	}
	if all[name] = n; len(n.byGID) == 0 {
		delete(all, name)
	}
	d.networks.Store(&all)
	d.topology.Add(1)
	return nil
}

// AddContainer makes a container reachable at its GIDs. It fails if one of them is another's in the same network.
func (d *Device) AddContainer(c *Container) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.conts[c.ID] != nil {
		return fmt.Errorf("container %s is registered already", c.ID)
	}
	err := d.changeNetwork(c.Network, func(n *network) error {
		for _, g := range c.own() {
			if o := n.byGID[g]; o != nil {
				return fmt.Errorf("address %v is container %s's", g.Addr(), o.Name)
			}
			n.byGID[g] = c
		}
		return nil
	})
	if err == nil {
		d.conts[c.ID] = c
	}
	return err
}

// RemoveContainer takes a container's GIDs away. Its contexts are closed by whoever owns them.
func (d *Device) RemoveContainer(c *Container) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.conts[c.ID] != c {
		return
	}
	c.gone.Store(true)
	d.params.forget(c)
	d.meter.bury(c)
	delete(d.conts, c.ID)
	_ = d.changeNetwork(c.Network, func(n *network) error {
		for _, g := range c.own() {
			delete(n.byGID, g)
		}
		return nil
	})
}

// Lookup finds the container that has a GID in a network; nil if none. Any goroutine.
func (d *Device) Lookup(netw string, g GID) *Container {
	n := (*d.networks.Load())[netw]
	if n == nil {
		return nil
	}
	return n.byGID[g]
}

// Sizes of a context's arenas. The memory file holds what a program registers, the rings file its queues.
const (
	ringSegment   = 1 << 20
	ringLimit     = 8 << 30
	memorySegment = 64 << 20
	memoryLimit   = 1 << 40
)

// OpenContext opens the device for a process of a container.
func (d *Device) OpenContext(c *Container) (_ *Context, err error) {
	ctx := &Context{dev: d, cont: c}
	if err = ctx.claim(qos.Contexts, 1); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			ctx.release()
		}
	}()
	if ctx.rings, err = shm.NewArena("freeflow-rings", ringSegment, ringLimit); err != nil {
		return nil, err
	}
	if ctx.memory, err = shm.NewArena("freeflow-memory", memorySegment, memoryLimit); err != nil {
		return nil, err
	}
	ctx.pds, ctx.mrs, ctx.mws = newTable[pd](0, MaxPD), newTable[MR](0, MaxMR), newTable[window](0, MaxMW)
	ctx.cqs, ctx.qps, ctx.srqs = newTable[CQ](0, MaxCQ), newTable[QP](0, MaxQP), newTable[SRQ](0, MaxSRQ)
	ctx.ahs = newTable[ah](1, MaxAH) // number 0 would make the provider resolve by itself
	ctx.channels = map[uint64]*Channel{}
	if ctx.async, err = newChannel(&d.late); err != nil {
		return nil, err
	}
	if ctx.bell, err = d.eng.Add(c.EngineMode(), ctx.itemOf); err != nil {
		return nil, err
	}
	if _, err = rand.Read(ctx.token[:]); err != nil {
		return nil, err
	}
	id, err := d.ctxs.reserve()
	if err != nil {
		return nil, syscall.ENOMEM
	}
	ctx.id = id
	d.ctxs.put(id, ctx)
	return ctx, nil
}

// Context finds an open context by its identifier.
func (d *Device) Context(id uint64) *Context {
	if id > MaxContexts {
		return nil
	}
	return d.ctxs.get(uint32(id))
}

// MaxContexts is the number of contexts a host can have.
const MaxContexts = 1<<20 - 1
