package vnet

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"

	"github.com/vishvananda/netlink"
)

// DefaultMTU is the MTU of a network that asks for none.
const DefaultMTU = 1500

// Host makes the links of one router, in the network namespace of the thread that called NewHost.
type Host struct {
	runDir string
	nl     *netlink.Handle
	ns     *Namespace // the router's own

	// mu serialises changes of links. The kernel does so anyway (one lock for all of them), and
	// hundreds of requests at once would only make each other time out or retry.
	mu      sync.Mutex
	bridges map[string]*netlink.Bridge // by network

	external map[string]*external // by network; those with a way out only
}

// NewHost opens the router's own namespace for changes.
func NewHost(runDir string) (*Host, error) {
	nl, err := netlink.NewHandle()
	if err != nil {
		return nil, fmt.Errorf("open netlink: %w", err)
	}
	ns, err := NamespaceOfThread()
	if err != nil {
		nl.Close()
		return nil, err
	}
	return &Host{runDir: runDir, nl: nl, ns: ns, bridges: make(map[string]*netlink.Bridge)}, nil
}

// maxAlias is what the kernel keeps of an alias (IFALIASZ, less the final zero).
const maxAlias = 255

// AddNetwork makes the network's bridge, or goes on with the one that an earlier router left.
func (h *Host) AddNetwork(network string, mtu int) error {
	if mtu == 0 {
		mtu = DefaultMTU
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	name := BridgeName(h.runDir, network)
	if err := h.addBridge(name, mtu); err != nil {
		return fmt.Errorf("set up bridge %s of network %s: %w", name, network, explain(err))
	}
	link, err := h.nl.LinkByName(name)
	if err != nil {
		return fmt.Errorf("find bridge %s of network %s: %w", name, network, err)
	}
	bridge, ok := link.(*netlink.Bridge)
	if !ok {
		return fmt.Errorf("interface %s is no bridge but a %s: remove it", name, link.Type())
	}
	if bridge.MTU != mtu { // one that was left
		if err := h.nl.LinkSetMTU(bridge, mtu); err != nil {
			return fmt.Errorf("set the MTU of bridge %s: %w", name, err)
		}
		bridge.MTU = mtu
	}
	// For people, who may find the bridge of a router that was killed and never started again.
	alias := fmt.Sprintf("freeflow network=%s run-dir=%s", network, h.runDir)
	if err := h.nl.LinkSetAlias(bridge, alias[:min(len(alias), maxAlias)]); err != nil {
		return fmt.Errorf("label bridge %s: %w", name, err)
	}
	h.bridges[network] = bridge
	return nil
}

func (h *Host) addBridge(name string, mtu int) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU = name, mtu
	off := false
	bridge := &netlink.Bridge{LinkAttrs: attrs, MulticastSnooping: &off}
	err := retry(func() error { return h.nl.LinkAdd(bridge) })
	if errors.Is(err, errExists) {
		err = nil
	}
	return errors.Join(err, h.quietUp(bridge))
}

// quietUp brings an interface of the router up without an IPv6 address: none of the router's ends is
// part of the containers' networks.
func (h *Host) quietUp(link netlink.Link) error {
	// Fails where the kernel has no IPv6, which then gives no address either.
	_ = retry(func() error { return h.nl.LinkSetIP6AddrGenMode(link, addrGenModeNone) })
	return retry(func() error { return h.nl.LinkSetUp(link) })
}

// RemoveNetwork removes the network's bridge. Containers that are still attached keep their eth0, and are
// attached again when they register with a router that has the network.
func (h *Host) RemoveNetwork(network string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.removeNetwork(network)
}

func (h *Host) removeNetwork(network string) error {
	bridge, ok := h.bridges[network]
	if !ok {
		return nil
	}
	delete(h.bridges, network)
	delete(h.external, network)
	if err := errors.Join(h.removeTunnel(network), h.delete(bridge)); err != nil {
		return fmt.Errorf("remove bridge of network %s: %w", network, err)
	}
	return nil
}

// MTU is the network's.
func (h *Host) MTU(network string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	if bridge, ok := h.bridges[network]; ok {
		return bridge.MTU
	}
	return 0
}

// Close removes the bridges and gives the namespace up.
func (h *Host) Close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	var errs []error
	for network := range h.bridges {
		errs = append(errs, h.removeNetwork(network))
	}
	h.nl.Close()
	return errors.Join(append(errs, h.ns.Close())...)
}

// Left is what an earlier router of this run directory left: the containers that are still alive, and
// bridges and tunnels of networks that this one does not have, which are removed.
func (h *Host) Left() ([]Port, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	links, err := h.links()
	if err != nil {
		return nil, fmt.Errorf("look for what an earlier router left: %w", err)
	}
	known := make(map[string]bool)
	for network, bridge := range h.bridges {
		known[bridge.Name], known[VXLANName(h.runDir, network)] = true, true
	}
	var ports []Port
	for _, link := range links {
		name := link.Attrs().Name
		switch {
		case strings.HasPrefix(name, vethPrefix+h.tag()):
			if port, ok := parsePort(link.Attrs().Alias); ok {
				ports = append(ports, port)
			}
		case (strings.HasPrefix(name, bridgePrefix+h.tag()) || strings.HasPrefix(name, vxlanPrefix+h.tag())) && !known[name]:
			if err := h.delete(link); err != nil {
				return nil, fmt.Errorf("remove stale %s %s: %w", link.Type(), name, err)
			}
		}
	}
	return ports, nil
}

// tag is the part of all names that tells this router's from another's.
func (h *Host) tag() string { return hash(h.runDir)[:4] }

func (h *Host) links() ([]netlink.Link, error) {
	var links []netlink.Link
	err := retry(func() error {
		var err error
		links, err = h.nl.LinkList()
		return err
	})
	return links, err
}

// delete removes a link; one that is gone already is as good.
func (h *Host) delete(link netlink.Link) error {
	err := retry(func() error { return h.nl.LinkDel(link) })
	if isGone(err) {
		return nil
	}
	return err
}

// Port is a container's connection to its network.
type Port struct {
	Container string // ID
	Network   string
	IP        netip.Addr
	Prefix    netip.Prefix // the network's
}

// alias is how a port is written on its veth, for the next router and for people (`ip link`).
func (p Port) alias() string {
	return fmt.Sprintf("freeflow container=%s network=%s ip=%s", p.Container, p.Network, p.IP)
}

func parsePort(alias string) (Port, bool) {
	var p Port
	var ip string
	if n, _ := fmt.Sscanf(alias, "freeflow container=%s network=%s ip=%s", &p.Container, &p.Network, &ip); n != 3 {
		return p, false
	}
	var err error
	p.IP, err = netip.ParseAddr(ip)
	return p, err == nil
}
