package doctor

import (
	"fmt"
	"net"
	"net/netip"
)

// interfaceHas checks that the interface of the calling thread's namespace is up with the address.
func interfaceHas(name string, ip netip.Addr) error {
	link, err := net.InterfaceByName(name)
	if err != nil {
		return fmt.Errorf("find %s: %w", name, err)
	}
	if link.Flags&net.FlagUp == 0 {
		return fmt.Errorf("%s is down", name)
	}
	addrs, err := link.Addrs()
	if err != nil {
		return fmt.Errorf("list the addresses of %s: %w", name, err)
	}
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr() == ip {
			return nil
		}
	}
	return fmt.Errorf("%s has no address %s", name, ip)
}
