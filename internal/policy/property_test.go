package policy

import (
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/freeflow-rdma/freeflow/internal/qos"
)

// What follows is docs/policies.md once more, as plainly as can be, to hold the compiled policies against.

// naiveMatch says whether the selector means the subject.
func naiveMatch(s Selector, c Subject) bool {
	if s.CIDR.IsValid() {
		return c.External && s.CIDR.Contains(c.IP)
	}
	asks := s.Network + s.Tenant + s.Container + s.Image + s.Host
	if c.External {
		return asks == "" && len(s.Labels) == 0
	}
	pattern := strings.NewReplacer(`\*`, ".*", `\?`, ".").Replace(regexp.QuoteMeta(s.Container))
	if s.Container != "" && !regexp.MustCompile("^"+pattern+"$").MatchString(c.Name) {
		return false
	}
	for k, v := range s.Labels {
		if c.Labels[k] != v {
			return false
		}
	}
	same := func(want, have string) bool { return want == "" || want == have }
	return same(s.Network, c.Network) && same(s.Tenant, c.Tenant) && same(s.Image, c.Image) && same(s.Host, c.Host)
}

// specific is the greater the more specific the selector is.
func specific(s Selector) (n int) {
	pattern := strings.ContainsAny(s.Container, "*?")
	for _, named := range []bool{s.Container != "" && !pattern, pattern, len(s.Labels) > 0, s.Image != "", s.Tenant != "", s.Network != "", s.Host != ""} {
		n *= 2
		if named {
			n++
		}
	}
	return n
}

// ranked are the policies that select the subject, those that count first.
func ranked(list []Policy, c Subject) (hits []Policy) {
	for _, p := range list {
		if p.Kind() != KindAccess && naiveMatch(p.Select, c) {
			hits = append(hits, p)
		}
	}
	slices.SortFunc(hits, func(a, b Policy) int {
		if d := specific(b.Select) - specific(a.Select); d != 0 {
			return d
		}
		if a.Order != b.Order {
			return int(a.Order) - int(b.Order)
		}
		return strings.Compare(a.Name, b.Name)
	})
	return hits
}

func smaller(at *uint64, v uint64) {
	if v != 0 && (*at == 0 || v < *at) {
		*at = v
	}
}

func naiveParams(list []Policy, c Subject) qos.Params {
	p := qos.Default()
	p.Tenant = c.Tenant
	limits := map[Scope]*qos.Limits{ScopeQP: &p.QP, ScopeContainer: &p.Container, ScopeTenant: &p.All}
	weights := map[Scope]*uint32{ScopeQP: &p.QPWeight, ScopeContainer: &p.Weight, ScopeTenant: &p.TenantWeight}
	quotas := map[Scope]*qos.Quota{ScopeContainer: &p.Quota, ScopeTenant: &p.TenantQuota}
	said := map[any]bool{}
	first := func(what any) bool { defer func() { said[what] = true }(); return !said[what] }
	for _, one := range ranked(list, c) {
		switch s := one.Spec.(type) {
		case Quota:
			for r, n := range s.Limits {
				quotas[s.Scope][r] = min(quotas[s.Scope][r], n)
			}
		case RateLimit:
			for i, to := range []*qos.Rate{&limits[s.Scope].Egress, &limits[s.Scope].Ingress} {
				from := []qos.Rate{s.Egress, s.Ingress}[i]
				smaller(&to.Bits, from.Bits)
				smaller(&to.Messages, from.Messages)
				smaller(&to.Burst, from.Burst)
			}
		case Priority:
			if s.Class != nil && first("class") {
				p.Class = *s.Class
			}
			if s.DSCP != nil && first("dscp") {
				p.DSCP = *s.DSCP
			}
			if s.Weight != 0 && first(s.Scope) {
				*weights[s.Scope] = s.Weight
			}
		case EngineMode:
			if first("mode") {
				p.Mode = string(s)
			}
		}
	}
	return p
}

