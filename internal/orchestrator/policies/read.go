// Package policies turns the API's messages of policies into those of package policy, and back: orchestrators check with it what they
// are to store, routers and the command line read with it what they are sent.
//
// It is pure. What a message cannot mean is an error that names the field as files do ("spec.rules[0].from.cidr").
package policies

import (
	"fmt"
	"net/netip"

	pb "github.com/freeflow-rdma/freeflow/api/freeflow/v1"
	"github.com/freeflow-rdma/freeflow/internal/policy"
	"github.com/freeflow-rdma/freeflow/internal/qos"
)

// FieldError names the field that is wrong.
type FieldError struct {
	Field string
	Err   error
}

func (e *FieldError) Error() string { return e.Field + ": " + e.Err.Error() }

// Unwrap gives the reason.
func (e *FieldError) Unwrap() error { return e.Err }

func wrong(field, format string, args ...any) error {
	return &FieldError{field, fmt.Errorf(format, args...)}
}

// kinds are the kinds of policies, as the API has them.
var kinds = map[pb.Kind]policy.Kind{
	pb.Kind_KIND_ACCESS_POLICY: policy.KindAccess, pb.Kind_KIND_QUOTA: policy.KindQuota, pb.Kind_KIND_RATE_LIMIT: policy.KindRateLimit,
	pb.Kind_KIND_PRIORITY: policy.KindPriority, pb.Kind_KIND_ENGINE_MODE: policy.KindEngineMode,
}

// IsKind says whether the API's kind is one of policies, but not all of them together.
func IsKind(k pb.Kind) bool { return kinds[k] != 0 }

// KindName is a kind as files name it; empty if it is none of policies.
func KindName(k pb.Kind) string {
	if !IsKind(k) {
		return ""
	}
	return kinds[k].String()
}

// KindOf is what kind of policy the message is; KIND_UNSPECIFIED if it says nothing.
func KindOf(m *pb.Policy) pb.Kind {
	switch m.GetSpec().(type) {
	case *pb.Policy_Access:
		return pb.Kind_KIND_ACCESS_POLICY
	case *pb.Policy_Quota:
		return pb.Kind_KIND_QUOTA
	case *pb.Policy_RateLimit:
		return pb.Kind_KIND_RATE_LIMIT
	case *pb.Policy_Priority:
		return pb.Kind_KIND_PRIORITY
	case *pb.Policy_EngineMode:
		return pb.Kind_KIND_ENGINE_MODE
	}
	return pb.Kind_KIND_UNSPECIFIED
}

// Read reads a policy and checks it. The error is a *FieldError.
func Read(m *pb.Policy) (policy.Policy, error) {
	p := policy.Policy{Name: m.GetName(), Order: policy.DefaultOrder}
	if m != nil && m.Order != nil {
		p.Order = *m.Order
	}
	var err error
	if p.Select, err = selector("spec.select", m.GetSelect()); err != nil {
		return p, err
	}
	switch spec := m.GetSpec().(type) {
	case *pb.Policy_Access:
		p.Spec, err = access(spec.Access)
	case *pb.Policy_Quota:
		p.Spec, err = quota(spec.Quota)
	case *pb.Policy_RateLimit:
		p.Spec, err = rateLimit(spec.RateLimit)
	case *pb.Policy_Priority:
		p.Spec, err = priority(spec.Priority)
	case *pb.Policy_EngineMode:
		p.Spec = policy.EngineMode(spec.EngineMode.GetMode())
	default:
		return p, wrong("kind", "there is no such kind of policy")
	}
	if err != nil {
		return p, err
	}
	if field, err := p.Check(); err != nil {
		return p, &FieldError{field, err}
	}
	return p, nil
}

