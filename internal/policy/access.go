package policy

import (
	"fmt"
	"slices"
)

// Decision says whether something may be, and which policy says so.
type Decision struct {
	Allowed bool
	Policy  string // the access policy's name; empty: none says anything
	Rule    string // which of its rules, for people
}

// rules are what all access policies say of one network.
type rules struct {
	list     []rule // in the order in which they count
	from, to *index // of the list
	fallback Verdict
	by       string // the policy that gives the fallback
	// otherwise is the decision where no rule matches.
	otherwise Decision
	policies  []accessPolicy
}

// rule is one, with the policy that it is of.
type rule struct {
	Rule
	decision Decision
}

// accessPolicy is what Explain needs of one: its rules are list[first:end].
type accessPolicy struct {
	Policy
	first, end int
	fallback   Verdict
}

// add appends a policy's rules. Policies come in their order. If two give the network different defaults, it is deny.
func (r *rules) add(p Policy, a Access) (err error) {
	first := len(r.list)
	for i, one := range a.Rules {
		text := fmt.Sprintf("rule %d: %s from %s to %s", i+1, one.Action, one.From, one.To)
		r.list = append(r.list, rule{one, Decision{one.Action == Allow, p.Name, text}})
	}
	r.policies = append(r.policies, accessPolicy{p, first, len(r.list), a.Default})
	switch {
	case a.Default == 0:
	case r.fallback != 0 && r.fallback != a.Default:
		err = fmt.Errorf("%s %s: spec.default: network %s has default %s from policy %s: give one only", p.Kind(), p.Name, a.Network, r.fallback, r.by)
		if a.Default == Deny {
			r.fallback, r.by = Deny, p.Name
		}
	case r.fallback == 0:
		r.fallback, r.by = a.Default, p.Name
	}
	return err
}

// prepare makes the indexes and the decision that ends the list, when all rules are there.
func (r *rules) prepare() {
	from, to := make([]Selector, len(r.list)), make([]Selector, len(r.list))
	for i := range r.list {
		from[i], to[i] = r.list[i].From, r.list[i].To
	}
	r.from, r.to = newIndex(from), newIndex(to)
	r.otherwise = Decision{Allowed: true}
	if r.fallback != 0 {
		r.otherwise = Decision{r.fallback == Allow, r.by, "default " + r.fallback.String()}
	}
}

// Decisions that no policy is asked about.
var (
	itself    = Decision{Allowed: true, Rule: "a container may always talk to itself"}
	apart     = Decision{Rule: "containers of different networks do not reach each other"}
	strangers = Decision{Rule: "neither side is a container"}
)

// Allowed says whether from may send to to, or connect to it: datagrams, and connections of which it is known who asks for them.
func (s *Set) Allowed(from, to Subject) Decision {
	d, _ := s.decide(&from, &to)
	return d
}

// Pair says whether queue pairs of a and b may be connected to each other, whoever began it: if either may connect to the other, and no
// rule that counts denies it to either.
func (s *Set) Pair(a, b Subject) Decision {
	there, ruled := s.decide(&a, &b)
	if ruled && !there.Allowed {
		return there
	}
	back, ruledBack := s.decide(&b, &a)
	if ruledBack && (!ruled || !back.Allowed) {
		return back
	}
	return there
}

// decide is the decision, and whether a rule or something as certain makes it, rather than the network's default.
func (s *Set) decide(from, to *Subject) (d Decision, ruled bool) {
	network := from.Network
	switch {
	case from.External && to.External:
		return strangers, true
	case from.External:
		network = to.Network
	case !to.External && from.Network != to.Network:
		return apart, true
	case from.same(*to):
		return itself, true
	}
	if s == nil || s.nets[network] == nil {
		return Decision{Allowed: true}, false
	}
	r := s.nets[network]
	if i := r.first(from, to); i >= 0 {
		return r.list[i].decision, true
	}
	return r.otherwise, false
}

// first finds the first rule that matches; -1 if none does.
func (r *rules) first(from, to *Subject) int {
	var space, space2 [16][]int32
	buckets, others := r.from.look(from, space[:0]), r.to.look(to, space2[:0])
	if count(others) < count(buckets) { // the side of which fewer rules speak
		buckets = others
	}
	best := int32(len(r.list))
	for _, b := range buckets {
		for _, i := range b {
			if i >= best {
				break
			}
			if one := &r.list[i]; one.From.matches(from) && one.To.matches(to) {
				best = i
				break
			}
		}
	}
	if int(best) == len(r.list) {
		return -1
	}
	return int(best)
}

func count(buckets [][]int32) (n int) {
	for _, b := range buckets {
		n += len(b)
	}
	return n
}

// concerning are the rules of a policy that name the subject on either side, and the default if the policy gives it.
func (r *rules) concerning(p *accessPolicy, c *Subject) (texts []string) {
	for i := p.first; i < p.end; i++ {
		if one := &r.list[i]; one.From.matches(c) || one.To.matches(c) {
			texts = append(texts, one.decision.Rule)
		}
	}
	if p.fallback != 0 {
		texts = append(texts, "default "+p.fallback.String())
	}
	return slices.Clip(texts)
}
