package policy

import "net/netip"

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
