package rdmacm

import (
	"fmt"
	"log/slog"
	"math"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/freeflow-rdma/freeflow/internal/uapi"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
)

// wire2 joins two Hosts that run by themselves.
type wire2 struct {
	a, b   *verbs.Container
	ha, hb *Host
}

func (w *wire2) Way(c *verbs.Container, dst netip.Addr) (int, verbs.GID, bool) {
	g := verbs.GIDOf(dst)
	return 0, g, w.a.HasGID(g) || w.b.HasGID(g)
}

func (w *wire2) SendMAD(c *verbs.Container, sgid int, dst verbs.GID, _ uint8, mad []byte) {
	if w.a.HasGID(dst) {
		w.ha.Receive(w.a, c.GIDs[sgid], dst, mad)
	} else {
		w.hb.Receive(w.b, c.GIDs[sgid], dst, mad)
	}
}

// waiting is a program that waits for its events, as programs do.
type waiting struct{ program }

func (p *waiting) wait() uapi.UCMEventResp {
	p.t.Helper()
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(p.end.Fd()), Events: unix.POLLIN}}, 60_000)
		if n == 0 || err != nil && err != unix.EINTR {
			panic(fmt.Sprintf("no event: %v", err)) // t.Fatal would end but this goroutine
		}
		if e, ok := p.next(); ok {
			return e
		}
	}
}

func (p *waiting) event(kind uapi.UCMEvent) uapi.UCMEventResp {
	e := p.wait()
	if e.Event != kind {
		panic(fmt.Sprintf("event %v with status %d, want %v", e.Event, e.Status, kind))
	}
	return e
}

func descriptors(t testing.TB) int {
	d, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(d)
}

// TestChurn: a thousand connections between two Hosts with their goroutines, each client on a channel of its own, and nothing is left.
func TestChurn(t *testing.T) {
	before := descriptors(t)
	w := &wire2{a: &verbs.Container{ID: "a", Name: "a", GIDs: []verbs.GID{verbs.GIDOf(netip.MustParseAddr(clientAddr))}},
		b: &verbs.Container{ID: "b", Name: "b", GIDs: []verbs.GID{verbs.GIDOf(netip.MustParseAddr(serverAddr))}}}
	dev := verbs.NewDevice(slog.New(slog.DiscardHandler), nil, nil)
	w.ha, w.hb = New(slog.New(slog.DiscardHandler), dev, w), New(slog.New(slog.DiscardHandler), dev, w)
	open := func(h *Host, c *verbs.Container) *waiting {
		inode, end, err := h.OpenChannel(c)
		if err != nil {
			t.Fatal(err)
		}
		return &waiting{program{t: t, w: &world{t: t}, h: h, c: c, inode: inode, end: end}}
	}
	server := open(w.hb, w.b)
	server.listening(uapi.PortSpaceTCP, "0.0.0.0:80", 0)
	const clients, each = 4, 250
	var all sync.WaitGroup
	var qpns atomic.Uint32 // a queue pair that is used again too soon makes a stale connection
	for range clients {
		all.Go(func() {
			for range each {
				c := open(w.ha, w.a)
				id := c.create(uapi.PortSpaceTCP, verbs.TypeRC)
				c.must(uapi.UCMResolveIP, uapi.UCMResolveIPReq{ID: id, DstAddr: addr("10.77.0.2:80"), TimeoutMS: 2000}, 0)
				c.event(uapi.UCMAddrResolved)
				c.must(uapi.UCMResolveRoute, uapi.UCMResolveRouteReq{ID: id, TimeoutMS: 2000}, 0)
				c.event(uapi.UCMRouteResolved)
				c.must(uapi.UCMConnect, uapi.UCMConnectReq{ID: id, ConnParam: param(qpns.Add(1), "")}, 0)
				c.event(uapi.UCMConnectResponse)
				c.must(uapi.UCMAccept, uapi.UCMAcceptReq{ID: id}, 0)
				_ = c.end.Close() // dies, connected
			}
		})
	}
	uids := map[uint64]uint32{}
	for ended := 0; ended < clients*each; {
		switch e := server.wait(); e.Event {
		case uapi.UCMConnectRequest:
			server.accept(e.ID, qpns.Add(1), "")
			uids[server.uid] = e.ID
		case uapi.UCMDisconnected:
			server.must(uapi.UCMDisconnect, uapi.UCMDisconnectReq{ID: uids[e.UID]}, 0)
			server.destroy(uids[e.UID])
			ended++
		}
	}
	all.Wait()
	if s := w.hb.Counters(); s.IDs != 1 {
		t.Errorf("%d IDs at the server", s.IDs)
	}
	w.ha.Close()
	w.hb.Close()
	_ = server.end.Close()
	if _, _, err := w.ha.OpenChannel(w.a); err != syscall.ENODEV {
		t.Errorf("a channel after Close: %v", err)
	}
	if after := descriptors(t); after != before {
		t.Errorf("%d descriptors, %d before", after, before)
	}
}

// TestTimersWake: the goroutine sees a timer that is set while it sleeps.
func TestTimersWake(t *testing.T) {
	w := &wire2{a: &verbs.Container{ID: "a", GIDs: []verbs.GID{verbs.GIDOf(netip.MustParseAddr(clientAddr))}}, b: &verbs.Container{}}
	w.ha = New(slog.New(slog.DiscardHandler), verbs.NewDevice(slog.New(slog.DiscardHandler), nil, nil), w)
	defer w.ha.Close()
	inode, end, err := w.ha.OpenChannel(w.a)
	if err != nil {
		t.Fatal(err)
	}
	defer end.Close()
	p := &waiting{program{t: t, h: w.ha, c: w.a, inode: inode, end: end}}
	id := p.create(uapi.PortSpaceTCP, verbs.TypeRC)
	p.must(uapi.UCMResolveIP, uapi.UCMResolveIPReq{ID: id, DstAddr: addr("10.77.0.2:80"), TimeoutMS: 60}, 0)
	p.event(uapi.UCMAddrError)
	w.ha.mu.Lock()
	defer w.ha.mu.Unlock()
	if w.ha.next() != math.MaxInt64 {
		t.Error("something is still due")
	}
}
