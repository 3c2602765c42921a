package router

import (
	"maps"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/freeflow-rdma/freeflow/internal/cluster"
	"github.com/freeflow-rdma/freeflow/internal/policy"
	"github.com/freeflow-rdma/freeflow/internal/qos"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
	"github.com/freeflow-rdma/freeflow/internal/vnet"
)

// governor makes the cluster's policies hold for the containers of this host: what each may have and how fast (qos.Params), and whom it may
// talk to. Policies come with the cluster's state; a router that reaches no orchestrator goes on with those that it has.
type governor struct {
	state func() *cluster.State
	dev   *verbs.Device

	governed atomic.Pointer[map[*verbs.Container]*governed] // replaced, never changed: workers look into it

	mu    sync.Mutex  // who replaces it
	rules *policy.Set // that connections were last looked at by
}

// governed is a container as policies see it. Replaced, never changed.
type governed struct {
	subject policy.Subject
	params  qos.Params // as last set
}

func newGovernor(state func() *cluster.State, dev *verbs.Device) *governor {
	g := &governor{state: state, dev: dev}
	g.governed.Store(&map[*verbs.Container]*governed{})
	return g
}

// add makes policies hold for a container that starts.
func (g *governor) add(c *verbs.Container, s policy.Subject) {
	params := g.state().Policies().Params(s)
	g.mu.Lock()
	defer g.mu.Unlock()
	all := maps.Clone(*g.governed.Load())
	all[c] = &governed{subject: s, params: params}
	g.governed.Store(&all)
	g.dev.SetParams(c, params)
}

func (g *governor) remove(c *verbs.Container) {
	g.mu.Lock()
	defer g.mu.Unlock()
	all := maps.Clone(*g.governed.Load())
	delete(all, c)
	g.governed.Store(&all)
}

// refresh makes what the state says hold.
func (g *governor) refresh(s *cluster.State) {
	set := s.Policies()
	g.mu.Lock()
	defer g.mu.Unlock()
	all := maps.Clone(*g.governed.Load())
	for c, of := range all {
		now := governed{subject: of.subject}
		if n := s.Network(c.Network); n != nil {
			now.subject.Tenant = n.Tenant
		}
		if now.params = set.Params(now.subject); now.params != of.params || now.subject.Tenant != of.subject.Tenant {
			all[c] = &now
			g.dev.SetParams(c, now.params)
		}
	}
	g.governed.Store(&all)
	if set != g.rules {
		g.rules = set
		g.dev.Recheck()
	}
}

// mayTalk is verbs.MayTalk: whoever begins.
func (g *governor) mayTalk(c *verbs.Container, sgid int, gid verbs.GID) bool {
	s, set, of := g.asked(c)
	if of == nil {
		return set == nil
	}
	peer := policy.Outside(gid.Addr())
	if c.HostGID == 0 || sgid != c.HostGID {
		peer = s.SubjectAt(c.Network, vnet.IPOf(gid.Addr()))
	}
	return set.Pair(of.subject, peer).Allowed
}

// mayConnect says whether a container may connect to whoever has an address, or that to it if the request is incoming.
func (g *governor) mayConnect(c *verbs.Container, addr netip.Addr, incoming bool) bool {
	s, set, of := g.asked(c)
	if of == nil {
		return set == nil
	}
	from, to := of.subject, s.SubjectAt(c.Network, vnet.IPOf(addr))
	if incoming {
		from, to = to, from
	}
	return set.Allowed(from, to).Allowed && set.Pair(from, to).Allowed
}

// asked gives what a question about a container is answered by. Without a governed container there is no answer, unless there are no policies.
func (g *governor) asked(c *verbs.Container) (*cluster.State, *policy.Set, *governed) {
	s := g.state()
	return s, s.Policies(), (*g.governed.Load())[c]
}

// params is what holds for a container.
func (g *governor) params(c *verbs.Container) qos.Params {
	if of := (*g.governed.Load())[c]; of != nil {
		return of.params
	}
	return qos.Default()
}

// modes are the engine modes of the containers of this host, by ID.
func (g *governor) modes() map[string]string {
	all := *g.governed.Load()
	modes := make(map[string]string, len(all))
	for c := range all {
		modes[c.ID] = c.EngineMode().String()
	}
	return modes
}
