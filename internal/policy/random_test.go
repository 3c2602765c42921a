package policy

import (
	"fmt"
	"math/rand/v2"
	"net/netip"

	"github.com/freeflow-rdma/freeflow/internal/qos"
)

// Random clusters of few names, so that policies meet subjects.

func pick(r *rand.Rand, of ...string) string { return of[r.IntN(len(of))] }

func randomSelector(r *rand.Rand, rule bool) (s Selector) {
	if rule && r.IntN(6) == 0 {
		bits := 8 * (1 + r.IntN(4))
		s.CIDR, _ = netip.AddrFrom4([4]byte{192, byte(r.IntN(2)), byte(r.IntN(2)), byte(r.IntN(3))}).Prefix(bits)
		return s
	}
	for range r.IntN(3) {
		switch r.IntN(6) {
		case 0:
			s.Container = pick(r, "a", "b", "ab", "web-1", "web-*", "a*", "*b", "?", "*", "*e*-?")
		case 1:
			s.Labels = map[string]string{pick(r, "x", "y"): pick(r, "1", "2")}
			if r.IntN(3) == 0 {
				s.Labels["z"] = "0"
			}
		case 2:
			s.Image = pick(r, "i", "j")
		case 3:
			s.Host = pick(r, "h1", "h2")
		case 4:
			if !rule {
				s.Network = pick(r, "n", "m")
			}
		case 5:
			s.Tenant = pick(r, "t", "u")
		}
	}
	return s
}

func randomSubject(r *rand.Rand) Subject {
	if r.IntN(6) == 0 {
		return Outside(netip.AddrFrom4([4]byte{192, byte(r.IntN(2)), byte(r.IntN(2)), byte(r.IntN(3))}))
	}
	c := Subject{Network: pick(r, "n", "m"), Tenant: pick(r, "t", "u", ""), Name: pick(r, "a", "b", "ab", "abb", "web-1", "web-22", "c"), Host: pick(r, "h1", "h2", "h3")}
	c.Image = pick(r, "i", "j", "")
	c.Labels = map[string]string{}
	for _, k := range []string{"x", "y", "z"} {
		if r.IntN(2) == 0 {
			c.Labels[k] = pick(r, "0", "1", "2")
		}
	}
	return c
}

func randomAccess(r *rand.Rand, network string, fallback Verdict) Access {
	a := Access{Network: network, Default: []Verdict{0, fallback}[r.IntN(2)]}
	for range r.IntN(6) {
		a.Rules = append(a.Rules, Rule{[]Verdict{Allow, Deny}[r.IntN(2)], randomSelector(r, true), randomSelector(r, true)})
	}
	return a
}

func randomRate(r *rand.Rand) (q qos.Rate) {
	if r.IntN(2) == 0 {
		q.Bits = uint64(1+r.IntN(5)) * 1e9
		q.Burst = []uint64{0, 1 << 16, 1 << 20}[r.IntN(3)]
	}
	if r.IntN(3) == 0 {
		q.Messages = uint64(1+r.IntN(5)) * 1e5
	}
	return q
}

func randomSpec(r *rand.Rand) Spec {
	scope := Scope(r.IntN(3))
	switch r.IntN(4) {
	case 0:
		q := Quota{Scope: []Scope{ScopeContainer, ScopeTenant}[r.IntN(2)], Limits: map[qos.Resource]uint64{}}
		for range 1 + r.IntN(3) {
			q.Limits[qos.Resource(r.IntN(int(qos.NumResources)))] = uint64(r.IntN(5))
		}
		return q
	case 1:
		return RateLimit{scope, qos.Limits{Egress: randomRate(r), Ingress: randomRate(r)}}
	case 2:
		p := Priority{Scope: scope, Weight: uint32(r.IntN(5))}
		if r.IntN(2) == 0 {
			class, dscp := uint8(r.IntN(int(qos.NumClasses))), uint8(r.IntN(64))
			p.Class, p.DSCP = &class, &dscp
		}
		return p
	}
	return EngineMode(pick(r, EngineModes...))
}

// randomPolicies makes policies that Compile accepts.
func randomPolicies(r *rand.Rand, n int) (list []Policy) {
	fallback := map[string]Verdict{"n": Verdict(1 + r.IntN(2)), "m": Verdict(1 + r.IntN(2))}
	for len(list) < n {
		p := Policy{Name: fmt.Sprint("p", len(list)), Order: uint32(r.IntN(4)), Select: randomSelector(r, false), Spec: randomSpec(r)}
		if r.IntN(3) == 0 {
			network := pick(r, "n", "m")
			p.Select, p.Spec = Selector{}, randomAccess(r, network, fallback[network])
		}
		if _, err := p.Check(); err == nil {
			list = append(list, p)
		}
	}
	return list
}
