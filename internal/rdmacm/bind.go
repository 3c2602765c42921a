package rdmacm

import (
	"net/netip"
	"syscall"

	"github.com/freeflow-rdma/freeflow/internal/uapi"
)

func (k *call) bindIP() error {
	var q uapi.UCMBindIPReq
	if err := k.u.Decode(&q); err != nil {
		return err
	}
	return k.bindTo(q.ID, q.Addr[:])
}

func (k *call) bind() error {
	var q uapi.UCMBindReq
	if err := k.u.Decode(&q); err != nil {
		return err
	}
	if q.Reserved != 0 || !fits(q.Addr[:], q.AddrSize) {
		return syscall.EINVAL
	}
	return k.bindTo(q.ID, q.Addr[:])
}

// fits reports whether a size is that of an address.
func fits(addr []byte, size uint16) bool {
	n := uapi.SockAddrSize(uint16(addr[0]) | uint16(addr[1])<<8)
	return n != 0 && n == int(size)
}

func (k *call) bindTo(num uint32, addr []byte) error {
	a, err := uapi.ParseSockAddr(addr)
	if err != nil {
		return err
	}
	i, err := k.ch.find(num)
	if err != nil {
		return err
	}
	return k.h.bindID(i, a, uapi.SockAddr{Family: a.Family})
}

// bindID is rdma_bind_addr: it gives an ID an address of the container, or all of them, and a port. dst is the peer's address if it
// is known.
func (h *Host) bindID(i *id, src, dst uapi.SockAddr) error {
	if i.state != stateIdle {
		return syscall.EINVAL
	}
	if src.Addr.IsLinkLocalUnicast() && src.Addr.Is6() && src.ScopeID == 0 {
		return syscall.EINVAL
	}
	i.src, i.dst = src, dst
	err := h.place(i)
	if err == nil {
		err = h.getPort(i)
	}
	if err != nil {
		i.src, i.dst, i.device = uapi.SockAddr{}, uapi.SockAddr{}, false
		return err
	}
	i.state = stateBound
	return nil
}

// place finds which of the container's GIDs an ID's address is, if it is not all of them.
func (h *Host) place(i *id) error {
	if !i.afOnlySet {
		i.afOnly = i.src.Family == uapi.AFInet
	}
	if isAny(i.src) {
		return nil
	}
	own := ownGID(i.m.c, gidOf(i.src.Addr))
	if own < 0 {
		return syscall.EADDRNOTAVAIL
	}
	return i.attach(own)
}

// listen makes an ID take requests. One that is not bound is bound to all IPv4 addresses and an ephemeral port.
func (k *call) listen() error {
	var q uapi.UCMListenReq
	if err := k.u.Decode(&q); err != nil {
		return err
	}
	i, err := k.ch.find(q.ID)
	if err != nil {
		return err
	}
	if i.backlog = int(q.Backlog); q.Backlog <= 0 || q.Backlog > maxBacklog {
		i.backlog = maxBacklog
	}
	if i.state != stateBound {
		if err := k.h.bindID(i, uapi.SockAddr{Family: uapi.AFInet, Addr: netip.IPv4Unspecified()}, uapi.SockAddr{Family: uapi.AFInet}); err != nil {
			return err
		}
	}
	if i.reuse { // who listens shares its port with nobody
		if err := i.m.checkPort(i.port, i, false); err != nil {
			if !k.h.reap(i.m.ports[i.port]) {
				return err
			}
			if err = i.m.checkPort(i.port, i, false); err != nil {
				return err
			}
		}
		i.reuse = false
	}
	k.h.listens++
	i.state, i.listened = stateListen, k.h.listens
	return nil
}
