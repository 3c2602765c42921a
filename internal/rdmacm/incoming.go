package rdmacm

import (
	"net/netip"

	"github.com/freeflow-rdma/freeflow/internal/cm"
	"github.com/freeflow-rdma/freeflow/internal/uapi"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
)

// ask is a REQ or SIDR_REQ that came.
type ask struct {
	route   cm.Route
	service uint64
	header  cm.CMAHeader
	port    port
	qpType  verbs.QPType
	private []byte
	user    []byte // the program's part of it
}

// verdict is what becomes of a request.
type verdict uint8

const (
	taken     verdict = iota
	noService         // nobody listens there
	refused           // somebody does, but not for this; or it is not what it says
	noRoom            // there are too many already
)

// What the peer is told of a request that is not taken: the reason of a REJ, the status of a SIDR_REP.
var (
	rejReasons   = [...]uint16{noService: cm.RejInvalidServiceID, refused: cm.RejConsumerDefined, noRoom: cm.RejNoResources}
	sidrStatuses = [...]uint8{noService: cm.SIDRUnsupported, refused: cm.SIDRReject, noRoom: cm.SIDRReject}
)

// requested is cma_ib_req_handler of the kernel: a REQ or a SIDR_REQ came.
func (h *Host) requested(ev *cm.Event) {
	a := newAsk(ev)
	listener, v := h.listener(&a)
	if v == taken && listener.backlog == 0 {
		if v = h.lineUp(listener, ev); v == taken {
			return
		}
	}
	var i *id
	if v == taken {
		i, v = h.child(listener, &a, ev.ID)
	}
	if v != taken {
		h.turnAway(&a, ev, v)
		return
	}
	p := i.take(ev)
	p.setPrivate(a.user)
	listener.ch.push(&event{of: listener, request: i, uid: listener.uid, num: i.num, kind: uapi.UCMConnectRequest, params: p})
	_ = h.machine.Extend(h.clock(), ev.ID, patience) // of no meaning to SIDR
}

func newAsk(ev *cm.Event) ask {
	switch {
	case ev.Kind == cm.SIDRRequested:
		return ask{route: ev.Route, service: ev.SIDRReq.ServiceID, qpType: verbs.TypeUD, private: ev.SIDRReq.Private}
	case ev.Req.QPType == cm.UC:
		return ask{route: ev.Route, service: ev.Req.ServiceID, qpType: verbs.TypeUC, private: ev.Req.Private}
	}
	return ask{route: ev.Route, service: ev.Req.ServiceID, qpType: verbs.TypeRC, private: ev.Req.Private}
}

// turnAway tells a peer why its request is not taken.
func (h *Host) turnAway(a *ask, ev *cm.Event, v verdict) {
	h.counters.Untaken[v].Add(1)
	if ev.Kind == cm.SIDRRequested {
		_ = h.machine.ReplySIDR(h.clock(), ev.ID, &cm.SIDRRep{Status: sidrStatuses[v], ServiceID: a.service})
	} else {
		_ = h.machine.Reject(h.clock(), ev.ID, &cm.Rej{Reason: rejReasons[v]})
	}
	h.machine.Destroy(h.clock(), ev.ID)
}

// take keeps of a REQ what the connection needs, and gives what the program is told. Of a SIDR_REQ there is nothing to keep.
func (i *id) take(ev *cm.Event) params {
	q := ev.Req
	if q == nil {
		return params{}
	}
	i.paths = 1
	i.path.FlowLabel, i.path.TrafficClass, i.path.MTU = q.FlowLabel, q.TrafficClass, q.PathMTU
	i.path.PacketLifeTime = max(q.LocalAckTimeout, 1) - 1
	i.link = link{phase: phaseReqReceived, responderResources: q.InitiatorDepth, initiatorDepth: q.ResponderResources, retry: q.RetryCount,
		rnrRetry: q.RNRRetryCount, timeout: i.path.PacketLifeTime + 1, mtu: q.PathMTU, remoteQPN: q.QPN, remotePSN: q.StartPSN}
	return params{qpn: q.QPN, responderResources: clip(q.InitiatorDepth), initiatorDepth: clip(q.ResponderResources), retry: q.RetryCount,
		rnr: q.RNRRetryCount, srq: q.SRQ, flowControl: q.FlowControl, ece: q.ECE}
}

