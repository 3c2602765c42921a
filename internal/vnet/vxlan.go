package vnet

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
)

// VXLANPort is the UDP port of the tunnels between the bridges: VXLAN's own (RFC 7348, section 5), which
// firewalls and NICs know. Other overlays share it peacefully as long as their network identifiers differ,
// which are counted up from 1 here and from 4096 in Docker and Calico; flannel (whose only network is
// number 1) and Cilium have UDP 8472. An overlay that takes the whole port for itself (Open vSwitch) and
// this one exclude each other on a host.
const VXLANPort = 4789

// VXLANOverhead4 and VXLANOverhead6 are what a tunnel over IPv4 and over IPv6 takes of the underlay's MTU:
// the inner Ethernet header, VXLAN, UDP and IP (RFC 7348, section 5).
const (
	VXLANOverhead4 = 14 + 8 + 8 + 20
	VXLANOverhead6 = 14 + 8 + 8 + 40
)

// maxVNI is the largest network identifier: 24 bits.
const maxVNI = 1<<24 - 1

// errVXLANTaken explains EEXIST and EADDRINUSE of a new tunnel.
var errVXLANTaken = errors.New("another overlay or router on this host has the network identifier or the port")

// OverlayMTU is the MTU that a network has room for which joins hosts over the underlay: the MTU of the link
// with the address local, less the tunnel's headers.
func (h *Host) OverlayMTU(local netip.Addr) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.overlayMTU(local)
}

func (h *Host) overlayMTU(local netip.Addr) (int, error) {
	link, err := h.linkWith(local)
	if err != nil {
		return 0, err
	}
	if local.Is6() {
		return link.Attrs().MTU - VXLANOverhead6, nil
	}
	return link.Attrs().MTU - VXLANOverhead4, nil
}

// linkWith is the link that has the address.
func (h *Host) linkWith(local netip.Addr) (netlink.Link, error) {
	var addrs []netlink.Addr
	err := retry(func() (err error) {
		addrs, err = h.nl.AddrList(nil, family(local))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list the host's addresses: %w", err)
	}
	for _, a := range addrs {
		if a.IP.Equal(local.AsSlice()) {
			return h.nl.LinkByIndex(a.LinkIndex)
		}
	}
	return nil, fmt.Errorf("the host has no address %s", local)
}

func family(a netip.Addr) int {
	if a.Is6() {
		return netlink.FAMILY_V6
	}
	return netlink.FAMILY_V4
}

// Remote is a container of a network on another host.
type Remote struct {
	IP      netip.Addr   // in the network
	Host    netip.Addr   // its host's address on the underlay
	Further []netip.Addr // IPv6 addresses that its eth0 has besides the link-local one
}

// SetRemotes joins the network's bridge with those of other hosts, and says which containers are there: the
// whole list each time. What is missing is added, what is stale removed, and a container that moved is
// pointed at its new host in one step. The tunnel is made, or one that an earlier router left is taken on.
//
// local is this host's address on the underlay, of the same family as the remotes' hosts; vni is the
// network's identifier, the same on all hosts. The network's MTU must leave room for the tunnel's headers
// (OverlayMTU). Remotes with an unusable address are left out and named in the error; the others are set.
func (h *Host) SetRemotes(network string, vni uint32, local netip.Addr, remotes []Remote) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	bridge, ok := h.bridges[network]
	if !ok {
		return fmt.Errorf("the router has no network %s", network)
	}
	if vni == 0 || vni > maxVNI {
		return fmt.Errorf("network %s: identifier %d is not in 1 to %d", network, vni, maxVNI)
	}
	tunnel, err := h.tunnel(network, bridge, vni, local)
	if err != nil {
		return fmt.Errorf("set up the tunnel of network %s: %w", network, explain(err))
	}
	want, unusable := wanted(local, remotes)
	if err := h.reconcile(tunnel, bridge, want); err != nil {
		return fmt.Errorf("set the remote containers of network %s: %w", network, err)
	}
	return unusable
}

