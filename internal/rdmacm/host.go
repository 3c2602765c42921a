package rdmacm

import (
	"log/slog"
	"math"
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"

	"github.com/freeflow-rdma/freeflow/internal/cm"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
)

// Net is how messages reach other hosts, and what the router knows of addresses. Any goroutine may call it, with locks held.
type Net interface {
	// Way finds how a container reaches an address: the index of its own GID to use, and the peer's GID. ok is false if it is not known
	// (yet).
	Way(c *verbs.Container, dst netip.Addr) (sgid int, dgid verbs.GID, ok bool)
	// SendMAD sends 256 bytes from QP 1 to QP 1. It copies them, does not block, and may lose them; it never delivers during the call.
	SendMAD(c *verbs.Container, sgid int, dst verbs.GID, tclass uint8, mad []byte)
}

// Host is the rdma_cm device of a host.
type Host struct {
	// Allow, if set before the first call, says whether a container may talk to a peer. It is asked for each connection, on both sides,
	// with a lock held.
	Allow func(c *verbs.Container, peer netip.Addr, incoming bool) bool

	log   *slog.Logger
	net   Net
	mtu   func() uint8 // the port's, a code
	clock func() int64 // ns since some moment
	rand  func() uint32

	mu        sync.Mutex
	machine   *cm.Machine
	members   map[*verbs.Container]*member
	parties   map[cm.Party]*member
	lastParty cm.Party
	channels  map[uint64]*channel // by inode of the program's end
	conns     map[cm.ID]*id
	lined     map[cm.ID]*id // requests that wait in a listener's line
	happened  []*cm.Event   // told by the machine, not acted upon yet
	timers    timers
	listens   uint64 // counts LISTEN: who was first
	counters  Counters
	watch     *watcher
	sleep     int64 // until when the loop sleeps
	closed    bool

	in   chan message
	wake chan struct{}
	stop chan struct{}
	done sync.WaitGroup
}

// hostParty is the host's own address.
const hostParty cm.Party = 1

// New makes the device and starts its goroutines.
func New(log *slog.Logger, dev *verbs.Device, n Net) *Host {
	start := time.Now()
	h := newHost(log, n, dev.MTU, func() int64 { return int64(time.Since(start)) })
	h.done.Add(2)
	go h.loop()
	go h.watch.loop()
	return h
}

// newHost makes a Host that does nothing by itself: tests call tick and take.
func newHost(log *slog.Logger, n Net, mtu func() uint8, clock func() int64) *Host {
	h := &Host{log: log, net: n, mtu: mtu, clock: clock, rand: rand.Uint32, members: map[*verbs.Container]*member{}, parties: map[cm.Party]*member{},
		lastParty: hostParty, channels: map[uint64]*channel{}, conns: map[cm.ID]*id{}, lined: map[cm.ID]*id{}, sleep: math.MaxInt64,
		in: make(chan message, incoming), wake: make(chan struct{}, 1), stop: make(chan struct{})}
	h.watch = newWatcher(h)
	h.machine = cm.New(cm.Config{Send: h.send, Emit: func(ev *cm.Event) { h.happened = append(h.happened, ev) }, Rand: rand.Uint32, GUID: h.guid,
		Foreign: func(r cm.Route) bool { return r.Local == hostParty }})
	return h
}

// Close ends all IDs, tells their peers, and closes the channels. Commands fail afterwards, and messages go nowhere.
func (h *Host) Close() {
	h.enter()
	for _, ch := range h.channels {
		h.closeChannel(ch)
	}
	h.closed = true
	h.leave()
	close(h.stop)
	h.watch.end()
	h.done.Wait()
	h.watch.close()
}

// enter and leave surround every use of the tables.
func (h *Host) enter() { h.mu.Lock() }

// leave acts upon what the machine told meanwhile, and sees to it that the loop sleeps no longer than it may.
func (h *Host) leave() {
	h.settle()
	if h.next() < h.sleep {
		select {
		case h.wake <- struct{}{}:
		default:
		}
	}
	h.mu.Unlock()
}

// settle acts upon what the machine told, and upon what it tells while that is done.
func (h *Host) settle() {
	for len(h.happened) > 0 {
		ev := h.happened[0]
		h.happened = h.happened[1:]
		h.outcome(ev)
	}
	h.happened = nil
}

// next is when something is due.
func (h *Host) next() int64 {
	at := h.timers.next()
	if m, ok := h.machine.Next(); ok {
		at = min(at, m)
	}
	return at
}

// tick does what is due.
func (h *Host) tick() {
	h.enter()
	defer h.leave()
	now := h.clock()
	h.machine.Tick(now)
	h.settle()
	for i := h.timers.due(now); i != nil; i = h.timers.due(now) {
		h.lookAgain(i)
	}
}

// send is the machine's way out.
func (h *Host) send(r cm.Route, mad []byte) {
	if r.Local != hostParty {
		if m := h.parties[r.Local]; m != nil {
			h.net.SendMAD(m.c, r.SGID, r.Dst, r.TClass, mad)
		}
		return
	}
	for _, m := range h.members {
		if i := m.c.HostGID; i != 0 && m.c.GIDs[i] == r.Src {
			h.net.SendMAD(m.c, i, r.Dst, r.TClass, mad)
			return
		}
	}
}

// guid is the node GUID that requests and replies tell. That of the host's own address is made of the address, and local.
func (h *Host) guid(p cm.Party) uint64 {
	if m := h.parties[p]; m != nil {
		return m.c.GUID
	}
	for _, m := range h.members {
		if i := m.c.HostGID; i != 0 {
			g := m.c.GIDs[i]
			return 2<<56 | uint64(g[12])<<24 | uint64(g[13])<<16 | uint64(g[14])<<8 | uint64(g[15])
		}
	}
	return 0
}

func (h *Host) allowed(c *verbs.Container, peer netip.Addr, incoming bool) bool {
	return h.Allow == nil || h.Allow(c, peer, incoming)
}