// listener finds who takes a request. The RDMA-CM header must say of the two addresses what the packet said.
func (h *Host) listener(a *ask) (*id, verdict) {
	space, num, ok := cm.SplitServiceID(a.service)
	if !ok {
		return nil, noService
	}
	a.port = port{space, num}
	var err error
	a.header, a.user, err = cm.ParseCMAHeader(a.private)
	if err != nil || gidOf(a.header.Dst) != a.route.Src || gidOf(a.header.Src) != a.route.Dst {
		return nil, refused
	}
	best, somebody := h.owner(a)
	switch {
	case best == nil && somebody:
		return nil, refused
	case best == nil:
		return nil, noService
	case best.qpType != 0 && best.qpType != a.qpType, !h.allowed(best.m.c, a.header.Src, true):
		return nil, refused
	}
	return best, taken
}

// owner finds who listens for an address, and whether anybody listens on its port at all. The host's own address is that of all
// containers that have it: the first to listen has the port.
func (h *Host) owner(a *ask) (best *id, somebody bool) {
	if m := h.parties[a.route.Local]; m != nil {
		if !h.knows(m.c, a) {
			return nil, true
		}
		return m.listener(a)
	}
	for _, m := range h.members {
		if g := m.c.HostGID; g == 0 || m.c.GIDs[g] != a.route.Src {
			continue
		}
		i, some := m.listener(a)
		somebody = somebody || some
		if i != nil && (best == nil || i.listened < best.listened) {
			best = i
		}
	}
	return best, somebody
}

// knows asks whether the peer is one that the container could reach: a request from outside its network is none of its business.
func (h *Host) knows(c *verbs.Container, a *ask) bool {
	_, gid, ok := h.net.Way(c, a.header.Src)
	return ok && gid == a.route.Dst
}

// listener finds a container's listener for an address: rather one for just this than one for all.
func (m *member) listener(a *ask) (best *id, somebody bool) {
	for _, o := range m.ports[a.port] {
		if o.state != stateListen {
			continue
		}
		somebody = true
		if o.takes(a) && (best == nil || isAny(best.src) && !isAny(o.src)) {
			best = o
		}
	}
	return best, somebody
}

// takes is cma_match_private_data, but for loopback: who listens there takes only what comes from the container itself.
func (i *id) takes(a *ask) bool {
	is4 := i.src.Family == uapi.AFInet
	switch {
	case i.src.Addr.IsValid() && isLoopback(i.src.Addr):
		return is4 == (a.header.IPVersion == 4) && i.m.c.HasGID(a.route.Dst)
	case isAny(i.src):
		return !i.afOnly || is4 == (a.header.IPVersion == 4)
	}
	return gidOf(i.src.Addr) == a.route.Src
}

// child makes the ID of a request, on the listener's channel. The program hears of nothing but the request until it has accepted.
func (h *Host) child(listener *id, a *ask, conn cm.ID) (*id, verdict) {
	i, err := h.newID(listener.ch)
	if err != nil {
		return nil, noRoom
	}
	c := i.m.c
	i.ps, i.qpType = listener.ps, a.qpType
	i.src = sockAddr(a.header.Dst, a.port.num)
	i.dst = sockAddr(a.header.Src, a.header.SrcPort)
	sgid := a.route.SGID
	if a.route.Local == hostParty {
		sgid = c.HostGID
	}
	if i.attach(sgid) != nil {
		h.destroyID(i)
		return nil, refused
	}
	i.dgid = a.route.Dst
	i.path = uapi.PathRec{ServiceID: a.service, DGID: i.dgid, SGID: i.sgidAddr, HopLimit: hopLimit, PKey: pkeyDefault}
	h.join(i, conn)
	listener.backlog--
	return i, taken
}

// sockAddr is an address as queries show it.
func sockAddr(a netip.Addr, port uint16) uapi.SockAddr {
	family := uapi.AFInet6
	if a.Is4() {
		family = uapi.AFInet
	}
	return uapi.SockAddr{Family: family, Port: port, Addr: a}
}
