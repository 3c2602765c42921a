package fabric

import (
	"net/netip"

	"github.com/freeflow-rdma/freeflow/internal/verbs"
)

// Way finds how a container reaches an address: the index of its own GID to send from, and the GID to send to. An address of its network comes
// before that of a peer that is no router; a multicast group is reached within the network. False: nobody is known to have it (yet). Any
// goroutine.
func (c *Carrier) Way(from *verbs.Container, dst netip.Addr) (sgid int, dgid verbs.GID, ok bool) {
	dst = dst.Unmap().WithZone("")
	if !dst.IsValid() {
		return 0, dgid, false
	}
	dgid = verbs.GIDOf(dst)
	t := c.table.Load()
	if dgid.IsMulticast() || c.dev != nil && c.dev.Lookup(from.Network, dgid) != nil || from.VNI != 0 && t.find(from.VNI, dgid) != nil {
		if sgid, ok = indexFor(from, dst); ok {
			return sgid, dgid, true
		}
	}
	if from.HostGID == 0 {
		return 0, dgid, false
	}
	host := from.GIDs[from.HostGID]
	if dgid == host || sameKind(host.Addr(), dst) && (t.isOutside(dst) || dgid.IsMulticast() && len(t.external) > 0) {
		return from.HostGID, dgid, true
	}
	return 0, dgid, false
}

// indexFor gives the index of the address of a container's own that speaks to dst: dst itself, or the first of its kind.
func indexFor(from *verbs.Container, dst netip.Addr) (index int, ok bool) {
	index = -1
	for i, g := range from.GIDs {
		a := g.Addr()
		switch {
		case from.HostGID != 0 && i == from.HostGID:
		case a == dst:
			return i, true
		case index < 0 && sameKind(a, dst):
			index = i
		}
	}
	return index, index >= 0
}

// sameKind says whether an address can send to another: both IPv4, both IPv6 of the link, or both IPv6 of more than the link. A group
// takes every address of its family.
func sameKind(from, to netip.Addr) bool {
	if from.Is4() || to.Is4() {
		return from.Is4() == to.Is4()
	}
	return to.IsMulticast() || from.IsLinkLocalUnicast() == to.IsLinkLocalUnicast()
}
