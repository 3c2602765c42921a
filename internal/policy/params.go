package policy

import (
	"github.com/freeflow-rdma/freeflow/internal/qos"
)

// told is what the policies come to for one container: each slot's value, and the policy that gives it.
type told [numSlots]struct {
	value uint64
	by    int32 // place in Set.list, from 1; 0: nobody has spoken
}

// tell works out what holds for a container. Which policies select it is appended to matched, if that is not nil.
func (s *Set) tell(c *Subject, t *told, matched *[]int32) {
	if s == nil || s.lookup == nil {
		return
	}
	var space [16][]int32
	for _, bucket := range s.lookup.look(c, space[:0]) {
		for _, i := range bucket {
			p := &s.list[i]
			if !p.Select.matches(c) {
				continue
			}
			if matched != nil {
				*matched = append(*matched, i)
			}
			for _, say := range p.says {
				if at := &t[say.slot]; at.by == 0 || s.outdoes(i, say, at.by-1, at.value) {
					at.value, at.by = say.value, i+1
				}
			}
		}
	}
}

// outdoes says whether what policy i says counts rather than what policy j says. Of two that say the same, the one that comes first counts.
func (s *Set) outdoes(i int32, say saying, j int32, value uint64) bool {
	if say.slot.smallest() {
		return say.value < value || say.value == value && i < j
	}
	a, b := s.list[i].rank, s.list[j].rank
	return a > b || a == b && i < j
}

// Params is what holds for a container.
func (s *Set) Params(c Subject) qos.Params {
	var t told
	s.tell(&c, &t, nil)
	p := qos.Default()
	p.Tenant = c.Tenant
	t.quota(0, &p.Quota)
	t.quota(slot(qos.NumResources), &p.TenantQuota)
	for scope, l := range [...]*qos.Limits{ScopeContainer: &p.Container, ScopeQP: &p.QP, ScopeTenant: &p.All} {
		l.Egress, l.Ingress = t.rate(Scope(scope), 0), t.rate(Scope(scope), 1)
	}
	for scope, w := range [...]*uint32{ScopeContainer: &p.Weight, ScopeQP: &p.QPWeight, ScopeTenant: &p.TenantWeight} {
		if at := t[slotWeight+slot(scope)]; at.by != 0 {
			*w = uint32(at.value)
		}
	}
	if at := t[slotClass]; at.by != 0 {
		p.Class = uint8(at.value)
	}
	p.DSCP = uint8(t[slotDSCP].value)
	p.Mode = t.mode()
	return p
}

func (t *told) quota(from slot, q *qos.Quota) {
	for r := range q {
		if at := t[from+slot(r)]; at.by != 0 {
			q[r] = at.value
		}
	}
}

func (t *told) rate(scope Scope, direction slot) qos.Rate {
	at := func(sort slot) uint64 { return t[rateSlot(scope, direction, sort)].value }
	return qos.Rate{Bits: at(0), Messages: at(1), Burst: at(2)}
}

func (t *told) mode() string {
	if at := t[slotMode]; at.by != 0 {
		return EngineModes[at.value]
	}
	return ""
}

// HostMode is the engine's mode of a whole host: that of policies which name no more than the host. Empty: its router's own.
func (s *Set) HostMode(host string) string {
	var t told
	s.tell(&Subject{Host: host}, &t, nil)
	return t.mode()
}
