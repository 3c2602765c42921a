package vnet

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// external is a network's way out: the bridge has an address, and containers reach some prefixes over it.
type external struct {
	cidr netip.Prefix   // the network's
	to   []netip.Prefix // what is reached
}

// RouteExternal lets the containers of the network reach the addresses in to, which this host reaches over
// its underlay, and be reached from there. For that the bridge gets the last usable address of cidr, the
// network's addresses, which no container may have then, and the host forwards between the bridge and the
// link towards to; no other link begins to forward. Source addresses stay the containers' own: who answers
// from to needs a route to cidr by way of this host or any other of the network's.
//
// The bridges of all hosts have the same address and MAC, and each answers for its own containers.
// Containers that are attached already get the route when they are attached again.
//
// The host itself becomes reachable for the network's containers, on all its addresses. Two networks whose
// addresses overlap cannot both have a way out.
func (h *Host) RouteExternal(network string, cidr, to netip.Prefix) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	bridge, ok := h.bridges[network]
	if !ok {
		return fmt.Errorf("the router has no network %s", network)
	}
	if !cidr.Addr().Is4() || cidr.Bits() > 29 || !to.Addr().Is4() {
		return fmt.Errorf("network %s, %s, cannot be given a route to %s: want IPv4 and room for a gateway", network, cidr, to)
	}
	cidr, to = cidr.Masked(), to.Masked()
	for other, e := range h.external {
		if other != network && e.cidr.Overlaps(cidr) {
			return fmt.Errorf("networks %s and %s have the same addresses: only one of them can have a way out", network, other)
		}
	}
	if err := h.forward(bridge, cidr, to); err != nil {
		return fmt.Errorf("open network %s to %s: %w", network, to, explain(err))
	}
	if h.external == nil {
		h.external = make(map[string]*external)
	}
	e := h.external[network]
	if e == nil || e.cidr != cidr {
		e = &external{cidr: cidr}
		h.external[network] = e
	}
	if !slices.Contains(e.to, to) {
		e.to = append(e.to, to)
	}
	return nil
}

// Gateway is the address of the bridges of a network that has a way out: the last usable one of cidr.
func Gateway(cidr netip.Prefix) netip.Addr { return lastAddress(cidr).Prev() }

// forward gives the bridge the gateway's address and lets packets pass between it and the link towards to.
func (h *Host) forward(bridge *netlink.Bridge, cidr, to netip.Prefix) error {
	gateway := Gateway(cidr)
	if err := h.nl.LinkSetHardwareAddr(bridge, MAC(gateway)); err != nil {
		return fmt.Errorf("set the MAC of bridge %s: %w", bridge.Name, err)
	}
	addr := address(netip.PrefixFrom(gateway, cidr.Bits()))
	if err := retry(func() error { return h.nl.AddrReplace(bridge, addr) }); err != nil {
		return fmt.Errorf("give bridge %s address %s: %w", bridge.Name, gateway, err)
	}
	routes, err := h.nl.RouteGet(to.Addr().AsSlice())
	if err != nil || len(routes) == 0 {
		return fmt.Errorf("find this host's route to %s: %w", to, err)
	}
	out, err := h.nl.LinkByIndex(routes[0].LinkIndex)
	if err != nil {
		return fmt.Errorf("find this host's link to %s: %w", to, err)
	}
	return h.ns.Do(func() error {
		return errors.Join(setForwarding(bridge.Name), setForwarding(out.Attrs().Name))
	})
}

// setForwarding lets the link of the calling thread's namespace forward what it receives.
func setForwarding(link string) error {
	path := filepath.Join("/proc/sys/net/ipv4/conf", link, "forwarding")
	if now, err := os.ReadFile(path); err == nil && len(now) > 0 && now[0] == '1' {
		return nil // also where the file system is read-only
	}
	if err := os.WriteFile(path, []byte("1"), 0); err != nil {
		return fmt.Errorf("let %s forward: %w", link, err)
	}
	return nil
}

// routeOut gives a container the routes out of its network.
func (h *Host) routeOut(inside *netlink.Handle, port Port) error {
	e := h.external[port.Network]
	if e == nil {
		return nil
	}
	eth0, err := inside.LinkByName(ContainerLink)
	if err != nil {
		return fmt.Errorf("find the container's %s: %w", ContainerLink, err)
	}
	for _, to := range e.to {
		route := &netlink.Route{
			LinkIndex: eth0.Attrs().Index, Protocol: unix.RTPROT_STATIC,
			Dst: &net.IPNet{IP: to.Addr().AsSlice(), Mask: net.CIDRMask(to.Bits(), 32)}, Gw: Gateway(e.cidr).AsSlice(),
		}
		if err := retry(func() error { return inside.RouteReplace(route) }); err != nil {
			return fmt.Errorf("route %s out of the container: %w", to, err)
		}
	}
	return nil
}
