package vnet

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// The kernel knows a remote container in four places; each of them is reconciled as a set of entries.
//
//	tunnel     MAC → host        where a packet to the container goes
//	flood      host              where broadcast and multicast go: once to each host
//	port       MAC               the bridge hands packets to the container to the tunnel
//	neighbour  IP → MAC          the bridge answers who has the IP
type place int

const (
	inTunnel place = iota
	inFlood
	inPort
	inNeighbour
)

// entry is one line of one of those tables. Fields that a place does not have are zero.
type entry struct {
	place place
	mac   [6]byte
	ip    netip.Addr // the host in inTunnel and inFlood, the container's in inNeighbour
}

// key is the entry without what the kernel replaces in place: two entries with one key exclude each other.
func (e entry) key() entry {
	switch e.place {
	case inTunnel:
		e.ip = netip.Addr{}
	case inNeighbour:
		e.mac = [6]byte{}
	}
	return e
}

// entries is a state of the four tables.
type entries map[entry]entry // by key

func (s entries) add(e entry) { s[e.key()] = e }

// wanted is the state that the remotes ask for. Those on this host itself need nothing: the bridge learns them.
func wanted(local netip.Addr, remotes []Remote) (entries, error) {
	want := make(entries, 4*len(remotes))
	var errs []error
	for _, r := range remotes {
		host := r.Host.Unmap()
		switch {
		case host == local:
			continue
		case !r.IP.Is4():
			errs = append(errs, fmt.Errorf("remote container %s: not an IPv4 address", r.IP))
			continue
		case host.Is4() != local.Is4() || !host.IsValid() || host.IsUnspecified() || host.IsMulticast():
			errs = append(errs, fmt.Errorf("remote container %s: its host %s cannot be reached from %s", r.IP, host, local))
			continue
		}
		mac := [6]byte(MAC(r.IP))
		want.add(entry{place: inTunnel, mac: mac, ip: host})
		want.add(entry{place: inFlood, ip: host})
		want.add(entry{place: inPort, mac: mac})
		for _, ip := range append([]netip.Addr{r.IP, LinkLocal(MAC(r.IP))}, r.Further...) {
			want.add(entry{place: inNeighbour, mac: mac, ip: ip})
		}
	}
	return want, errors.Join(errs...)
}

// difference is what must be added to have to become want, and what must be removed from it after that.
func difference(have, want entries) (missing, stale []entry) {
	for key, e := range want {
		if have[key] != e {
			missing = append(missing, e)
		}
	}
	for key, e := range have {
		if _, ok := want[key]; !ok {
			stale = append(stale, e)
		}
	}
	return missing, stale
}

// reconcile makes the kernel's tables what is wanted. It goes on after an error: one entry that fails must
// not cost the others their network.
func (h *Host) reconcile(tunnel netlink.Link, bridge *netlink.Bridge, want entries) error {
	have, err := h.present(tunnel, bridge)
	if err != nil {
		return err
	}
	var errs []error
	missing, stale := difference(have, want)
	for _, e := range missing {
		errs = append(errs, h.addEntry(e, tunnel, bridge))
	}
	for _, e := range stale {
		errs = append(errs, h.removeEntry(e, tunnel, bridge))
	}
	return errors.Join(errs...)
}

// present reads the tables.
func (h *Host) present(tunnel netlink.Link, bridge *netlink.Bridge) (entries, error) {
	have := make(entries)
	lines, err := h.neighbours(tunnel, unix.AF_BRIDGE)
	if err != nil {
		return nil, err
	}
	for _, l := range lines {
		if len(l.HardwareAddr) != 6 {
			continue
		}
		e := entry{place: inPort, mac: [6]byte(l.HardwareAddr)}
		if l.Flags&netlink.NTF_SELF != 0 {
			e.ip, _ = netip.AddrFromSlice(l.IP)
			e.place = inTunnel
			if e.mac == ([6]byte{}) {
				e.place = inFlood
			}
		} else if l.State&netlink.NUD_NOARP == 0 {
			continue // the tunnel's own MAC
		}
		have.add(e)
	}
	return have, h.presentNeighbours(bridge, have)
}

