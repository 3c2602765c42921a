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
	r = &route{attr: a, table: t, topo: qp.Device().Topology(), path: c.find(t, qp, &a.AV), src: source(qp, &a.AV)}
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
	if g := qp.Attr().AV.DGID; qp.Device().Lookup(qp.Container().Network, g) != nil || g == (verbs.GID{}) {
		side = here
	}
	l.side.CompareAndSwap(undecided, side)
	return l.side.Load() == here
}

// find gives the path to the peer that an address vector names; nil if there is none.
func (c *Carrier) find(t *Table, qp *verbs.QP, av *verbs.AHAttr) *transport.Path {
	cont := qp.Container()
	if cont.HostGID != 0 && int(av.SGIDIndex) == cont.HostGID {
		return t.outside(av.DGID)
	}
	if cont.VNI == 0 {
		return nil
	}
	return t.find(cont.VNI, av.DGID)
}

// source is the GID that a queue pair's packets come from.
func source(qp *verbs.QP, av *verbs.AHAttr) verbs.GID {
	gids := qp.Container().GIDs
	if int(av.SGIDIndex) >= len(gids) {
		return gids[0]
	}
	return gids[av.SGIDIndex]
}
