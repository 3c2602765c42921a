package cluster

import (
	"maps"
	"net/netip"
	"strconv"
	"strings"
	"time"

	pb "github.com/freeflow-rdma/freeflow/api/freeflow/v1"
	"github.com/freeflow-rdma/freeflow/internal/orchestrator/policies"
	"github.com/freeflow-rdma/freeflow/internal/policy"
)

// builder makes the next State from one: it copies what it changes, once. One goroutine's. What the orchestrator
// says is checked as far as it is used: an object without a proper address is left out.
type builder struct {
	next                     *State
	whole                    bool // it began with nothing
	hosts, networks, revoked bool // copied already
	policies                 bool
	containers, addresses    [shards]bool
}

func newBuilder(from *State) *builder {
	next := *from
	next.changes = Changes{}
	return &builder{next: &next}
}

// emptyState is what is known before anything is.
func emptyState() *State {
	return &State{hosts: map[string]*Host{}, networks: map[string]*Network{}, revoked: map[uint64]bool{}, policySet: &policy.Set{}, changes: Changes{All: true}}
}

func (b *builder) apply(changes []*pb.Change) {
	for _, c := range changes {
		switch w := c.GetWhat().(type) {
		case *pb.Change_Host:
			b.host(w.Host)
		case *pb.Change_Network:
			b.network(w.Network)
		case *pb.Change_Container:
			b.container(w.Container)
		case *pb.Change_Revocation:
			b.revocation(w.Revocation.GetId(), true)
		case *pb.Change_Policy:
			b.policy(policyKey{policies.KindOf(w.Policy), w.Policy.GetName()}, w.Policy)
		case *pb.Change_Removed:
			b.remove(w.Removed)
		}
	}
}

// state ends the building. all: the state has not come about by small changes.
func (b *builder) state(cluster string, revision int64, all bool) *State {
	b.next.Cluster, b.next.Revision = cluster, revision
	b.compile()
	if all {
		b.next.changes = Changes{All: true}
	}
	return b.next
}

func (b *builder) host(m *pb.Host) {
	underlay, err := netip.ParseAddr(m.GetUnderlay())
	if err != nil || m.Name == "" {
		return
	}
	b.setHost(m.Name, &Host{
		Name: m.Name, Underlay: underlay, Features: m.Features, Version: m.Version,
		Ready: m.State == pb.Host_STATE_READY, Since: at(m.Since), msg: m,
	})
}

func (b *builder) setHost(name string, h *Host) {
	if !b.hosts {
		b.next.hosts, b.hosts = maps.Clone(b.next.hosts), true
	}
	if h == nil {
		delete(b.next.hosts, name)
	} else {
		b.next.hosts[name] = h
	}
	b.next.changes.Hosts = append(b.next.changes.Hosts, name)
}

func (b *builder) network(m *pb.Network) {
	prefix, err := netip.ParsePrefix(m.GetCidr())
	if err != nil || m.Name == "" || m.Vni == 0 || m.Vni >= 1<<24 {
		return
	}
	b.setNetwork(m.Name, &Network{Name: m.Name, VNI: m.Vni, Prefix: prefix, Tenant: m.Tenant, MTU: int(m.Mtu), msg: m})
}

func (b *builder) setNetwork(name string, n *Network) {
	if !b.networks {
		b.next.networks, b.networks = maps.Clone(b.next.networks), true
	}
	if n == nil {
		delete(b.next.networks, name)
	} else {
		b.next.networks[name] = n
	}
	b.next.changes.Networks = append(b.next.changes.Networks, name)
}

func (b *builder) container(m *pb.Container) {
	ip, err := netip.ParseAddr(m.GetIp())
	if err != nil {
		return
	}
	b.setContainer(Name{m.Network, m.Name}, containerOf(m, ip))
}

func containerOf(m *pb.Container, ip netip.Addr) *Container {
	return &Container{
		Name: Name{m.Network, m.Name}, IP: ip, Running: m.State == pb.Container_STATE_RUNNING, Host: m.Host, Instance: m.Instance,
		Ephemeral: m.Ephemeral, Mode: m.Mode, Labels: m.Labels, Since: at(m.Since), msg: m,
	}
}

