package policy

import (
	"net/netip"
	"slices"
	"strings"
)

// index finds, of many selectors, the few that can match a subject. Each selector stands in one bucket: that of the most telling thing
// that it names. A subject looks into the buckets of what it has; what it finds there may match and must still be asked.
//
// Entries are the selectors' numbers; in each bucket they ascend.
type index struct {
	buckets  map[bucket][]int32
	prefixes []int                    // lengths of what stands before the first * or ? of patterns
	cidrs    map[netip.Prefix][]int32 // of addresses outside
	bits     []int                    // lengths of those prefixes
	everyone []int32
}

// bucket is one thing that a selector can name.
type bucket struct {
	what       uint8 // byName, ...
	key, value string
}

func newIndex(list []Selector) *index {
	ix := &index{buckets: make(map[bucket][]int32), cidrs: make(map[netip.Prefix][]int32)}
	// Of several labels, the one that fewest others name.
	labels := make(map[bucket]int)
	for _, s := range list {
		for k, v := range s.Labels {
			labels[bucket{byLabels, k, v}]++
		}
	}
	for i := range list {
		ix.add(&list[i], int32(i), labels)
	}
	slices.Sort(ix.prefixes)
	ix.prefixes = slices.Compact(ix.prefixes)
	slices.Sort(ix.bits)
	ix.bits = slices.Compact(ix.bits)
	return ix
}

func (ix *index) add(s *Selector, i int32, labels map[bucket]int) {
	var b bucket
	switch rank := s.rank(); {
	case s.CIDR.IsValid():
		ix.cidrs[s.CIDR] = append(ix.cidrs[s.CIDR], i)
		ix.bits = append(ix.bits, s.CIDR.Bits())
		return
	case rank&byName != 0:
		b = bucket{byName, s.Container, ""}
	case rank&byPattern != 0 && strings.IndexAny(s.Container, "*?") > 0:
		head := s.Container[:strings.IndexAny(s.Container, "*?")]
		b = bucket{byPattern, head, ""}
		ix.prefixes = append(ix.prefixes, len(head))
	case rank&byLabels != 0:
		b = rarest(s.Labels, labels)
	case rank&byImage != 0:
		b = bucket{byImage, s.Image, ""}
	case rank&byTenant != 0:
		b = bucket{byTenant, s.Tenant, ""}
	case rank&byNetwork != 0:
		b = bucket{byNetwork, s.Network, ""}
	case rank&byHost != 0:
		b = bucket{byHost, s.Host, ""}
	default:
		ix.everyone = append(ix.everyone, i)
		return
	}
	ix.buckets[b] = append(ix.buckets[b], i)
}

func rarest(of map[string]string, count map[bucket]int) (best bucket) {
	for k, v := range of {
		b := bucket{byLabels, k, v}
		if best.what == 0 || count[b] < count[best] || count[b] == count[best] && k < best.key {
			best = b
		}
	}
	return best
}

// look appends the buckets in which everything is that can match the subject.
func (ix *index) look(c *Subject, into [][]int32) [][]int32 {
	add := func(list []int32) {
		if len(list) > 0 {
			into = append(into, list)
		}
	}
	add(ix.everyone)
	if c.External {
		for _, n := range ix.bits {
			if p, err := c.IP.Unmap().Prefix(n); err == nil {
				add(ix.cidrs[p])
			}
		}
		return into
	}
	if len(ix.buckets) == 0 {
		return into
	}
	add(ix.buckets[bucket{byName, c.Name, ""}])
	for _, n := range ix.prefixes {
		if n > len(c.Name) {
			break
		}
		add(ix.buckets[bucket{byPattern, c.Name[:n], ""}])
	}
	for k, v := range c.Labels {
		add(ix.buckets[bucket{byLabels, k, v}])
	}
	add(ix.buckets[bucket{byImage, c.Image, ""}])
	add(ix.buckets[bucket{byTenant, c.Tenant, ""}])
	add(ix.buckets[bucket{byNetwork, c.Network, ""}])
	add(ix.buckets[bucket{byHost, c.Host, ""}])
	return into
}
