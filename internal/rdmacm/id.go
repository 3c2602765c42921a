package rdmacm

import (
	"slices"
	"syscall"

	"github.com/freeflow-rdma/freeflow/internal/cm"
	"github.com/freeflow-rdma/freeflow/internal/uapi"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
)

// state is where an ID stands (enum rdma_cm_state of the kernel):
//
//	IDLE ─bind→ BOUND ─listen→ LISTEN
//	  │           │ resolve address
//	  └──────────→ ADDR_QUERY → ADDR_RESOLVED ─resolve route→ ROUTE_RESOLVED ─connect→ CONNECT → DISCONNECT
//	             (error: BOUND)                               request came, new ID ───↗
type state uint8

const (
	stateIdle state = iota
	stateBound
	stateListen
	stateAddrQuery
	stateAddrResolved
	stateRouteResolved
	stateConnect
	stateDisconnect
	stateRemoved // the container is gone: nothing works any more
)

var stateNames = [...]string{"IDLE", "BOUND", "LISTEN", "ADDR_QUERY", "ADDR_RESOLVED", "ROUTE_RESOLVED", "CONNECT", "DISCONNECT", "DEVICE_REMOVAL"}

// phase is how far a connection has come, as far as INIT_QP_ATTR and NOTIFY ask.
type phase uint8

const (
	phaseNone        phase = iota // not begun, or over
	phaseReqSent                  // active
	phaseReqReceived              // passive
	phaseRepReceived              // active
	phaseRepSent                  // passive
	phaseEstablished
)

// id is an RDMA-CM ID.
type id struct {
	m   *member
	ch  *channel
	num uint32
	uid uint64 // the program's name for it; 0 until the program has accepted a request: it hears nothing of it before

	ps     uint16
	qpType verbs.QPType
	state  state
	dead   bool // destroyed, though an unread request may name it

	src, dst uapi.SockAddr // as queries show them
	device   bool          // the next two are set: it is known which of our addresses it uses
	sgid     int
	sgidAddr [16]byte
	dgid     [16]byte
	paths    int // 1 if path is set
	path     uapi.PathRec

	port              port // 0 if it has none
	reuse             bool
	afOnly, afOnlySet bool
	tos               uint8
	ackTimeout        uint8
	ackTimeoutSet     bool
	backlog           int // requests that may still wait for the program
	line              []*cm.Event
	listened          uint64 // when it began to listen, in LISTENs

	conn cm.ID // 0: none
	link link

	qpn, qkey uint32
	psn       uint32 // with which the peer is to begin
	srq       bool
	ece       cm.ECE

	timer    timer
	reported uint32 // events that the program has read
	waiting  []*event
	groups   []*group
}

// link is what the two sides agreed upon.
type link struct {
	phase                              phase
	over                               bool  // the program has disconnected
	responderResources, initiatorDepth uint8 // ours
	retry, rnrRetry, timeout, mtu      uint8
	remoteQPN, remotePSN               uint32
}

// newID makes an ID on a channel.
func (h *Host) newID(ch *channel) (*id, error) {
	if !ch.m.c.AddCMIDs(1) {
		return nil, syscall.ENOMEM // over quota
	}
	i := &id{m: ch.m, ch: ch, psn: h.rand() & 0xffffff}
	num, ok := ch.m.ids.add(i)
	if !ok {
		ch.m.c.AddCMIDs(-1)
		return nil, syscall.ENOMEM
	}
	i.num = num
	ch.ids[i] = struct{}{}
	return i, nil
}

// find gives the ID with a number. Errors as ucma_get_ctx: ENOENT if there is none, EINVAL if it is another channel's, EIO if the
// device is gone.
func (ch *channel) find(num uint32) (*id, error) {
	i := ch.m.ids.get(num)
	switch {
	case i == nil:
		return nil, syscall.ENOENT
	case i.ch != ch:
		return nil, syscall.EINVAL
	case i.state == stateRemoved:
		return nil, syscall.EIO
	}
	return i, nil
}

// findBound is find for what needs the device: EINVAL if it is not known which address the ID uses.
func (ch *channel) findBound(num uint32) (*id, error) {
	i, err := ch.find(num)
	if err == nil && !i.device {
		err = syscall.EINVAL
	}
	return i, err
}

// destroyID ends an ID for good. withdrawn is how many tokens its unread events leave in the channel's socket.
func (h *Host) destroyID(i *id) (withdrawn uint32) {
	h.endID(i)
	i.dead = true
	for _, e := range slices.Clone(i.waiting) {
		withdrawn += i.ch.withdraw(e)
		if e.request != nil && !e.request.dead {
			h.destroyID(e.request)
		}
	}
	for _, g := range i.groups {
		i.m.groups.remove(g.num)
	}
	i.groups = nil
	delete(i.ch.ids, i)
	i.m.ids.remove(i.num)
	i.m.c.AddCMIDs(-1)
	return withdrawn
}

// endID stops whatever an ID does, and tells the peer. Its events stay.
func (h *Host) endID(i *id) {
	h.timers.stop(i)
	h.forget(i)
	h.disperse(i)
	i.m.release(i)
}

// forget parts an ID from its connection.
func (h *Host) forget(i *id) {
	if i.conn != 0 && h.conns[i.conn] == i {
		delete(h.conns, i.conn)
		h.machine.Destroy(h.clock(), i.conn)
	}
	i.conn = 0
	i.link.phase = phaseNone
}

// route says who an ID talks to, in the words of package cm.
func (i *id) route() cm.Route {
	r := cm.Route{Local: i.m.party, Src: i.sgidAddr, Dst: i.dgid, SGID: i.sgid, TClass: i.path.TrafficClass}
	if i.sgid != 0 && i.sgid == i.m.c.HostGID {
		r.Local, r.SGID = hostParty, 0
	}
	return r
}

// attach makes one of the container's GIDs the ID's. IPoIB needs InfiniBand.
func (i *id) attach(sgid int) error {
	if i.ps == uapi.PortSpaceIPoIB {
		return syscall.EINVAL
	}
	i.device, i.sgid, i.sgidAddr = true, sgid, i.m.c.GIDs[sgid]
	return nil
}
