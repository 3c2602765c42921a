package rdmacm

import (
	"net/netip"
	"slices"
	"syscall"

	"github.com/freeflow-rdma/freeflow/internal/uapi"
)

// port is a port of a port space. Each container has its own, and each space of a container.
type port struct{ space, num uint16 }

// isAny reports whether an address stands for all of a container's: the wildcard, and, as the kernel has it, loopback. An address that
// is not set does too.
func isAny(a uapi.SockAddr) bool {
	return !a.Addr.IsValid() || a.Addr.IsUnspecified() || isLoopback(a.Addr)
}

func isLoopback(a netip.Addr) bool { return a.Unmap().IsLoopback() }

// same is cma_addr_cmp: link-local addresses need their scopes too.
func same(a, b uapi.SockAddr) bool {
	return a.Family == b.Family && a.Addr == b.Addr && (!a.Addr.IsLinkLocalUnicast() || a.ScopeID == b.ScopeID)
}

// getPort gives an ID the port that its address names, or an ephemeral one for 0. Owners that have hung up, which the watch has not
// seen yet, do not count.
func (h *Host) getPort(i *id) error {
	if i.src.Port == 0 {
		return i.m.anyPort(i, h.rand)
	}
	p := port{i.ps, i.src.Port}
	err := i.m.checkPort(p, i, i.reuse)
	if err != nil && h.reap(i.m.ports[p]) {
		err = i.m.checkPort(p, i, i.reuse)
	}
	if err == nil {
		i.m.hold(p, i)
	}
	return err
}

// reap closes those channels of a port's owners that have hung up, and reports whether there were any.
func (h *Host) reap(owners []*id) (reaped bool) {
	for _, o := range slices.Clone(owners) {
		if !o.ch.closed && o.ch.hungUp() {
			h.closeChannel(o.ch)
			reaped = true
		}
	}
	return reaped
}

// unique is cma_port_is_unique: whether addresses tell an ID's connection from those of the port's owners.
func (m *member) unique(p port, i *id) bool {
	differ := func(a, b uapi.SockAddr) bool { return !isAny(a) && !isAny(b) && !same(a, b) }
	for _, o := range m.ports[p] {
		ports := i.dst.Port != 0 && o.dst.Port != 0 && i.dst.Port != o.dst.Port
		if o != i && !ports && !differ(i.src, o.src) && !differ(i.dst, o.dst) {
			return false
		}
	}
	return true
}

// checkPort is cma_check_port: whether an ID may have a port besides its owners. EADDRINUSE: one has that address; EADDRNOTAVAIL: one of
// the two has all addresses.
func (m *member) checkPort(p port, i *id, reuse bool) error {
	for _, o := range m.ports[p] {
		switch {
		case o == i, reuse && o.reuse, i.afOnly && o.afOnly && i.src.Family != o.src.Family:
		case isAny(i.src), isAny(o.src):
			return syscall.EADDRNOTAVAIL
		case same(i.src, o.src):
			return syscall.EADDRINUSE
		}
	}
	return nil
}

// hold makes an ID an owner of a port, the first.
func (m *member) hold(p port, i *id) {
	m.ports[p] = slices.Insert(m.ports[p], 0, i)
	m.ephemeral(p.space).mark(p.num, true)
	i.port = p
}

// release takes an ID's port away.
func (m *member) release(i *id) {
	if i.port.num == 0 {
		return
	}
	left := slices.DeleteFunc(m.ports[i.port], func(o *id) bool { return o == i })
	if m.ports[i.port] = left; len(left) == 0 {
		delete(m.ports, i.port)
		m.ephemeral(i.port.space).mark(i.port.num, false)
	}
	i.port = port{}
}
