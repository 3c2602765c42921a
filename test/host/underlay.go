package host

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"github.com/freeflow-rdma/freeflow/internal/vnet"
)

// Underlay is the network that joins hosts: a bridge in a namespace of its own, with an address for the orchestrator, and a veth to each host.
//
//	namespace of the underlay              namespace of host 1
//	  br0 192.168.77.254 ── h1 ═══════════ u0 192.168.77.1   router
//	                     └─ h2 ═══════════ u0 192.168.77.2   router of host 2
type Underlay struct {
	NS  *vnet.Namespace
	MTU int
	t   testing.TB
	n   int
}

// The addresses of an underlay. The orchestrator's is the bridge's.
var (
	OrchestratorIP = orchestratorIP(0)
	underlayBits   = 24
)

// orchestratorIP is the address of the i-th orchestrator, from 0 on; NewUnderlay's bridge has the first.
func orchestratorIP(i int) netip.Addr { return netip.AddrFrom4([4]byte{192, 168, 77, byte(254 - i)}) }

// UnderlayIP is the address of host i, from 1 on.
func UnderlayIP(i int) netip.Addr { return netip.AddrFrom4([4]byte{192, 168, 77, byte(i)}) }

const (
	underlayBridge = "br0"
	underlayLink   = "u0"
)

// NewUnderlay makes an underlay without hosts. It ends with the test.
func NewUnderlay(t testing.TB, mtu int) *Underlay {
	t.Helper()
	ns, err := vnet.NewNamespace()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ns.Close() })
	u := &Underlay{NS: ns, MTU: mtu, t: t}
	u.in(ns, func(nl *netlink.Handle) error {
		attrs := netlink.NewLinkAttrs()
		attrs.Name, attrs.MTU = underlayBridge, mtu
		br := &netlink.Bridge{LinkAttrs: attrs}
		if err := nl.LinkAdd(br); err != nil {
			return err
		}
		if err := addAddr(nl, br, OrchestratorIP); err != nil {
			return err
		}
		return up(nl, underlayBridge, "lo")
	})
	return u
}

// addOrchestrator gives the bridge the address of the i-th orchestrator.
func (u *Underlay) addOrchestrator(i int) {
	u.t.Helper()
	if i == 0 {
		return
	}
	u.in(u.NS, func(nl *netlink.Handle) error {
		br, err := nl.LinkByName(underlayBridge)
		if err != nil {
			return err
		}
		return addAddr(nl, br, orchestratorIP(i))
	})
}

// Join gives a namespace the next address on the underlay.
func (u *Underlay) Join(ns *vnet.Namespace) netip.Addr {
	u.t.Helper()
	u.n++
	ip, name := UnderlayIP(u.n), fmt.Sprintf("h%d", u.n)
	u.in(u.NS, func(nl *netlink.Handle) error {
		br, err := nl.LinkByName(underlayBridge)
		if err != nil {
			return err
		}
		attrs := netlink.NewLinkAttrs()
		attrs.Name, attrs.MTU = name, u.MTU
		attrs.MasterIndex = br.Attrs().Index
		veth := &netlink.Veth{LinkAttrs: attrs, PeerName: underlayLink, PeerNamespace: netlink.NsFd(ns.FD()), PeerMTU: uint32(u.MTU)}
		if err := nl.LinkAdd(veth); err != nil {
			return err
		}
		return up(nl, name)
	})
	u.in(ns, func(nl *netlink.Handle) error {
		link, err := nl.LinkByName(underlayLink)
		if err != nil {
			return err
		}
		if err := addAddr(nl, link, ip); err != nil {
			return err
		}
		return up(nl, underlayLink, "lo")
	})
	return ip
}

// in runs f with the links of a namespace.
func (u *Underlay) in(ns *vnet.Namespace, f func(*netlink.Handle) error) {
	u.t.Helper()
	nl, err := netlink.NewHandleAt(netns.NsHandle(ns.FD()))
	if err == nil {
		defer nl.Close()
		err = f(nl)
	}
	if err != nil {
		u.t.Fatalf("make the underlay: %v", err)
	}
}

func addAddr(nl *netlink.Handle, link netlink.Link, ip netip.Addr) error {
	addr, err := netlink.ParseAddr(netip.PrefixFrom(ip, underlayBits).String())
	if err != nil {
		return err
	}
	return nl.AddrAdd(link, addr)
}

func up(nl *netlink.Handle, names ...string) error {
	for _, name := range names {
		link, err := nl.LinkByName(name)
		if err == nil {
			err = nl.LinkSetUp(link)
		}
		if err != nil {
			return fmt.Errorf("bring %s up: %w", name, err)
		}
	}
	return nil
}
