package policies

import (
	"google.golang.org/protobuf/proto"

	pb "github.com/freeflow-rdma/freeflow/api/freeflow/v1"
	"github.com/freeflow-rdma/freeflow/internal/policy"
)

// Normal is the policy as it is stored: what means the same looks the same. The message is not changed.
func Normal(m *pb.Policy) *pb.Policy {
	m = proto.CloneOf(m)
	if m.GetOrder() == policy.DefaultOrder {
		m.Order = nil
	}
	m.Select = normalSelector(m.Select)
	scope := func(s *string) {
		if *s == "" {
			*s = policy.ScopeContainer.String()
		}
	}
	switch spec := m.GetSpec().(type) {
	case *pb.Policy_Access:
		for _, r := range spec.Access.GetRules() {
			r.From, r.To = normalSelector(r.From), normalSelector(r.To)
		}
	case *pb.Policy_Quota:
		scope(&spec.Quota.Scope)
	case *pb.Policy_RateLimit:
		scope(&spec.RateLimit.Scope)
		spec.RateLimit.Egress, spec.RateLimit.Ingress = normalRate(spec.RateLimit.Egress), normalRate(spec.RateLimit.Ingress)
	case *pb.Policy_Priority:
		scope(&spec.Priority.Scope)
	}
	return m
}

// normalSelector is nil instead of a selector that names nothing, and has prefixes in one spelling.
func normalSelector(m *pb.Selector) *pb.Selector {
	if m != nil && m.Cidr != "" {
		if p, err := parseCIDR(m.Cidr); err == nil {
			m.Cidr = p.String()
		}
	}
	if m == nil || proto.Size(m) == 0 {
		return nil
	}
	return m
}

func normalRate(m *pb.Rate) *pb.Rate {
	if m == nil || proto.Size(m) == 0 {
		return nil
	}
	return m
}
