package rdmacm

import (
	"net/netip"
	"slices"

	"github.com/freeflow-rdma/freeflow/internal/cm"
	"github.com/freeflow-rdma/freeflow/internal/uapi"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
)

// member is a container's part of the device: its numbers are its own.
type member struct {
	c          *verbs.Container
	party      cm.Party
	ids        numbers[id]
	groups     numbers[group]
	ports      map[port][]*id           // those that are bound to it, the latest first
	lastPort   uint16                   // the ephemeral port given last is not given at once again
	ephemerals map[uint16]*ephemeralSet // by space
	channels   int
	gone       bool
}

// member finds a container's part, or begins it. nil if the container has been removed.
func (h *Host) member(c *verbs.Container) *member {
	if m := h.members[c]; m != nil {
		return m
	}
	if c.Gone() || h.closed {
		return nil
	}
	h.lastParty++
	m := &member{c: c, party: h.lastParty, ports: map[port][]*id{}, ephemerals: map[uint16]*ephemeralSet{}}
	m.ids.limit, m.groups.limit = maxIDs, maxGroups
	h.members[c], h.parties[m.party] = m, m
	return m
}

// RemoveContainer ends a container's IDs and tells its channels DEVICE_REMOVAL. The channels stay until their programs close them.
func (h *Host) RemoveContainer(c *verbs.Container) {
	h.enter()
	defer h.leave()
	m := h.members[c]
	if m == nil {
		return
	}
	m.gone = true
	for _, i := range m.ids.all() {
		if i.device || i.state == stateBound || i.state == stateListen {
			i.tell(uapi.UCMDeviceRemoval, 0, params{})
		}
		h.endID(i)
		i.state = stateRemoved
	}
	h.settle()
	h.machine.RemoveParty(m.party) // the peers have been told
	delete(h.members, c)
	delete(h.parties, m.party)
	h.peersGone(func(o *verbs.Container, peer verbs.GID) bool {
		i := ownGID(c, peer)
		return o.Network == c.Network && i >= 0 && (i == 0 || i != c.HostGID)
	})
}

// PeersGone ends the connections of containers here with peers that are gone for good, as the peers themselves would have done had they been
// able to. gone is asked about each peer, in the network of the container that is given.
func (h *Host) PeersGone(gone func(c *verbs.Container, peer verbs.GID) bool) {
	h.enter()
	defer h.leave()
	h.peersGone(gone)
}

func (h *Host) peersGone(gone func(c *verbs.Container, peer verbs.GID) bool) {
	h.machine.PeersGone(h.clock(), func(r cm.Route) bool {
		m := h.parties[r.Local]
		return m != nil && gone(m.c, r.Dst)
	})
}

// ownGID is the index of one of a container's GIDs, -1 if it is another's.
func ownGID(c *verbs.Container, g verbs.GID) int { return slices.Index(c.GIDs, g) }

// firstGID is the GID that stands for a container where no other is named: of the family, its own rather than the host's, and
// rather one that is not link-local. -1 if there is none.
func firstGID(c *verbs.Container, is4 bool) int {
	best, rank := -1, 0
	for i, g := range c.GIDs {
		a := g.Addr()
		r := 3
		switch {
		case a.Is4() != is4:
			continue
		case i == c.HostGID && i != 0:
			r = 1
		case a.IsLinkLocalUnicast():
			r = 2
		}
		if r > rank {
			best, rank = i, r
		}
	}
	return best
}

// gidOf is the GID of an address, IPv4 or IPv6.
func gidOf(a netip.Addr) [16]byte { return a.WithZone("").As16() }
