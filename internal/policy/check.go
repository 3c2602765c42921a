package policy

import (
	"fmt"
	"maps"
	"slices"

	"github.com/freeflow-rdma/freeflow/internal/qos"
)

// Bounds of what policies can say.
const (
	MaxOrder  = 10000
	MaxRules  = 1000 // of one policy
	MaxWeight = 1000
	maxDSCP   = 63
	minRate   = 1000 // bits
	maxRate   = 100e12
	maxBurst  = 64 << 30
)

// EngineModes are what an EngineMode can say.
var EngineModes = []string{"auto", "fast", "low"}

// Check names the field of the policy that is wrong, as in a file ("spec.rules[2].from.cidr"), and says why; empty if none is.
func (p Policy) Check() (field string, err error) {
	if !namePattern.MatchString(p.Name) {
		return "metadata.name", fmt.Errorf("policy name %q: want 1 to 63 letters, digits and _.-, a letter or digit first", p.Name)
	}
	if p.Order > MaxOrder {
		return "spec.order", fmt.Errorf("%d: want 0 to %d", p.Order, MaxOrder)
	}
	if field, err := p.Select.check(); err != nil {
		return "spec.select." + field, err
	}
	if p.Select.CIDR.IsValid() {
		return "spec.select.cidr", fmt.Errorf("addresses outside the cluster have no such limits: only rules of an AccessPolicy name them")
	}
	switch spec := p.Spec.(type) {
	case Access:
		return spec.check(p.Select)
	case Quota:
		return spec.check(p.Select)
	case RateLimit:
		return spec.check(p.Select)
	case Priority:
		return spec.check(p.Select)
	case EngineMode:
		if !slices.Contains(EngineModes, string(spec)) {
			return "spec.mode", fmt.Errorf("%q: want auto, fast or low", string(spec))
		}
		if p.Select.Network != "" || p.Select.Tenant != "" {
			return "spec.select", fmt.Errorf("an engine mode goes by container, labels, image or host, not by network or tenant")
		}
		return "", nil
	}
	return "kind", fmt.Errorf("there is no such kind of policy")
}

// checkScope refuses to count a tenant's containers together when only some are selected: two of one tenant would have different limits.
func checkScope(scope Scope, s Selector, allowed ...Scope) (string, error) {
	if !slices.Contains(allowed, scope) {
		return "spec.scope", fmt.Errorf("%s cannot be counted here", scope)
	}
	if s.rank()&^(byTenant|byHost) != 0 && scope == ScopeTenant {
		return "spec.select", fmt.Errorf("scope tenant counts all of a tenant's containers on a host together: select by tenant and host only, or write scope: container")
	}
	return "", nil
}

func (a Access) check(s Selector) (string, error) {
	if !s.Everybody() {
		return "spec.select", fmt.Errorf("an access policy is about all of spec.network; its rules select")
	}
	if !namePattern.MatchString(a.Network) {
		return "spec.network", fmt.Errorf("%q: want a network's name", a.Network)
	}
	if a.Default > Deny {
		return "spec.default", fmt.Errorf("want allow or deny")
	}
	if len(a.Rules) > MaxRules {
		return "spec.rules", fmt.Errorf("%d rules: want at most %d: write several policies, with spec.order", len(a.Rules), MaxRules)
	}
	if len(a.Rules) == 0 && a.Default == 0 {
		return "spec.rules", fmt.Errorf("says nothing: give spec.default, or rules")
	}
	for i, r := range a.Rules {
		if r.Action != Allow && r.Action != Deny {
			return fmt.Sprintf("spec.rules[%d].action", i), fmt.Errorf("want allow or deny")
		}
		for _, side := range []struct {
			name string
			Selector
		}{{"from", r.From}, {"to", r.To}} {
			field, err := side.check()
			if err == nil && side.Network != "" && side.Network != a.Network {
				field, err = "network", fmt.Errorf("%q: containers of other networks are not reachable: leave it out, or write %s", side.Network, a.Network)
			}
			if err != nil {
				return fmt.Sprintf("spec.rules[%d].%s.%s", i, side.name, field), err
			}
		}
		if r.From.CIDR.IsValid() && r.To.CIDR.IsValid() {
			return fmt.Sprintf("spec.rules[%d].to.cidr", i), fmt.Errorf("both sides are outside the cluster")
		}
	}
	return "", nil
}

func (q Quota) check(s Selector) (string, error) {
	if field, err := checkScope(q.Scope, s, ScopeContainer, ScopeTenant); err != nil {
		return field, fmt.Errorf("%w: want container or tenant", err)
	}
	if len(q.Limits) == 0 {
		return "spec.limits", fmt.Errorf("is empty: want one or more of %s", resourceWords())
	}
	for _, r := range slices.Sorted(maps.Keys(q.Limits)) {
		n := q.Limits[r]
		if r >= qos.NumResources {
			return "spec.limits", fmt.Errorf("there is no such resource")
		}
		if n == qos.Unlimited {
			return "spec.limits." + ResourceName(r), fmt.Errorf("%d: leave it out if there is to be no limit", n)
		}
		if (r == qos.CQDepth || r == qos.QPDepth) && q.Scope == ScopeTenant {
			return "spec.limits." + ResourceName(r), fmt.Errorf("bounds each queue: want scope container")
		}
	}
	return "", nil
}

func (l RateLimit) check(s Selector) (string, error) {
	if field, err := checkScope(l.Scope, s, ScopeQP, ScopeContainer, ScopeTenant); err != nil {
		return field, err
	}
	if l.Egress == (qos.Rate{}) && l.Ingress == (qos.Rate{}) {
		return "spec", fmt.Errorf("limits nothing: give rate or messages, here or under egress or ingress")
	}
	for _, side := range []struct {
		name string
		qos.Rate
	}{{"egress", l.Egress}, {"ingress", l.Ingress}} {
		r, path := side.Rate, "spec."+side.name
		switch {
		case r.Bits != 0 && (r.Bits < minRate || r.Bits > maxRate):
			return path + ".rate", fmt.Errorf("%s: want 1kbit to 100Tbit", FormatRate(r.Bits))
		case r.Messages > maxRate:
			return path + ".messages", fmt.Errorf("%d: want fewer", r.Messages)
		case r.Burst > maxBurst:
			return path + ".burst", fmt.Errorf("%s: want at most 64GiB", FormatBytes(r.Burst))
		case r.Burst != 0 && r.Bits == 0:
			return path + ".burst", fmt.Errorf("is of a rate: give rate too")
		}
	}
	return "", nil
}

func (p Priority) check(s Selector) (string, error) {
	if p.Weight == 0 && p.Class == nil && p.DSCP == nil {
		return "spec", fmt.Errorf("says nothing: give class, weight or dscp")
	}
	if p.Weight > MaxWeight {
		return "spec.weight", fmt.Errorf("%d: want 1 to %d", p.Weight, MaxWeight)
	}
	if p.Class != nil && *p.Class >= qos.NumClasses {
		return "spec.class", fmt.Errorf("want high, normal or low")
	}
	if p.DSCP != nil && *p.DSCP > maxDSCP {
		return "spec.dscp", fmt.Errorf("%d: want 0 to %d", *p.DSCP, maxDSCP)
	}
	return checkScope(p.Scope, s, ScopeQP, ScopeContainer, ScopeTenant)
}
