package policy

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
)

// Set is all policies of a cluster, ready to be asked. The zero value, and nil, are those of a cluster without policies.
type Set struct {
	list   []compiled // all but access policies, by kind, order and name
	lookup *index     // of the list
	nets   map[string]*rules
}

// compiled is one policy, with what is asked of it often.
type compiled struct {
	Policy
	rank uint8
	says []saying
}

// Compile makes a Set. A policy that makes no sense is left out, and named in the error; the Set holds the others.
func Compile(list []Policy) (*Set, error) {
	list = slices.Clone(list)
	slices.SortStableFunc(list, before)
	s := &Set{nets: make(map[string]*rules)}
	var problems []error
	var selectors []Selector
	for _, p := range list {
		if field, err := p.Check(); err != nil {
			problems = append(problems, fmt.Errorf("%s %s: %s: %w", p.Kind(), p.Name, field, err))
			continue
		}
		if a, ok := p.Spec.(Access); ok {
			if err := s.network(a.Network).add(p, a); err != nil {
				problems = append(problems, err)
			}
			continue
		}
		s.list = append(s.list, compiled{p, p.Select.rank(), p.sayings()})
		selectors = append(selectors, p.Select)
	}
	s.lookup = newIndex(selectors)
	for _, r := range s.nets {
		r.prepare()
	}
	return s, errors.Join(problems...)
}

// before is the order of lists; within a kind, it is the order in which policies count.
func before(a, b Policy) int {
	return cmp.Or(cmp.Compare(a.Kind(), b.Kind()), cmp.Compare(a.Order, b.Order), cmp.Compare(a.Name, b.Name))
}

// network is the rules of a network, made if there are none yet.
func (s *Set) network(name string) *rules {
	if s.nets[name] == nil {
		s.nets[name] = &rules{}
	}
	return s.nets[name]
}