// ClearRemotes parts the network's bridge from those of other hosts.
func (h *Host) ClearRemotes(network string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	var errs []error
	if bridge, ok := h.bridges[network]; ok {
		errs = append(errs, h.clearNeighbours(bridge))
	}
	return errors.Join(append(errs, h.removeTunnel(network))...)
}

func (h *Host) removeTunnel(network string) error {
	name := VXLANName(h.runDir, network)
	link, err := h.nl.LinkByName(name)
	if isGone(err) {
		return nil
	}
	if err == nil {
		err = h.delete(link)
	}
	if err != nil {
		return fmt.Errorf("remove tunnel %s of network %s: %w", name, network, err)
	}
	return nil
}

// tunnel is the network's VXLAN device, a port of its bridge.
func (h *Host) tunnel(network string, bridge *netlink.Bridge, vni uint32, local netip.Addr) (netlink.Link, error) {
	room, err := h.overlayMTU(local)
	if err != nil {
		return nil, err
	}
	if bridge.MTU > room {
		return nil, fmt.Errorf("the network's MTU is %d, but the underlay has room for %d: lower the one or raise the other",
			bridge.MTU, room)
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU = VXLANName(h.runDir, network), bridge.MTU
	want := &netlink.Vxlan{
		LinkAttrs: attrs, VxlanId: int(vni), SrcAddr: local.AsSlice(), Port: VXLANPort, NoAge: true,
		// The sum over the outer packet costs nothing, being derived from the inner one's, and lets the
		// receiver trust that one and merge segments.
		UDPCSum: true,
	}
	found, err := h.sameTunnel(want)
	if err != nil {
		return nil, err
	}
	if found == nil {
		err := retry(func() error { return h.nl.LinkAdd(want) })
		if errors.Is(err, errExists) || errors.Is(err, errInUse) {
			err = fmt.Errorf("%w: %w", errVXLANTaken, err)
		}
		if err != nil {
			return nil, fmt.Errorf("make tunnel %s: %w", attrs.Name, err)
		}
		found = want
	}
	return found, h.joinTunnel(found, bridge, fmt.Sprintf("freeflow tunnel network=%s vni=%d run-dir=%s", network, vni, h.runDir))
}

// sameTunnel finds a device that is what is wanted; another one of that name is removed. What cannot be
// changed in place is compared.
func (h *Host) sameTunnel(want *netlink.Vxlan) (netlink.Link, error) {
	link, err := h.nl.LinkByName(want.Name)
	if isGone(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("find tunnel %s: %w", want.Name, err)
	}
	old, ok := link.(*netlink.Vxlan)
	if ok && old.VxlanId == want.VxlanId && old.SrcAddr.Equal(want.SrcAddr) && old.Port == want.Port && !old.Learning && !old.Proxy {
		return old, nil
	}
	if err := h.delete(link); err != nil {
		return nil, fmt.Errorf("remove stale tunnel %s: %w", want.Name, err)
	}
	return nil, nil
}

// joinTunnel makes the tunnel a port of the bridge that learns nothing (where remote containers are is told,
// and a spoofed packet must not change it), passes no packet to unknown containers, and for which the bridge
// answers ARP and neighbour discovery itself. Broadcast and multicast do pass.
func (h *Host) joinTunnel(link netlink.Link, bridge *netlink.Bridge, alias string) error {
	steps := []struct {
		what string
		do   func() error
	}{
		{"label", func() error { return h.nl.LinkSetAlias(link, alias[:min(len(alias), maxAlias)]) }},
		{"set the MTU of", func() error { return h.nl.LinkSetMTU(link, bridge.MTU) }},
		{"join to its bridge", func() error { return h.nl.LinkSetMaster(link, bridge) }},
		{"turn learning off on", func() error { return h.nl.LinkSetLearning(link, false) }},
		{"turn flooding off on", func() error { return h.nl.LinkSetFlood(link, false) }},
		{"turn neighbour suppression on for", func() error { return h.nl.LinkSetBrNeighSuppress(link, true) }},
		{"bring up", func() error { return h.quietUp(link) }},
	}
	for _, s := range steps {
		if err := retry(s.do); err != nil {
			return fmt.Errorf("%s tunnel %s: %w", s.what, link.Attrs().Name, err)
		}
	}
	return nil
}