func (b *builder) setContainer(n Name, c *Container) {
	i := n.shard()
	if !b.containers[i] {
		b.next.containers[i], b.containers[i] = clone(b.next.containers[i]), true
	}
	old := b.next.containers[i][n]
	if old == nil && c == nil {
		return
	}
	if old != nil {
		b.setAddress(address{n.Network, old.IP}, old, nil)
		b.next.count--
	}
	if c == nil {
		delete(b.next.containers[i], n)
	} else {
		b.next.containers[i][n] = c
		b.next.count++
		b.setAddress(address{n.Network, c.IP}, nil, c)
	}
	b.next.changes.Containers = append(b.next.changes.Containers, ContainerChange{old, c})
}

// setAddress gives an address to c, or takes it from old, if it is still old's.
func (b *builder) setAddress(a address, old, c *Container) {
	i := a.shard()
	if !b.addresses[i] {
		b.next.addresses[i], b.addresses[i] = clone(b.next.addresses[i]), true
	}
	switch {
	case c != nil:
		b.next.addresses[i][a] = c
	case b.next.addresses[i][a] == old:
		delete(b.next.addresses[i], a)
	}
}

func (b *builder) revocation(id uint64, on bool) {
	if !b.revoked {
		b.next.revoked, b.revoked = maps.Clone(b.next.revoked), true
	}
	if on {
		b.next.revoked[id] = true
	} else {
		delete(b.next.revoked, id)
	}
	b.next.changes.Revoked = true
}

func (b *builder) remove(r *pb.Ref) {
	if policies.IsKind(r.GetKind()) {
		b.policy(policyKey{r.Kind, r.Name}, nil)
		return
	}
	switch r.GetKind() {
	case pb.Kind_KIND_HOST:
		b.setHost(r.Name, nil)
	case pb.Kind_KIND_NETWORK:
		b.setNetwork(r.Name, nil)
	case pb.Kind_KIND_CONTAINER:
		b.setContainer(Name{r.Network, r.Name}, nil)
	case pb.Kind_KIND_REVOCATION:
		_, number, _ := strings.Cut(r.Name, "/")
		if id, err := strconv.ParseUint(number, 10, 64); err == nil {
			b.revocation(id, false)
		}
	}
}

func clone[K comparable, V any](m map[K]V) map[K]V {
	if m == nil {
		return make(map[K]V)
	}
	return maps.Clone(m)
}

// at reads a time of the API; zero is "not known".
func at(ns int64) time.Time {
	if ns == 0 {
		return time.Time{}
	}
	return time.Unix(0, ns)
}

// message is the state as the orchestrator would send it.
func (s *State) message() *pb.WatchResponse {
	m := &pb.WatchResponse{Cluster: s.Cluster, Revision: s.Revision, Snapshot: true}
	for h := range s.Hosts() {
		m.Changes = append(m.Changes, &pb.Change{What: &pb.Change_Host{Host: h.msg}})
	}
	for n := range s.Networks() {
		m.Changes = append(m.Changes, &pb.Change{What: &pb.Change_Network{Network: n.msg}})
	}
	for c := range s.Containers() {
		m.Changes = append(m.Changes, &pb.Change{What: &pb.Change_Container{Container: c.msg}})
	}
	for id := range s.Revoked() {
		m.Changes = append(m.Changes, &pb.Change{What: &pb.Change_Revocation{Revocation: &pb.Revocation{Id: id}}})
	}
	for _, p := range s.policies {
		m.Changes = append(m.Changes, &pb.Change{What: &pb.Change_Policy{Policy: p}})
	}
	return m
}

// idle says that nothing has been changed.
func (b *builder) idle() bool {
	c := &b.next.changes
	return len(c.Hosts) == 0 && len(c.Networks) == 0 && len(c.Containers) == 0 && !c.Revoked && !c.Policies
}