func selector(path string, m *pb.Selector) (policy.Selector, error) {
	s := policy.Selector{Network: m.GetNetwork(), Tenant: m.GetTenant(), Container: m.GetContainer(), Labels: m.GetLabels(), Image: m.GetImage(), Host: m.GetHost()}
	if text := m.GetCidr(); text != "" {
		var err error
		if s.CIDR, err = parseCIDR(text); err != nil {
			return s, wrong(path+".cidr", "%q: want a prefix, such as 192.0.2.0/24, or an address", text)
		}
	}
	return s, nil
}

// parseCIDR reads a prefix, or an address as the prefix that is only it.
func parseCIDR(text string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(text); err == nil && a.Zone() == "" {
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	return netip.ParsePrefix(text)
}

func scope(name string) (policy.Scope, error) {
	s, ok := policy.ParseScope(name)
	if !ok {
		return s, wrong("spec.scope", "%q: want qp, container or tenant", name)
	}
	return s, nil
}

func access(m *pb.AccessPolicy) (a policy.Access, err error) {
	a.Network = m.GetNetwork()
	if text := m.GetDefault(); text != "" {
		var ok bool
		if a.Default, ok = policy.ParseVerdict(text); !ok {
			return a, wrong("spec.default", "%q: want allow or deny", text)
		}
	}
	for i, r := range m.GetRules() {
		path := fmt.Sprintf("spec.rules[%d]", i)
		action, ok := policy.ParseVerdict(r.GetAction())
		if !ok {
			return a, wrong(path+".action", "%q: want allow or deny", r.GetAction())
		}
		rule := policy.Rule{Action: action}
		if rule.From, err = selector(path+".from", r.GetFrom()); err != nil {
			return a, err
		}
		if rule.To, err = selector(path+".to", r.GetTo()); err != nil {
			return a, err
		}
		a.Rules = append(a.Rules, rule)
	}
	return a, nil
}

func quota(m *pb.Quota) (q policy.Quota, err error) {
	if q.Scope, err = scope(m.GetScope()); err != nil {
		return q, err
	}
	q.Limits = make(map[qos.Resource]uint64)
	for name, n := range m.GetLimits() {
		r, ok := policy.ParseResource(name)
		if !ok {
			return q, wrong("spec.limits", "there is no resource %q", name)
		}
		q.Limits[r] = n
	}
	return q, nil
}

func rateLimit(m *pb.RateLimit) (l policy.RateLimit, err error) {
	if l.Scope, err = scope(m.GetScope()); err != nil {
		return l, err
	}
	rate := func(r *pb.Rate) qos.Rate {
		return qos.Rate{Bits: r.GetBits(), Messages: r.GetMessages(), Burst: r.GetBurst()}
	}
	l.Egress, l.Ingress = rate(m.GetEgress()), rate(m.GetIngress())
	return l, nil
}

func priority(m *pb.Priority) (p policy.Priority, err error) {
	if p.Scope, err = scope(m.GetScope()); err != nil {
		return p, err
	}
	p.Weight = m.GetWeight()
	if text := m.GetClass(); text != "" {
		class, ok := policy.ParseClass(text)
		if !ok {
			return p, wrong("spec.class", "%q: want high, normal or low", text)
		}
		p.Class = &class
	}
	if m != nil && m.Dscp != nil {
		if *m.Dscp > 63 {
			return p, wrong("spec.dscp", "%d: want 0 to 63", *m.Dscp)
		}
		dscp := uint8(*m.Dscp)
		p.DSCP = &dscp
	}
	return p, nil
}

// Subject is a container as policies see it; its image is the label "image".
func Subject(c *pb.Container, tenant string) policy.Subject {
	ip, _ := netip.ParseAddr(c.GetIp())
	return policy.Subject{Network: c.GetNetwork(), Tenant: tenant, Name: c.GetName(), Host: c.GetHost(), Image: c.GetLabels()[ImageLabel], Labels: c.GetLabels(), IP: ip}
}

// ImageLabel is the label that says which image a container was made of.
const ImageLabel = "image"
