package policy

import (
	"fmt"
	"maps"
	"slices"

	"github.com/freeflow-rdma/freeflow/internal/qos"
)

// A policy that is not about access comes down to sayings: this slot of qos.Params shall be that value. Where several policies speak of
// one slot, the smallest value counts, or the most specific policy: that depends on the slot.
type saying struct {
	slot  slot
	value uint64
}

// slot is one number of qos.Params.
type slot uint8

// The slots: quotas by scope and resource, rates by scope, direction and sort, weights by scope, and what there is once.
const (
	slotQuota  slot = 0                                    // container, then tenant
	slotRate        = slotQuota + 2*slot(qos.NumResources) // by scope, then direction, then bits, messages, burst
	slotWeight      = slotRate + 3*2*3
	slotClass       = slotWeight + 3
	slotDSCP        = slotClass + 1
	slotMode        = slotDSCP + 1
	numSlots        = slotMode + 1
)

// smallest says whether the smallest value counts.
func (s slot) smallest() bool { return s < slotWeight }

func quotaSlot(scope Scope, r qos.Resource) slot {
	if scope == ScopeTenant {
		return slotQuota + slot(qos.NumResources) + slot(r)
	}
	return slotQuota + slot(r)
}

// direction is 0 for egress, 1 for ingress; sort 0 for bits, 1 for messages, 2 for the burst.
func rateSlot(scope Scope, direction, sort slot) slot {
	return slotRate + slot(scope)*6 + direction*3 + sort
}

// sayings are what the policy says of containers.
func (p Policy) sayings() (list []saying) {
	say := func(s slot, v uint64) { list = append(list, saying{s, v}) }
	switch spec := p.Spec.(type) {
	case Quota:
		for _, r := range slices.Sorted(maps.Keys(spec.Limits)) {
			say(quotaSlot(spec.Scope, r), spec.Limits[r])
		}
	case RateLimit:
		for i, r := range []qos.Rate{spec.Egress, spec.Ingress} {
			for j, v := range []uint64{r.Bits, r.Messages, r.Burst} {
				if v != 0 {
					say(rateSlot(spec.Scope, slot(i), slot(j)), v)
				}
			}
		}
	case Priority:
		if spec.Class != nil {
			say(slotClass, uint64(*spec.Class))
		}
		if spec.Weight != 0 {
			say(slotWeight+slot(spec.Scope), uint64(spec.Weight))
		}
		if spec.DSCP != nil {
			say(slotDSCP, uint64(*spec.DSCP))
		}
	case EngineMode:
		say(slotMode, uint64(slices.Index(EngineModes, string(spec))))
	}
	return list
}

// String is a saying for people.
func (s saying) String() string {
	switch n := s.slot; {
	case n < slotRate:
		r, of := qos.Resource(n%slot(qos.NumResources)), "container"
		if n >= slot(qos.NumResources) {
			of = "tenant"
		}
		value := FormatCount(s.value)
		if r == qos.MRBytes {
			value = FormatBytes(s.value)
		}
		return fmt.Sprintf("%s: %s %s", of, resources[r], value)
	case n < slotWeight:
		n -= slotRate
		direction := [...]string{"egress", "ingress"}[n%6/3]
		value := [...]string{FormatRate(s.value), FormatCount(s.value) + " messages/s", "burst " + FormatBytes(s.value)}[n%3]
		return fmt.Sprintf("%s: %s %s", Scope(n/6), direction, value)
	case n < slotClass:
		return fmt.Sprintf("%s: weight %d", Scope(n-slotWeight), s.value)
	case n == slotClass:
		return "class " + classes[s.value]
	case n == slotDSCP:
		return fmt.Sprintf("dscp %d", s.value)
	}
	return "mode " + EngineModes[s.value]
}
