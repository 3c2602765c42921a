package udp

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// MaxGroups bounds the groups that a host is a member of at a time: each takes a socket and its buffer.
const MaxGroups = 64

const groupBuffer = 1 << 20 // bytes of a socket's receive buffer

// Errors of Join.
var (
	ErrTooMany = errors.New("too many multicast groups")
	ErrFamily  = errors.New("not a multicast group of the underlay's family")
)

// Groups are the multicast groups whose packets a host takes on one interface and port. Each has a socket bound to the group's address, so
// that nothing else comes there; the kernel tells the network (IGMP, MLD). The sockets stand behind one descriptor, and one Receiver
// serves them all.
//
// Threads: Poll and Next are one worker's; Join, Leave: any goroutine.
type Groups struct {
	Counters Counters

	local netip.AddrPort // of the interface
	index int            // of it; IPv6
	ep    int

	mu      sync.Mutex
	members map[netip.Addr]int // slots
	slots   [MaxGroups]atomic.Pointer[group]

	// The worker's.
	rx     *Receiver
	events [MaxGroups]unix.EpollEvent
	ready  int // events of the last Poll
	next   int // the first of them that Next has not looked at
	now    *group
}

// group is one of them.
type group struct {
	addr     netip.Addr
	fd       int
	overflow uint32 // Receiver's
}

// OpenGroups prepares for groups on the interface that has the local address, without any yet. They are joined in the network namespace
// of the threads that call Join.
func OpenGroups(local netip.AddrPort) (*Groups, error) {
	g := &Groups{local: netip.AddrPortFrom(local.Addr().Unmap(), local.Port()), members: map[netip.Addr]int{}}
	if g.local.Addr().Is6() {
		link, err := interfaceOf(g.local.Addr())
		if err != nil {
			return nil, err
		}
		g.index = link.Index
	}
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("watch multicast groups: %w", err)
	}
	g.ep = ep
	g.rx = newReceiver(-1, false, &g.Counters)
	return g, nil
}

// FD is readable while a packet waits; level triggered. Valid until Close.
func (g *Groups) FD() int { return g.ep }

// Join takes the packets of a group from now on. No error if it does so already.
func (g *Groups) Join(addr netip.Addr) error {
	addr = addr.Unmap()
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, ok := g.members[addr]; ok {
		return nil
	}
	if !addr.IsMulticast() || addr.Is4() != g.local.Addr().Is4() {
		return fmt.Errorf("join %s: %w", addr, ErrFamily)
	}
	for i := range g.slots {
		if g.slots[i].Load() != nil {
			continue
		}
		fd, err := g.listen(addr)
		if err != nil {
			return fmt.Errorf("join %s: %w", addr, err)
		}
		g.slots[i].Store(&group{addr: addr, fd: fd})
		if err := unix.EpollCtl(g.ep, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(i)}); err != nil {
			g.slots[i].Store(nil)
			_ = unix.Close(fd) // which no worker has seen
			return fmt.Errorf("join %s: %w", addr, err)
		}
		g.members[addr] = i
		return nil
	}
	return fmt.Errorf("join %s: %w", addr, ErrTooMany)
}

// Leave ends Join. The caller calls end when the worker that may have been within Poll or Next no longer is; the network hears of it then.
// Nil: there is nothing to end.
func (g *Groups) Leave(addr netip.Addr) (end func()) {
	addr = addr.Unmap()
	g.mu.Lock()
	defer g.mu.Unlock()
	i, ok := g.members[addr]
	if !ok {
		return nil
	}
	delete(g.members, addr)
	fd := g.slots[i].Swap(nil).fd
	_ = unix.EpollCtl(g.ep, unix.EPOLL_CTL_DEL, fd, nil)
	return func() { _ = unix.Close(fd) }
}

// Joined are the groups that are joined.
func (g *Groups) Joined() (all []netip.Addr) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for a := range g.members {
		all = append(all, a)
	}
	return all
}

// Close leaves all groups. No worker may use them any more.
func (g *Groups) Close() {
	for _, a := range g.Joined() {
		g.Leave(a)()
	}
	_ = unix.Close(g.ep)
}

// Poll looks which groups have packets, without waiting.
func (g *Groups) Poll() {
	g.now, g.next, g.ready = nil, 0, 0
	if n, err := unix.EpollWait(g.ep, g.events[:], 0); err == nil {
		g.ready = n
	}
}

// Next gives the next packet and the group that it was sent to; false if there is none. What it gives is valid until it is called again.
func (g *Groups) Next(a *Arrival) (to netip.Addr, ok bool) {
	for {
		if g.now != nil && g.rx.Next(a) {
			return g.now.addr, true
		}
		if g.now != nil {
			g.now.overflow = g.rx.overflow
		}
		if g.next == g.ready {
			g.now = nil
			return to, false
		}
		g.now = g.slots[g.events[g.next].Fd].Load()
		g.next++
		if g.now != nil {
			g.rx.fd, g.rx.overflow = g.now.fd, g.now.overflow
			g.rx.Poll()
		}
	}
}

// listen makes the socket of a group.
func (g *Groups) listen(addr netip.Addr) (fd int, err error) {
	at := addr
	if addr.IsLinkLocalMulticast() && addr.Is6() {
		at = addr.WithZone(fmt.Sprint(g.index))
	}
	if fd, err = bound(netip.AddrPortFrom(at, g.local.Port()), unix.SO_REUSEADDR); err != nil {
		return -1, err
	}
	defer func() {
		if err != nil {
			_ = unix.Close(fd)
		}
	}()
	if err := setOptions(fd, addr.Is4(), 0); err != nil {
		return -1, err
	}
	setBuffer(fd, groupBuffer, unix.SO_RCVBUFFORCE, unix.SO_RCVBUF)
	if addr.Is6() {
		_ = unix.SetsockoptInt(fd, unix.SOL_IPV6, unix.IPV6_MULTICAST_ALL, 0)
		return fd, unix.SetsockoptIPv6Mreq(fd, unix.SOL_IPV6, unix.IPV6_JOIN_GROUP, &unix.IPv6Mreq{Multiaddr: addr.As16(), Interface: uint32(g.index)})
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_MULTICAST_ALL, 0); err != nil { // or it hears on every interface
		return -1, fmt.Errorf("keep other interfaces out: %w", err)
	}
	return fd, unix.SetsockoptIPMreqn(fd, unix.SOL_IP, unix.IP_ADD_MEMBERSHIP, &unix.IPMreqn{Multiaddr: addr.As4(), Address: g.local.Addr().As4()})
}

// groupHops is the time to live of packets to groups: that of Linux' Soft-RoCE.
const groupHops = 64

// toGroups has a socket send to groups through the interface that has the local address, and not back to this host. Without, where that
// cannot be had, the routes decide.
func toGroups(fd int, local netip.Addr) {
	if local.Is4() {
		_ = unix.SetsockoptIPMreqn(fd, unix.SOL_IP, unix.IP_MULTICAST_IF, &unix.IPMreqn{Address: local.As4()})
		_ = unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_MULTICAST_TTL, groupHops)
		_ = unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_MULTICAST_LOOP, 0)
		return
	}
	if link, err := interfaceOf(local); err == nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_IPV6, unix.IPV6_MULTICAST_IF, link.Index)
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_IPV6, unix.IPV6_MULTICAST_HOPS, groupHops)
	_ = unix.SetsockoptInt(fd, unix.SOL_IPV6, unix.IPV6_MULTICAST_LOOP, 0)
}
