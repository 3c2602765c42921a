package fabric

import (
	"sync/atomic"

	"github.com/freeflow-rdma/freeflow/internal/transport"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
)

// link is what the carrier keeps of a queue pair (verbs.QP.Ext).
type link struct {
	conn  *transport.Conn
	side  atomic.Uint32 // undecided, here or away
	route atomic.Pointer[route]
	steer steering
}

// Where the peer of a connected queue pair is. Once decided it is so until RESET: work requests that are under way on one side cannot be gone on with on the other.
//
//	undecided ── the peer is on this host ──▶ here
//	        └─── it is elsewhere, or nobody knows it ──▶ away
const (
	undecided uint32 = iota
	here
	away
)

// route is the way to the connected peer, as found for these attributes and this state of the world. Immutable.
type route struct {
	attr  *verbs.QPAttr
	topo  uint64
	table *Table
	path  *transport.Path
	src   verbs.GID
}

func linkOf(qp *verbs.QP) *link { return qp.Ext.(*link) }

// current gives the route of a connected queue pair that is away, found anew if anything has changed. Any worker.
func (c *Carrier) current(qp *verbs.QP) *route {
	l := linkOf(qp)
	r, t := l.route.Load(), c.table.Load()
	if r != nil && r.attr == qp.Attr() && r.table == t && r.topo == qp.Device().Topology() {
		return r
	}
	a := qp.Attr()
	r = &route{attr: a, table: t, topo: qp.Device().Topology(), path: c.find(t, qp, &a.AV), src: *source(qp.Container(), int(a.AV.SGIDIndex))}
	l.route.Store(r)
	return r
}

// isHere decides on which side a connected queue pair is.
func (c *Carrier) isHere(qp *verbs.QP) bool {
	l := linkOf(qp)
	side := l.side.Load()
	if side != undecided {
		return side == here
	}
	if qp.State() < verbs.StateRTR {
		return true // there is nothing to carry
	}
	side = away
	if g := qp.Attr().AV.DGID; qp.Device().Lookup(qp.Container().Network, g) != nil || g == (verbs.GID{}) || toHost(qp) {
		side = here
	}
	l.side.CompareAndSwap(undecided, side)
	return l.side.Load() == here
}

// toHost says whether a queue pair speaks, from the host's own address, to one of its network at the same address.
func toHost(qp *verbs.QP) bool {
	a, cont := qp.Attr(), qp.Container()
	if !fromHost(cont, int(a.AV.SGIDIndex)) || a.AV.DGID != cont.GIDs[cont.HostGID] {
		return false
	}
	peer := qp.Device().QP(a.DestQPN)
	return peer != nil && peer.Container().Network == cont.Network
}

// find gives the path to the peer that an address vector names; nil if there is none.
func (c *Carrier) find(t *Table, qp *verbs.QP, av *verbs.AHAttr) *transport.Path {
	return t.from(qp.Container(), int(av.SGIDIndex), av.DGID)
}

// from gives the path from one of a container's addresses to a GID of another host; nil if there is none.
func (t *Table) from(cont *verbs.Container, sgid int, g verbs.GID) *transport.Path {
	if fromHost(cont, sgid) {
		return t.outside(g)
	}
	if cont.VNI == 0 {
		return nil
	}
	return t.find(cont.VNI, g)
}

// fromHost says whether this index of a container's GIDs is the host's own address, which speaks to peers that are no routers.
func fromHost(cont *verbs.Container, sgid int) bool { return cont.HostGID != 0 && sgid == cont.HostGID }

// source is the GID of a container's that packets come from. It does not change.
func source(cont *verbs.Container, sgid int) *verbs.GID {
	if sgid >= len(cont.GIDs) {
		return &cont.GIDs[0]
	}
	return &cont.GIDs[sgid]
}
