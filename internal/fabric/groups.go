package fabric

import (
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/freeflow-rdma/freeflow/internal/engine"
	"github.com/freeflow-rdma/freeflow/internal/fabric/udp"
	"github.com/freeflow-rdma/freeflow/internal/transport"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
)

// groups makes the host a member, on the underlay, of the groups that queue pairs of containers with the host's address are members of, and
// takes what comes to them.
//
//	AttachMcast ─ changed ─▶ wanted ── keep ──▶ udp.Groups ─▶ IGMP, MLD
//	members ◀──────────── inlet ◀──────────────────┘
//
// Whatever programs do, the network hears of it at most once in a while (calm).
type groups struct {
	inlet
	udp *udp.Groups

	mu     sync.Mutex
	wanted map[netip.Addr]bool

	news chan struct{}
	stop chan struct{}
	done sync.WaitGroup
}

// calm is the time between two looks at what is wanted: who joins and leaves all the time makes no more packets than that.
const calm = 100 * time.Millisecond

// openGroups begins to follow what programs want.
func (c *Carrier) openGroups() error {
	u, err := udp.OpenGroups(netip.AddrPortFrom(c.underlay, RoCEPort))
	if err != nil {
		return err
	}
	g := &groups{udp: u, wanted: map[netip.Addr]bool{}, news: make(chan struct{}, 1), stop: make(chan struct{})}
	g.inlet = inlet{c: c, dev: c.dev, fd: u.FD()}
	c.groups = g
	c.dev.WatchGroups(g.changed)
	g.done.Go(g.keep)
	return c.eng.Watch(g.home, g.fd, g)
}

// GroupCounters are those of the sockets of groups, which are no Port's; nil if there are none.
func (c *Carrier) GroupCounters() *udp.Counters {
	if c.groups == nil {
		return nil
	}
	return &c.groups.udp.Counters
}

// close leaves all groups.
func (g *groups) close() {
	g.c.eng.Forget(g.home, g.fd)
	close(g.stop)
	g.done.Wait()
	g.udp.Close()
}

// changed says that a group of the host's has members, or has none any more.
func (g *groups) changed(gid verbs.GID, has bool) {
	a := gid.Addr()
	if a.Is4() != g.c.underlay.Is4() {
		return // nobody can be asked for it here
	}
	g.mu.Lock()
	if g.wanted[a] = true; !has {
		delete(g.wanted, a)
	}
	g.mu.Unlock()
	select {
	case g.news <- struct{}{}:
	default:
	}
}

// keep joins and leaves.
func (g *groups) keep() {
	for {
		select {
		case <-g.stop:
			return
		case <-g.news:
		}
		g.leave()
		g.join()
		select {
		case <-g.stop:
			return
		case <-time.After(calm):
		}
	}
}

// leave leaves the groups that nobody wants any more.
func (g *groups) leave() {
	var ends []func()
	for _, a := range g.udp.Joined() {
		g.mu.Lock()
		stay := g.wanted[a]
		g.mu.Unlock()
		if !stay {
			ends = append(ends, g.udp.Leave(a))
		}
	}
	if len(ends) == 0 {
		return
	}
	g.c.eng.Quiesce()
	for _, end := range ends {
		end()
	}
}

// join joins those that are wanted. What has no room now may have it when another group has been left.
func (g *groups) join() {
	g.mu.Lock()
	all := make([]netip.Addr, 0, len(g.wanted))
	for a := range g.wanted {
		all = append(all, a)
	}
	g.mu.Unlock()
	joined := g.udp.Joined()
	for _, a := range all {
		if slices.Contains(joined, a) {
			continue
		}
		if g.udp.Join(a) != nil {
			g.c.Counters.GroupsRefused.Add(1)
		}
	}
}

// Ready is engine.Source's: it takes what has come to the groups.
func (g *groups) Ready(w *engine.Worker) (bytes int) {
	g.begin(w)
	g.udp.Poll()
	var a udp.Arrival
	for {
		to, ok := g.udp.Next(&a)
		if !ok {
			break
		}
		bytes += len(a.Bytes)
		g.takePlain(w, &a, to)
	}
	g.inlet.hand(w)
	return bytes
}

// multicastQPN is where datagrams to a group are for (IBTA 10.5.1).
const multicastQPN = 0xffffff

// believePlainGroup checks that a packet to a group is from a peer that is no router, and not from this host itself, whose members have had it.
func (in *inlet) believePlainGroup(f *flow) bool {
	cnt := &in.c.Counters
	if f.qpn != multicastQPN {
		cnt.UnknownQP.Add(1)
		return false
	}
	if f.src != verbs.GIDOf(in.c.underlay) {
		f.path = in.table.outside(f.src)
	}
	if f.path == nil {
		cnt.UnknownHost.Add(1)
		return false
	}
	f.qp, f.group, f.plain = groupQP, true, true
	return true
}

// members are the queue pairs of this host that a datagram to a group is for.
func (in *inlet) members(g verbs.GID) []*verbs.QP {
	if in.flow.plain {
		return in.dev.HostMembers(g)
	}
	return in.dev.Members(in.table.networks[in.flow.vni].name, g)
}

// group gives a path to a multicast group on the underlay; nil if there are no peers that are no routers, or none of its family.
func (t *Table) group(g verbs.GID, underlay netip.Addr) *transport.Path {
	a := g.Addr()
	if len(t.external) == 0 || a.Is4() != underlay.Is4() {
		return nil
	}
	dest, err := udp.NewDest(netip.AddrPortFrom(a, RoCEPort))
	if err != nil {
		return nil
	}
	return &transport.Path{MTU: t.mtu, Tag: &way{plain: true, dest: dest, host: a, gid: g}}
}

// lastPath is a path to a peer that is no router, or to a group of such.
type lastPath struct {
	table *Table
	gid   verbs.GID
	path  *transport.Path
}

// outside gives the path to a peer that is no router, or to a group. Mostly it is the one that was asked for before.
func (l *lane) outside(t *Table, g verbs.GID) *transport.Path {
	if l.last.table == t && l.last.gid == g {
		return l.last.path
	}
	l.last = lastPath{table: t, gid: g}
	if g.IsMulticast() {
		l.last.path = t.group(g, l.c.underlay)
	} else {
		l.last.path = t.outside(g)
	}
	return l.last.path
}
