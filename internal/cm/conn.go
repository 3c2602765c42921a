package cm

import "github.com/freeflow-rdma/freeflow/internal/wire"

// conn is a connection or a SIDR exchange, or the memory of one.
type conn struct {
	id     ID
	route  Route
	state  state
	orphan bool // the user destroyed it
	memory bool // counts as a memory, not as a connection

	passive   bool   // a REQ or SIDR_REQ made it
	known     bool   // remote is known
	remote    uint32 // the peer's communication ID, or its request ID
	remoteKey remoteKey
	qpnKey    qpnKey
	inQPNs    bool

	tid       uint64 // of the exchange that is under way, or was the last
	reqTID    uint64 // these tell the REQ that made it from others with its ID
	serviceID uint64
	remotePSN uint32

	localQPN, remoteQPN uint32
	alternate           bool // the REQ had an alternate path, which we refuse

	msg        wire.MAD // what is sent until it is answered, or the answer to duplicates
	try        int64    // a message's answer is waited for so long before it is asked for again
	retries    int64
	life       int64 // of timewait
	due        int64 // of the timer
	repeats    int   // of the REJ of a connection in timewait that are still to come
	step       int64 // until the next time that msg is sent
	deadline   int64 // when the peer counts as unreachable
	timerIndex int   // in Machine.timers; -1: none
}

// remoteKey is what a peer calls a connection. The route is in it, so nobody else can speak of it.
type remoteKey struct {
	local    Party
	src, dst [16]byte
	sidr     bool // request IDs of SIDR are names of their own
	id       uint32
}

// qpnKey is a peer's queue pair.
type qpnKey struct {
	local Party
	dst   [16]byte
	qpn   uint32
}

func remoteKeyOf(r Route, id uint32) remoteKey {
	return remoteKey{local: r.Local, src: r.Src, dst: r.Dst, id: id}
}

func qpnKeyOf(r Route, qpn uint32) qpnKey { return qpnKey{r.Local, r.Dst, qpn} }

// sameWay says that two routes join the same two ends.
func sameWay(a, b Route) bool { return a.Local == b.Local && a.Src == b.Src && a.Dst == b.Dst }

// is says that ids are those of a message about c.
func (c *conn) is(ids wire.CMIDs) bool {
	return c.known && ids.Remote == uint32(c.id) && ids.Local == c.remote
}

// ids are those that a message about c begins with.
func (c *conn) ids() wire.CMIDs { return wire.CMIDs{Local: uint32(c.id), Remote: c.remote} }
