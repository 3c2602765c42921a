package policy

import (
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

// Selector says which subjects are meant: those that have everything it names. One that names nothing means everybody, addresses outside
// the cluster too.
type Selector struct {
	Network, Tenant string
	Container       string // a name, or a pattern: * stands for any letters, ? for one
	Labels          map[string]string
	Image           string
	Host            string
	CIDR            netip.Prefix // addresses outside the cluster; nothing else goes with it
}

// Bounds of a selector.
const (
	maxSelectorLabels = 64
	maxSelectorText   = 256
)

var (
	namePattern    = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$`)
	patternPattern = regexp.MustCompile(`^[A-Za-z0-9_.*?-]{1,63}$`)
	labelPattern   = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_./-]{0,127}$`)
)

// check names the field that is wrong, and why; empty if none is.
func (s Selector) check() (string, error) {
	for _, f := range []struct{ field, name string }{{"network", s.Network}, {"tenant", s.Tenant}, {"host", s.Host}} {
		if f.name != "" && !namePattern.MatchString(f.name) {
			return f.field, fmt.Errorf("%q: want a name: 1 to 63 letters, digits and _.-", f.name)
		}
	}
	switch {
	case s.Container != "" && !patternPattern.MatchString(s.Container):
		return "container", fmt.Errorf("%q: want a container's name, or a pattern such as web-*", s.Container)
	case len(s.Image) > maxSelectorText:
		return "image", fmt.Errorf("%d letters: want at most %d", len(s.Image), maxSelectorText)
	case len(s.Labels) > maxSelectorLabels:
		return "labels", fmt.Errorf("%d labels: want at most %d", len(s.Labels), maxSelectorLabels)
	case s.CIDR.IsValid() && s.CIDR != s.CIDR.Masked():
		return "cidr", fmt.Errorf("%s: has bits set behind the prefix: write %s", s.CIDR, s.CIDR.Masked())
	case s.CIDR.IsValid() && s.rank() != 0:
		return "cidr", fmt.Errorf("selects addresses outside the cluster, which have no names or labels: leave out the other fields")
	}
	for _, k := range slices.Sorted(maps.Keys(s.Labels)) {
		if !labelPattern.MatchString(k) || len(s.Labels[k]) > maxSelectorText {
			return "labels", fmt.Errorf("%q: want a key of letters, digits and _./-, and a value of at most %d letters", k, maxSelectorText)
		}
	}
	return "", nil
}

// Everybody says whether the selector names nothing.
func (s Selector) Everybody() bool { return s.rank() == 0 && !s.CIDR.IsValid() }

// isPattern says whether Container is more than a name.
func (s Selector) isPattern() bool { return strings.ContainsAny(s.Container, "*?") }

// matches says whether the subject has everything that the selector names.
func (s *Selector) matches(c *Subject) bool {
	if c.External {
		return s.CIDR.IsValid() && s.CIDR.Contains(c.IP.Unmap()) || s.Everybody()
	}
	if s.CIDR.IsValid() || s.Network != "" && s.Network != c.Network || s.Tenant != "" && s.Tenant != c.Tenant ||
		s.Image != "" && s.Image != c.Image || s.Host != "" && s.Host != c.Host || s.Container != "" && (c.Name == "" || !glob(s.Container, c.Name)) {
		return false
	}
	for k, v := range s.Labels {
		if got, ok := c.Labels[k]; !ok || got != v {
			return false
		}
	}
	return true
}

// What a selector may name, the most telling last.
const (
	byHost uint8 = 1 << iota
	byNetwork
	byTenant
	byImage
	byLabels
	byPattern
	byName
)

// rank is what the selector names. Of two, the greater is of the one that is more specific.
func (s Selector) rank() (r uint8) {
	for _, f := range []struct {
		named bool
		bit   uint8
	}{
		{s.Host != "", byHost}, {s.Network != "", byNetwork}, {s.Tenant != "", byTenant}, {s.Image != "", byImage}, {len(s.Labels) > 0, byLabels},
		{s.Container != "" && s.isPattern(), byPattern}, {s.Container != "" && !s.isPattern(), byName},
	} {
		if f.named {
			r |= f.bit
		}
	}
	return r
}

// String is the selector for people.
func (s Selector) String() string {
	var parts []string
	for _, f := range []struct{ what, value string }{{"container", s.Container}, {"image", s.Image}, {"tenant", s.Tenant}, {"network", s.Network}, {"host", s.Host}} {
		if f.value != "" {
			parts = append(parts, f.what+" "+f.value)
		}
	}
	for _, k := range slices.Sorted(maps.Keys(s.Labels)) {
		parts = append(parts, "label "+k+"="+s.Labels[k])
	}
	if s.CIDR.IsValid() {
		parts = append(parts, s.CIDR.String())
	}
	if len(parts) == 0 {
		return "everybody"
	}
	return strings.Join(parts, ", ")
}

// glob says whether a name is as a pattern has it. It takes at most the product of their lengths.
func glob(pattern, name string) bool {
	p, n, star, from := 0, 0, -1, 0
	for n < len(name) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, from = p, n
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == name[n]):
			p, n = p+1, n+1
		case star >= 0: // the last star takes one letter more
			from++
			p, n = star+1, from
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}
