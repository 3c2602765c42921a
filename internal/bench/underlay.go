package bench

import (
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"runtime"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/freeflow-rdma/freeflow/internal/vnet"
)

// underlay is the network that joins hosts which are namespaces of one machine: a bridge in a namespace of its own, where the orchestrator is
// too, and a veth to each host. No namespace has a name, so the kernel removes them all with the last process, however that ends.
//
//	namespace of the underlay              namespace of host 1
//	  br0 192.168.77.254 ── h1 ═══════════ u0 192.168.77.1   router
//	                     └─ h2 ═══════════ u0 192.168.77.2   router of host 2
type underlay struct {
	ns    *vnet.Namespace
	hosts []*vnet.Namespace
	mtu   int
}

const (
	underlayBridge = "br0"
	underlayLink   = "u0"
	underlayBits   = 24
)

// orchestratorIP is the bridge's address.
var orchestratorIP = netip.MustParseAddr("192.168.77.254")

// underlayIP is the address of host i, from 1 on.
func underlayIP(i int) netip.Addr { return netip.AddrFrom4([4]byte{192, 168, 77, byte(i)}) }

// newUnderlay makes an underlay and the namespaces of n hosts.
func newUnderlay(n, mtu int) (u *underlay, err error) {
	u = &underlay{mtu: mtu}
	defer func() {
		if err != nil {
			u.close()
			err = fmt.Errorf("make the underlay: %w", err)
		}
	}()
	if u.ns, err = vnet.NewNamespace(); err != nil {
		return nil, err
	}
	if err = inside(u.ns, u.addBridge); err != nil {
		return nil, err
	}
	for range n {
		if err = u.addHost(); err != nil {
			return nil, err
		}
	}
	return u, nil
}

func (u *underlay) addBridge(nl *netlink.Handle) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU = underlayBridge, u.mtu
	if err := nl.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}); err != nil {
		return err
	}
	return ready(nl, underlayBridge, orchestratorIP)
}

// addHost makes one more namespace and gives it the next address.
func (u *underlay) addHost() error {
	host, err := vnet.NewNamespace()
	if err != nil {
		return err
	}
	u.hosts = append(u.hosts, host)
	name := fmt.Sprintf("h%d", len(u.hosts))
	err = inside(u.ns, func(nl *netlink.Handle) error {
		br, err := nl.LinkByName(underlayBridge)
		if err != nil {
			return err
		}
		attrs := netlink.NewLinkAttrs()
		attrs.Name, attrs.MTU, attrs.MasterIndex = name, u.mtu, br.Attrs().Index
		veth := &netlink.Veth{LinkAttrs: attrs, PeerName: underlayLink, PeerNamespace: netlink.NsFd(host.FD()), PeerMTU: uint32(u.mtu)}
		if err := nl.LinkAdd(veth); err != nil {
			return err
		}
		return ready(nl, name, netip.Addr{})
	})
	if err != nil {
		return err
	}
	return inside(host, func(nl *netlink.Handle) error { return ready(nl, underlayLink, underlayIP(len(u.hosts))) })
}

func (u *underlay) close() {
	for _, ns := range append(u.hosts, u.ns) {
		if ns != nil {
			ns.Close()
		}
	}
}

// inside runs f with the links of a namespace.
func inside(ns *vnet.Namespace, f func(*netlink.Handle) error) error {
	nl, err := netlink.NewHandleAt(netns.NsHandle(ns.FD()))
	if err != nil {
		return err
	}
	defer nl.Close()
	return f(nl)
}

// ready gives a link its address, if it is to have one, and brings it and the loopback up.
func ready(nl *netlink.Handle, name string, ip netip.Addr) error {
	for _, name := range []string{"lo", name} {
		link, err := nl.LinkByName(name)
		if err == nil {
			err = nl.LinkSetUp(link)
		}
		if err != nil {
			return fmt.Errorf("bring %s up: %w", name, err)
		}
	}
	if !ip.IsValid() {
		return nil
	}
	link, err := nl.LinkByName(name)
	if err != nil {
		return err
	}
	addr, err := netlink.ParseAddr(netip.PrefixFrom(ip, underlayBits).String())
	if err != nil {
		return err
	}
	return nl.AddrAdd(link, addr)
}

// startIn starts a command in a network namespace; nil: in our own. The thread comes back, and it is the caller's: a process that ends with its
// parent (apart) ends with the thread that started it.
func startIn(ns *vnet.Namespace, cmd *exec.Cmd) (err error) {
	if ns == nil {
		return cmd.Start()
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	own, err := vnet.NamespaceOfThread()
	if err != nil {
		return err
	}
	defer own.Close()
	if err := unix.Setns(ns.FD(), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter a host's network namespace: %w", err)
	}
	err = cmd.Start()
	if back := unix.Setns(own.FD(), unix.CLONE_NEWNET); back != nil {
		return errors.Join(err, fmt.Errorf("leave a host's network namespace: %w", back))
	}
	return err
}
