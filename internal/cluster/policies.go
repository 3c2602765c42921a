package cluster

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"

	pb "github.com/freeflow-rdma/freeflow/api/freeflow/v1"
	"github.com/freeflow-rdma/freeflow/internal/orchestrator/policies"
	"github.com/freeflow-rdma/freeflow/internal/policy"
)

// policyKey names a policy.
type policyKey struct {
	kind pb.Kind
	name string
}

// Policies are the cluster's, ready to be asked: what holds for a container, who may talk to whom. They are compiled once for each change of
// any of them; a State in which they are the same has the same pointer. A change of a container or a network changes no policy, but may change
// what holds: ask again about whom Changes names.
func (s *State) Policies() *policy.Set { return s.policySet }

// PolicyProblems names the policies that this router does not understand, and so does not follow; nil if there are none.
func (s *State) PolicyProblems() error { return s.policyErr }

// Subject is a container as policies see it.
func (s *State) Subject(c *Container) policy.Subject {
	subject := policy.Subject{Network: c.Network, Name: c.Name.Name, Host: c.Host, Image: c.Labels[policies.ImageLabel], Labels: c.Labels, IP: c.IP}
	if n := s.networks[c.Network]; n != nil {
		subject.Tenant = n.Tenant
	}
	return subject
}

// Subject is a container of this host as policies see it, from the moment that it is registered: the State may not have it yet.
func (c *Client) Subject(r Registration, a Assigned) policy.Subject {
	return policy.Subject{Network: a.Network.Name, Tenant: a.Network.Tenant, Name: a.Name.Name, Host: c.cfg.Host, Image: r.Labels[policies.ImageLabel],
		Labels: r.Labels, IP: a.IP}
}

// SubjectAt is who has an address, for somebody in that network: the container, running or not, or somebody outside the cluster.
func (s *State) SubjectAt(network string, ip netip.Addr) policy.Subject {
	if c := s.ContainerAt(network, ip); c != nil {
		return s.Subject(c)
	}
	return policy.Outside(ip)
}

// policy takes a policy over, or its end if m is nil.
func (b *builder) policy(key policyKey, m *pb.Policy) {
	if !b.policies {
		b.next.policies, b.policies = clone(b.next.policies), true
	}
	if m == nil {
		delete(b.next.policies, key)
	} else {
		b.next.policies[key] = m
	}
	b.next.changes.Policies = true
}

// compile makes the policies ready, if they have changed.
func (b *builder) compile() {
	if !b.policies {
		return
	}
	var list []policy.Policy
	var problems []error
	for m := range maps.Values(b.next.policies) {
		p, err := policies.Read(m)
		if err != nil {
			problems = append(problems, fmt.Errorf("%s %s: %w", policies.KindName(policies.KindOf(m)), m.GetName(), err))
			continue
		}
		list = append(list, p)
	}
	set, err := policy.Compile(list)
	b.next.policySet, b.next.policyErr = set, errors.Join(append(problems, err)...)
}
