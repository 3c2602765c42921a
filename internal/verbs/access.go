package verbs

import (
	"sync"
	"sync/atomic"
)

// Who may talk to whom. The device asks whoever knows the policies, once for each connection and for each destination of datagrams, and again
// when the answer may be another: after SetAccess and Recheck, and when containers come and go. To a queue pair that may not talk to its peer it
// is as if the peer were not there; a connection whose right is taken away ends like one whose peer has died.

// MayTalk says whether a container of this host and a peer may talk with each other, whoever begins. The peer is a GID of the container's network
// or, if sgid is Container.HostGID and not 0, one outside. Any goroutine; it returns at once.
type MayTalk func(c *Container, sgid int, peer GID) bool

// access is what the device knows of it.
type access struct {
	ask   atomic.Pointer[MayTalk] // nil: everybody may talk to everybody
	epoch atomic.Uint64
}

// verdict is the answer for a connection. Immutable.
type verdict struct {
	attr        *QPAttr
	epoch, topo uint64
	ok          bool
}

// SetAccess says who decides from now on, for existing connections as for new ones; nil: all may talk. Not for workers.
func (d *Device) SetAccess(f MayTalk) {
	if f == nil {
		d.access.ask.Store(nil)
	} else {
		d.access.ask.Store(&f)
	}
	d.Recheck()
}

// Recheck says that the answers of MayTalk may be others now. Connections that it denies go to error at once. Not for workers.
func (d *Device) Recheck() {
	d.access.epoch.Add(1)
	d.qps.each(func(_ uint32, qp *QP) {
		if s := qp.State(); qp.Type == TypeUD || s < StateRTR || s == StateError || qp.MayTalk() {
			return
		}
		qp.cut.Store(true)
		qp.ctx.cont.refused.Add(1)
		d.eng.Schedule(&qp.Item)
	})
}

// Cut reports whether the right to talk has been taken from a connected queue pair: the carrier fails it. Any worker.
func (qp *QP) Cut() bool { return qp.cut.Load() }

// MayTalk reports whether a connected queue pair may talk to its peer. Any worker.
func (qp *QP) MayTalk() bool {
	f := qp.dev.access.ask.Load()
	if f == nil {
		return true
	}
	a, epoch, topo := qp.attr.Load(), qp.dev.access.epoch.Load(), qp.dev.topology.Load()
	if v := qp.verdict.Load(); v != nil && v.attr == a && v.epoch == epoch && v.topo == topo {
		return v.ok
	}
	ok := (*f)(qp.ctx.cont, int(a.AV.SGIDIndex), a.AV.DGID)
	qp.verdict.Store(&verdict{a, epoch, topo, ok})
	return ok
}

// MayReach reports whether datagrams may pass between one of the container's addresses and a peer, either way. Any worker.
func (qp *QP) MayReach(sgid int, peer GID) bool {
	f := qp.dev.access.ask.Load()
	if f == nil {
		return true
	}
	c := qp.ctx.cont
	return c.reach.may(f, c, where{c.HostGID != 0 && sgid == c.HostGID, peer}, qp.dev.access.epoch.Load()+qp.dev.topology.Load())
}

// Refuse counts something that was not carried because its peer may not be talked to. Any worker.
func (qp *QP) Refuse() {
	qp.ctx.cont.refused.Add(1)
	qp.Stats.Dropped.Add(1)
}

// Refused counts what was not carried because the container may not talk to the peer, and connections that were ended for it. Any goroutine.
func (c *Container) Refused() uint64 { return c.refused.Load() }

// reached remembers the answers for a container's datagrams.
type reached struct {
	mu    sync.RWMutex
	epoch uint64
	known map[where]bool
}

// where is a peer: outside, or in the container's network.
type where struct {
	outside bool
	peer    GID
}

// reachedMost bounds the memory that a program can make us use by sending to many addresses.
const reachedMost = 4096

func (r *reached) may(f *MayTalk, c *Container, w where, epoch uint64) bool {
	r.mu.RLock()
	ok, known := r.known[w]
	known = known && r.epoch == epoch
	r.mu.RUnlock()
	if known {
		return ok
	}
	sgid := 0
	if w.outside {
		sgid = c.HostGID
	}
	ok = (*f)(c, sgid, w.peer)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.epoch != epoch || len(r.known) >= reachedMost {
		r.epoch, r.known = epoch, map[where]bool{}
	}
	r.known[w] = ok
	return ok
}