// naiveRule is the verdict of the first rule that matches, and whether there is one; then that of the network.
func naiveRule(list []Policy, network string, from, to Subject) (allowed, ruled bool) {
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b Policy) int {
		if a.Order != b.Order {
			return int(a.Order) - int(b.Order)
		}
		return strings.Compare(a.Name, b.Name)
	})
	allowed = true
	for _, p := range list {
		a, ok := p.Spec.(Access)
		if !ok || a.Network != network {
			continue
		}
		for _, r := range a.Rules {
			if naiveMatch(r.From, from) && naiveMatch(r.To, to) {
				return r.Action == Allow, true
			}
		}
		if a.Default != 0 {
			allowed = a.Default == Allow
		}
	}
	return allowed, false
}

func naiveAllowed(list []Policy, from, to Subject) (allowed, ruled bool) {
	switch {
	case from.External && to.External:
		return false, true
	case from.External:
		return naiveRule(list, to.Network, from, to)
	case to.External:
		return naiveRule(list, from.Network, from, to)
	case from.Network != to.Network:
		return false, true
	case from.Name == to.Name:
		return true, true
	}
	return naiveRule(list, from.Network, from, to)
}

func naivePair(list []Policy, a, b Subject) bool {
	there, ruled := naiveAllowed(list, a, b)
	back, ruledBack := naiveAllowed(list, b, a)
	if ruled && !there || ruledBack && !back {
		return false
	}
	return there || back
}

// The compiled policies say the same as the plain reading, of any policies and any subjects.
func TestCompiledMeansTheSame(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 5))
		list := randomPolicies(r, r.IntN(40))
		set, err := Compile(list)
		if err != nil {
			t.Fatal(err)
		}
		for range 60 {
			a, b := randomSubject(r), randomSubject(r)
			if got, want := set.Params(a), naiveParams(list, a); !a.External && got != want {
				t.Fatalf("seed %d: %+v\n got %+v\nwant %+v", seed, a, got, want)
			}
			if got, want := set.Allowed(a, b), first2(naiveAllowed(list, a, b)); got.Allowed != want {
				t.Fatalf("seed %d: from %+v to %+v: %+v, want %v", seed, a, b, got, want)
			}
			got, back, want := set.Pair(a, b), set.Pair(b, a), naivePair(list, a, b)
			if got.Allowed != want || back.Allowed != want {
				t.Fatalf("seed %d: pair %+v, %+v: %+v, %+v, want %v", seed, a, b, got, back, want)
			}
			explained(t, set, a)
		}
	}
}

func first2(allowed, _ bool) bool { return allowed }

// explained checks that what is explained is what holds: each slot has one value that holds, and every policy is either way accounted for.
func explained(t *testing.T, set *Set, c Subject) {
	t.Helper()
	if c.External {
		return
	}
	for _, m := range set.Explain(c) {
		if len(m.Holds)+len(m.Overruled) == 0 {
			t.Fatalf("%s %s concerns %+v, and says nothing", m.Kind, m.Name, c)
		}
		if m.Kind == KindAccess {
			continue
		}
		i := slices.IndexFunc(set.list, func(p compiled) bool { return p.Kind() == m.Kind && p.Name == m.Name })
		if got := len(m.Holds) + len(m.Overruled); i < 0 || got != len(set.list[i].says) {
			t.Fatalf("%s %s has %d sayings, %d are explained", m.Kind, m.Name, len(set.list[i].says), got)
		}
	}
}

// The order in which policies are given does not count.
func TestOrderOfTheListDoesNotCount(t *testing.T) {
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 6))
		list := randomPolicies(r, 30)
		one, _ := Compile(list)
		r.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		two, _ := Compile(list)
		for range 30 {
			a, b := randomSubject(r), randomSubject(r)
			if one.Params(a) != two.Params(a) || one.Allowed(a, b) != two.Allowed(a, b) {
				t.Fatalf("seed %d: it counts", seed)
			}
		}
	}
}
