package fabric

import (
	"net/netip"

	"github.com/freeflow-rdma/freeflow/internal/fabric/udp"
	"github.com/freeflow-rdma/freeflow/internal/transport"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
	"github.com/freeflow-rdma/freeflow/internal/wire"
)

// Ports of the encapsulations.
const (
	GenevePort = wire.PortGeneve
	RoCEPort   = wire.PortRoCE
)

// Peer is another host.
type Peer struct {
	Addr netip.Addr // on the underlay
	SACK bool       // its router understands selective acknowledgements
	Gone bool       // its lease has run out
}

// Table says where the containers of other hosts are, and which addresses belong to peers that are no routers. It is built with Add and
// AddExternal and does not change once it is given to a Carrier.
type Table struct {
	mtu      uint32
	networks map[uint32]*network // by VNI
	external []netip.Prefix
	dests    map[netip.Addr]*udp.Dest
}

// network is the part of a virtual network that is on other hosts.
type network struct {
	name  string
	byGID map[verbs.GID]*transport.Path
	hosts []*transport.Path // one for each host, for multicast
}

// way is where a path leads. Immutable.
type way struct {
	plain bool
	dest  *udp.Dest
	host  netip.Addr // the peer's host, or the peer that is no router
	vni   uint32
	gid   verbs.GID // the peer's; zero on a path for multicast
}

// NewTable makes an empty table; mtu is the bytes of payload that a packet may have.
func NewTable(mtu uint32) *Table {
	return &Table{mtu: mtu, networks: map[uint32]*network{}, dests: map[netip.Addr]*udp.Dest{}}
}

// Network is a virtual network.
type Network struct {
	VNI  uint32
	Name string
}

// Add says that a container of a network with these GIDs is at a peer. Addresses that no packet can go to are left out.
func (t *Table) Add(in Network, gids []verbs.GID, p Peer) {
	vni := in.VNI
	dest := t.dest(p.Addr, GenevePort)
	if dest == nil {
		return
	}
	n := t.networks[vni]
	if n == nil {
		n = &network{name: in.Name, byGID: map[verbs.GID]*transport.Path{}}
		t.networks[vni] = n
	}
	for _, g := range gids {
		n.byGID[g] = t.path(p, &way{dest: dest, host: p.Addr, vni: vni, gid: g})
	}
	for _, h := range n.hosts {
		if h.Tag.(*way).host == p.Addr {
			return
		}
	}
	n.hosts = append(n.hosts, t.path(p, &way{dest: dest, host: p.Addr, vni: vni}))
}

func (t *Table) path(p Peer, w *way) *transport.Path {
	return &transport.Path{MTU: t.mtu, SACK: p.SACK, Gone: p.Gone, Tag: w}
}

// AddExternal says that peers with these addresses are reached by plain RoCEv2.
func (t *Table) AddExternal(p netip.Prefix) { t.external = append(t.external, p.Masked()) }

func (t *Table) dest(a netip.Addr, port uint16) *udp.Dest {
	if d := t.dests[a]; d != nil {
		return d
	}
	d, err := udp.NewDest(netip.AddrPortFrom(a, port))
	if err != nil {
		return nil
	}
	t.dests[a] = d
	return d
}

// find gives the path to a GID of a network; nil if no other host has it.
func (t *Table) find(vni uint32, g verbs.GID) *transport.Path {
	if n := t.networks[vni]; n != nil {
		return n.byGID[g]
	}
	return nil
}

// isOutside says whether an address is that of a peer that is no router.
func (t *Table) isOutside(a netip.Addr) bool {
	for _, p := range t.external {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// outside gives a path to a peer that is no router; nil if the address is not such a peer's.
func (t *Table) outside(g verbs.GID) *transport.Path {
	a := g.Addr()
	if !t.isOutside(a) {
		return nil
	}
	dest, err := udp.NewDest(netip.AddrPortFrom(a, RoCEPort))
	if err != nil {
		return nil
	}
	return &transport.Path{MTU: t.mtu, Tag: &way{plain: true, dest: dest, host: a, gid: g}}
}
