package vnet

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

// ContainerLink is the name of the container's end.
const ContainerLink = "eth0"

// Attach gives the namespace ns its eth0 on the port's network, ready for use when it returns: the
// addresses are usable at once, IPv6 duplicate detection being skipped, and the bridge forwards. A namespace
// that an earlier router attached with the same address is joined to the bridge again, and keeps its
// connections. further are IPv6 addresses that eth0 has besides.
func (h *Host) Attach(ns *Namespace, port Port, further ...netip.Prefix) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("attach container %s to network %s: %w", port.Container, port.Network, explain(err))
		}
	}()
	inside, err := netlink.NewHandleAt(netns.NsHandle(ns.FD()))
	if err != nil {
		return fmt.Errorf("open netlink in the container: %w", err)
	}
	defer inside.Close()
	if err := h.attach(ns, inside, port, further); err != nil {
		return err
	}
	if err := h.settled(inside, VethName(h.runDir, port.Network, port.IP)); err != nil {
		return errors.Join(err, h.Detach(port))
	}
	return nil
}

func (h *Host) attach(ns *Namespace, inside *netlink.Handle, port Port, further []netip.Prefix) (err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	bridge, ok := h.bridges[port.Network]
	if !ok {
		return fmt.Errorf("the router has no network %s", port.Network)
	}
	name := VethName(h.runDir, port.Network, port.IP)
	if h.isAttached(inside, name, MAC(port.IP)) {
		return errors.Join(h.join(name, bridge, port), h.routeOut(inside, port))
	}
	if err := h.addVeth(ns, name, bridge, port); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, h.detach(port))
		}
	}()
	if err := h.join(name, bridge, port); err != nil {
		return err
	}
	if err := configure(inside, port, further); err != nil {
		return err
	}
	return h.routeOut(inside, port)
}

// isAttached says whether the namespace behind inside has the far end of our veth name.
func (h *Host) isAttached(inside *netlink.Handle, name string, mac net.HardwareAddr) bool {
	ours, err := h.nl.LinkByName(name)
	if err != nil {
		return false
	}
	theirs, err := inside.LinkByName(ContainerLink)
	if err != nil {
		return false
	}
	return theirs.Type() == "veth" && theirs.Attrs().ParentIndex == ours.Attrs().Index &&
		ours.Attrs().ParentIndex == theirs.Attrs().Index &&
		theirs.Attrs().HardwareAddr.String() == mac.String()
}

// addVeth makes the pair, its far end in the container from the start. A veth of that name belongs to a
// container that is gone, or the address would not have been given to this one.
func (h *Host) addVeth(ns *Namespace, name string, bridge *netlink.Bridge, port Port) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU = name, bridge.MTU
	veth := &netlink.Veth{
		LinkAttrs:        attrs,
		PeerName:         ContainerLink,
		PeerHardwareAddr: MAC(port.IP),
		PeerNamespace:    netlink.NsFd(ns.FD()),
		PeerMTU:          uint32(bridge.MTU),
	}
	add := func() error { return retry(func() error { return h.nl.LinkAdd(veth) }) }
	err := add()
	if errors.Is(err, errExists) {
		if err := h.detach(port); err != nil {
			return err
		}
		err = add()
	}
	if errors.Is(err, errExists) {
		return fmt.Errorf("the container's namespace has an %s already: %w", ContainerLink, err)
	}
	if err != nil {
		return fmt.Errorf("make veth pair %s: %w", name, err)
	}
	return nil
}

// join makes our end of the veth a port of the bridge and writes on it whose it is.
func (h *Host) join(name string, bridge *netlink.Bridge, port Port) error {
	link, err := h.nl.LinkByName(name)
	if err != nil {
		return fmt.Errorf("find veth %s: %w", name, err)
	}
	if err := h.nl.LinkSetAlias(link, port.alias()); err != nil {
		return fmt.Errorf("label veth %s: %w", name, err)
	}
	if err := retry(func() error { return h.nl.LinkSetMaster(link, bridge) }); err != nil {
		return fmt.Errorf("join veth %s to bridge %s: %w", name, bridge.Name, err)
	}
	if err := h.quietUp(link); err != nil {
		return fmt.Errorf("bring veth %s up: %w", name, err)
	}
	return nil
}

// Detach removes the port's veth pair, both ends. A pair that went with its namespace is as good.
func (h *Host) Detach(port Port) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.detach(port)
}

func (h *Host) detach(port Port) error {
	name := VethName(h.runDir, port.Network, port.IP)
	link, err := h.nl.LinkByName(name)
	if isGone(err) {
		return nil
	}
	if err == nil {
		err = h.delete(link)
	}
	if err != nil {
		return fmt.Errorf("remove veth %s of container %s: %w", name, port.Container, err)
	}
	return nil
}