// presentNeighbours adds the bridge's neighbours to have: those that were set, not any that were found out.
func (h *Host) presentNeighbours(bridge *netlink.Bridge, have entries) error {
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		lines, err := h.neighbours(bridge, family)
		if err != nil {
			return err
		}
		for _, l := range lines {
			if l.State&netlink.NUD_PERMANENT == 0 || len(l.HardwareAddr) != 6 {
				continue
			}
			ip, _ := netip.AddrFromSlice(l.IP)
			have.add(entry{place: inNeighbour, mac: [6]byte(l.HardwareAddr), ip: ip})
		}
	}
	return nil
}

func (h *Host) neighbours(link netlink.Link, family int) ([]netlink.Neigh, error) {
	var lines []netlink.Neigh
	err := retry(func() (err error) {
		lines, err = h.nl.NeighList(link.Attrs().Index, family)
		return err
	})
	if errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EOPNOTSUPP) {
		return nil, nil // no IPv6
	}
	if err != nil {
		return nil, fmt.Errorf("list what %s forwards to: %w", link.Attrs().Name, err)
	}
	return lines, nil
}

func (h *Host) clearNeighbours(bridge *netlink.Bridge) error {
	have := make(entries)
	errs := []error{h.presentNeighbours(bridge, have)}
	for _, e := range have {
		errs = append(errs, h.removeEntry(e, nil, bridge))
	}
	return errors.Join(errs...)
}

func (h *Host) addEntry(e entry, tunnel netlink.Link, bridge *netlink.Bridge) error {
	add := h.nl.NeighSet
	if e.place == inFlood {
		add = h.nl.NeighAppend // one MAC, many hosts
	}
	err := retry(func() error { return add(e.line(tunnel, bridge)) })
	switch {
	case e.place == inFlood && errors.Is(err, errExists):
		return nil
	case e.place == inNeighbour && e.ip.Is6() && noIPv6(err):
		return nil
	case err != nil:
		return fmt.Errorf("add %s: %w", e, err)
	}
	return nil
}

func (h *Host) removeEntry(e entry, tunnel netlink.Link, bridge *netlink.Bridge) error {
	err := retry(func() error { return h.nl.NeighDel(e.line(tunnel, bridge)) })
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("remove %s: %w", e, err)
	}
	return nil
}

// noIPv6 says that the kernel has no IPv6, or not on this link (IPv6 is off, or the MTU is below 1280).
func noIPv6(err error) bool {
	return errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EINVAL)
}

// line is the entry as the kernel is told it.
func (e entry) line(tunnel netlink.Link, bridge *netlink.Bridge) *netlink.Neigh {
	l := &netlink.Neigh{HardwareAddr: net.HardwareAddr(e.mac[:]), IP: e.ip.AsSlice()}
	switch e.place {
	case inNeighbour:
		l.LinkIndex, l.Family, l.State = bridge.Index, family(e.ip), netlink.NUD_PERMANENT
	case inPort:
		// Sticky: a container that sends with a remote one's MAC does not draw its packets to itself.
		l.LinkIndex, l.Family, l.State = tunnel.Attrs().Index, unix.AF_BRIDGE, netlink.NUD_NOARP
		l.Flags = netlink.NTF_MASTER | netlink.NTF_STICKY
	default:
		l.LinkIndex, l.Family, l.State = tunnel.Attrs().Index, unix.AF_BRIDGE, netlink.NUD_PERMANENT|netlink.NUD_NOARP
		l.Flags = netlink.NTF_SELF
	}
	return l
}

func (e entry) String() string {
	where := [...]string{"tunnel entry", "flood entry", "bridge entry", "neighbour"}[e.place]
	return fmt.Sprintf("%s %s %s", where, net.HardwareAddr(e.mac[:]), e.ip)
}
