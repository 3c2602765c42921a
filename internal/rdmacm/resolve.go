package rdmacm

import (
	"net/netip"
	"syscall"

	"github.com/freeflow-rdma/freeflow/internal/uapi"
)

func (k *call) resolveIP() error {
	var q uapi.UCMResolveIPReq
	if err := k.u.Decode(&q); err != nil {
		return err
	}
	return k.resolveTo(q.ID, q.SrcAddr[:], q.DstAddr[:], q.TimeoutMS)
}

func (k *call) resolveAddr() error {
	var q uapi.UCMResolveAddrReq
	if err := k.u.Decode(&q); err != nil {
		return err
	}
	if q.Reserved != 0 || q.SrcSize != 0 && !fits(q.SrcAddr[:], q.SrcSize) || !fits(q.DstAddr[:], q.DstSize) {
		return syscall.EINVAL
	}
	return k.resolveTo(q.ID, q.SrcAddr[:], q.DstAddr[:], q.TimeoutMS)
}

// resolveTo begins to look for a peer. src may be without family: the address that leads to the peer.
func (k *call) resolveTo(num uint32, src, dst []byte, timeout uint32) error {
	to, err := uapi.ParseSockAddr(dst)
	if err != nil {
		return err
	}
	var from uapi.SockAddr
	if src[0] != 0 || src[1] != 0 {
		if from, err = uapi.ParseSockAddr(src); err != nil {
			return err
		}
	}
	i, err := k.ch.find(num)
	if err != nil {
		return err
	}
	return k.h.resolveID(i, from, to, timeout)
}

// resolveID is rdma_resolve_addr: ADDR_RESOLVED or ADDR_ERROR follows, if no error is returned.
func (h *Host) resolveID(i *id, src, dst uapi.SockAddr, timeoutMS uint32) error {
	if i.state == stateBound {
		i.dst = dst
	} else {
		if src.Family == uapi.AFUnspec {
			src = uapi.SockAddr{Family: dst.Family, Addr: netip.IPv4Unspecified(), ScopeID: dst.ScopeID}
			if dst.Family == uapi.AFInet6 {
				src.Addr = netip.IPv6Unspecified()
			}
		}
		if err := h.bindID(i, src, dst); err != nil {
			return err
		}
	}
	if i.src.Family != dst.Family {
		return syscall.EINVAL
	}
	now := h.clock()
	i.timer = timer{place: i.timer.place, since: now, until: now + int64(timeoutMS)*millisecond}
	found, err := h.look(i)
	switch {
	case err == syscall.EINVAL: // the kernel finds out later that the device does not suit
		i.tell(uapi.UCMAddrError, status(err), params{})
	case err != nil:
		return err
	case found:
		h.addrResolved(i)
	default:
		i.state = stateAddrQuery
		h.timers.set(i, min(now+resolveFirst, i.timer.until))
	}
	return nil
}

func (h *Host) addrResolved(i *id) {
	i.state = stateAddrResolved
	i.tell(uapi.UCMAddrResolved, 0, params{})
}

// look tries to find the way to an ID's peer, and makes it the ID's. found is false if the peer is not known yet. Errors: ENETUNREACH if
// it never will be, EINVAL for a port space without a device.
func (h *Host) look(i *id) (found bool, err error) {
	sgid, dgid, found, err := h.way(i)
	if err != nil || !found {
		return false, err
	}
	if !i.device {
		if err := i.attach(sgid); err != nil {
			return false, err
		}
	}
	i.dgid = dgid
	if isAny(i.src) { // from now on it has the address that it uses
		i.src.Addr = i.m.c.GIDs[sgid].Addr()
		if i.src.Family == uapi.AFInet6 {
			i.src.Addr = netip.AddrFrom16(i.m.c.GIDs[sgid])
		}
	}
	return true, nil
}

// way finds the GIDs for an ID's addresses: our own for loopback, as for a group, and what the network says for a peer.
func (h *Host) way(i *id) (sgid int, dgid [16]byte, found bool, err error) {
	c, dst := i.m.c, i.dst.Addr.Unmap()
	first := firstGID(c, dst.Is4())
	if i.device {
		first = i.sgid
	}
	switch {
	case first < 0:
		return 0, dgid, false, syscall.ENETUNREACH
	case isAny(i.dst):
		return first, c.GIDs[first], true, nil
	case dst.IsMulticast():
		return first, gidOf(dst), true, nil
	case isLoopback(i.src.Addr) && ownGID(c, gidOf(dst)) < 0:
		return 0, dgid, false, syscall.ENETUNREACH
	}
	sgid, gid, found := h.net.Way(c, dst)
	if !found || sgid < 0 || sgid >= len(c.GIDs) {
		return 0, dgid, false, nil
	}
	if i.device {
		if isHost := func(g int) bool { return g != 0 && g == c.HostGID }; isHost(sgid) != isHost(i.sgid) {
			return 0, dgid, false, nil // the way there begins elsewhere than where the ID is bound
		}
		sgid = i.sgid
	}
	return sgid, gid, true, nil
}

// lookAgain is what is done each time that an ID's timer expires while it looks for its peer. It is less often done the longer it
// takes: a peer that is about to start is found soon, and one that never comes costs little.
func (h *Host) lookAgain(i *id) {
	now := h.clock()
	found, err := h.look(i)
	switch {
	case found:
		h.addrResolved(i)
	case err == nil && now < i.timer.until:
		wait := min(max((now-i.timer.since)/8, resolveFirst), resolveLast)
		h.timers.set(i, min(now+wait, i.timer.until))
	default:
		if err == nil {
			err = syscall.ETIMEDOUT
		}
		i.state = stateBound
		i.tell(uapi.UCMAddrError, status(err), params{})
	}
}

// resolveRoute is rdma_resolve_route: there is but one path.
func (k *call) resolveRoute() error {
	var q uapi.UCMResolveRouteReq
	if err := k.u.Decode(&q); err != nil {
		return err
	}
	i, err := k.ch.findBound(q.ID)
	if err != nil {
		return err
	}
	if q.TimeoutMS == 0 || i.state != stateAddrResolved {
		return syscall.EINVAL
	}
	i.setPath(k.h.mtu())
	i.state = stateRouteResolved
	i.tell(uapi.UCMRouteResolved, 0, params{})
	return nil
}

// setPath makes up the path record of an ID as the kernel does for RoCE.
func (i *id) setPath(mtu uint8) {
	i.paths = 1
	i.path = uapi.PathRec{DGID: i.dgid, SGID: i.sgidAddr, FlowLabel: i.flowLabel(), HopLimit: hopLimit, TrafficClass: i.tos,
		PKey: pkeyDefault, MTU: mtu, PacketLifeTime: packetLifeTime}
	if i.ackTimeoutSet && i.ackTimeout != 0 {
		i.path.PacketLifeTime = i.ackTimeout - 1
	}
}

// flowLabel is cma_get_roce_udp_flow_label: what the program said, or a mixture of the ports.
func (i *id) flowLabel() uint32 {
	const mask = 0xfffff
	if fl := i.src.FlowInfo & mask; i.src.Family == uapi.AFInet6 && fl != 0 {
		return fl
	}
	return (uint32(i.src.Port)*31 + uint32(i.dst.Port)) & mask
}
