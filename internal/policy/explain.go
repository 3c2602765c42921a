package policy

import (
	"fmt"
	"slices"
	"strings"
)

// Match is one policy that concerns a container.
type Match struct {
	Kind      Kind     `json:"kind"`
	Name      string   `json:"name"`
	Order     uint32   `json:"order"`
	Selects   string   `json:"selects"`             // by what it concerns the container
	Holds     []string `json:"holds"`               // what of it holds
	Overruled []string `json:"overruled,omitempty"` // what does not, and because of which policy
}

// Explain lists the policies that concern a container, by kind and in the order in which they count.
func (s *Set) Explain(c Subject) []Match {
	if s == nil {
		return nil
	}
	var list []Match
	if r := s.nets[c.Network]; r != nil {
		for i := range r.policies {
			p := &r.policies[i]
			if texts := r.concerning(p, &c); len(texts) > 0 {
				list = append(list, Match{KindAccess, p.Name, p.Order, "network " + c.Network, texts, nil})
			}
		}
	}
	var t told
	var matched []int32
	s.tell(&c, &t, &matched)
	slices.Sort(matched)
	for _, i := range matched {
		list = append(list, s.match(i, &t))
	}
	return list
}

// match is one of the policies that select a container of which t holds.
func (s *Set) match(i int32, t *told) Match {
	p := &s.list[i]
	m := Match{Kind: p.Kind(), Name: p.Name, Order: p.Order, Selects: p.Select.String()}
	for _, say := range p.says {
		switch at := t[say.slot]; {
		case at.by == i+1 || say.slot.smallest() && at.value == say.value:
			m.Holds = append(m.Holds, say.String())
		default:
			m.Overruled = append(m.Overruled, fmt.Sprintf("%s (%s has %s)", say, s.list[at.by-1].Name, saying{say.slot, at.value}))
		}
	}
	return m
}

// What is all that the policy says, for people, in one line.
func (p Policy) What() string {
	var parts []string
	if a, ok := p.Spec.(Access); ok {
		for _, r := range a.Rules {
			parts = append(parts, fmt.Sprintf("%s from %s to %s", r.Action, r.From, r.To))
		}
		if a.Default != 0 {
			parts = append(parts, "default "+a.Default.String())
		}
		return strings.Join(parts, "; ")
	}
	for _, s := range p.sayings() {
		parts = append(parts, s.String())
	}
	return strings.Join(parts, "; ")
}

// Selects is whom the policy is about, for people, in one line.
func (p Policy) Selects() string {
	if a, ok := p.Spec.(Access); ok {
		return "network " + a.Network
	}
	return p.Select.String()
}
