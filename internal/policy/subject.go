package policy

import "net/netip"

// Subject is what policies are about: a container, or an address that is no container's.
type Subject struct {
	Network, Tenant string // of a container; those of an address outside are empty
	Name            string
	Host            string // where it runs
	Image           string
	Labels          map[string]string
	IP              netip.Addr
	External        bool // an address outside: only IP counts
}

// same says whether a and b are one container.
func (a Subject) same(b Subject) bool {
	return !a.External && !b.External && a.Network == b.Network && a.Name == b.Name
}

// Outside is an address that is no container's.
func Outside(ip netip.Addr) Subject { return Subject{IP: ip, External: true} }
