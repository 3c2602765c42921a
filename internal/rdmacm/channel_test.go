package rdmacm

import (
	"encoding/binary"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/freeflow-rdma/freeflow/internal/uapi"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
)

// tokens counts what a channel's socket has.
func (p *program) tokens() (n int) {
	for {
		if _, err := p.token(); err != nil {
			return n
		}
		n++
	}
}

// TestTokensBeyondSocket: more events than the socket takes tokens for. They come as the program reads, and none is lost.
func TestTokensBeyondSocket(t *testing.T) {
	p := newPair(t)
	c := p.client
	const n = 5000
	for range n {
		id := c.create(uapi.PortSpaceTCP, verbs.TypeRC)
		c.must(uapi.UCMResolveIP, uapi.UCMResolveIPReq{ID: id, DstAddr: addr("10.77.0.2:80"), TimeoutMS: 1}, 0)
	}
	ch := c.h.channels[c.inode]
	if ch.unsent == 0 {
		t.Fatal("all tokens fit: the test needs more events")
	}
	got := 0
	for rounds := 0; got < n; rounds++ {
		k := c.tokens()
		if k == 0 {
			t.Fatalf("no more tokens after %d of %d", got, n)
		}
		for range k {
			c.must(uapi.UCMGetEvent, uapi.UCMGetEventReq{}, 336)
		}
		got += k
		p.w.watchOnce()
	}
	c.quiet()
	if ch.unsent != 0 || ch.events.Len() != 0 {
		t.Errorf("%d tokens and %d events left", ch.unsent, ch.events.Len())
	}
}

// TestWithdrawn: DESTROY_ID tells how many tokens to drop; those that never got into the socket are not among them.
func TestWithdrawn(t *testing.T) {
	p := newPair(t)
	c := p.client
	var ids []uint32
	for range 1000 {
		id := c.create(uapi.PortSpaceTCP, verbs.TypeRC)
		c.must(uapi.UCMResolveIP, uapi.UCMResolveIPReq{ID: id, DstAddr: addr("10.77.0.2:80"), TimeoutMS: 1}, 0)
		c.must(uapi.UCMResolveRoute, uapi.UCMResolveRouteReq{ID: id, TimeoutMS: 1}, 0)
		ids = append(ids, id)
	}
	for _, id := range ids { // the helper fails if there is no token to drop
		c.destroy(id)
		p.w.watchOnce()
	}
	if n := c.tokens(); n != 0 {
		t.Errorf("%d tokens left", n)
	}
	p.w.empty()
}

// TestGetEventWrong: the token that the program has taken for an event is not lost if it asked wrongly.
func TestGetEventWrong(t *testing.T) {
	p := newPair(t)
	c := p.client
	if _, err := c.write(uapi.UCMGetEvent, uapi.UCMGetEventReq{}, 336); err != syscall.EAGAIN {
		t.Errorf("without event: %v", err)
	}
	id := c.create(uapi.PortSpaceTCP, verbs.TypeRC)
	c.must(uapi.UCMResolveIP, uapi.UCMResolveIPReq{ID: id, DstAddr: addr("10.77.0.2:80"), TimeoutMS: 1}, 0)
	if n := c.tokens(); n != 1 {
		t.Fatalf("%d tokens", n)
	}
	c.fails(syscall.ENOSPC, uapi.UCMGetEvent, uapi.UCMGetEventReq{}, 323)
	if n := c.tokens(); n != 1 {
		t.Errorf("%d tokens", n)
	}
	if r := c.must(uapi.UCMGetEvent, uapi.UCMGetEventReq{}, 324); len(r) != 324 { // librdmacm before ECE
		t.Errorf("event of %d bytes", len(r))
	}
}

// TestNobodyReads: one ID's events are bounded; the oldest go, and the others' stay.
func TestNobodyReads(t *testing.T) {
	p := newPair(t)
	c := p.client
	other := c.create(uapi.PortSpaceTCP, verbs.TypeRC)
	c.must(uapi.UCMResolveIP, uapi.UCMResolveIPReq{ID: other, DstAddr: addr("10.77.0.2:80"), TimeoutMS: 1}, 0)
	id := c.create(uapi.PortSpaceTCP, verbs.TypeRC)
	for range 100 {
		c.must(uapi.UCMResolveIP, uapi.UCMResolveIPReq{ID: id, DstAddr: addr("10.77.9.9:80"), TimeoutMS: 1}, 0)
		p.w.pass(millisecond)
	}
	c.event(uapi.UCMAddrResolved, 0)
	for range maxWaiting {
		c.event(uapi.UCMAddrError, -int32(syscall.ETIMEDOUT))
	}
	c.quiet()
	if n := c.h.Counters().EventsLost; n != 100-maxWaiting {
		t.Errorf("%d events lost", n)
	}
}

// TestMigrate: an ID moves with what waits for it, and the old channel knows it no more.
func TestMigrate(t *testing.T) {
	p := newPair(t)
	c := p.client
	id := c.create(uapi.PortSpaceTCP, verbs.TypeRC)
	c.must(uapi.UCMResolveIP, uapi.UCMResolveIPReq{ID: id, DstAddr: addr("10.77.0.2:80"), TimeoutMS: 1}, 0)
	c.event(uapi.UCMAddrResolved, 0)
	c.must(uapi.UCMResolveRoute, uapi.UCMResolveRouteReq{ID: id, TimeoutMS: 1}, 0)

	next := p.w.program(c.c)
	move := Command{Inode: next.inode, Aux: c.inode, Cmd: command(uapi.UCMMigrateID, uapi.UCMMigrateIDReq{ID: id}, 4)}
	r, err := next.h.Command(next.c, move)
	if err != nil || r.Tokens != 1 || binary.LittleEndian.Uint32(r.Response) != 1 {
		t.Fatalf("%+v, %v", r, err)
	}
	if n := c.tokens(); n != 1 { // which the library would have dropped
		t.Errorf("%d tokens on the old channel", n)
	}
	next.event(uapi.UCMRouteResolved, 0)
	c.fails(syscall.EINVAL, uapi.UCMResolveRoute, uapi.UCMResolveRouteReq{ID: id, TimeoutMS: 1}, 0)
	if _, err = next.h.Command(next.c, move); err != syscall.EINVAL {
		t.Errorf("again: %v", err)
	}
	move.Aux = 12345
	if _, err = next.h.Command(next.c, move); err != syscall.EINVAL {
		t.Errorf("from nowhere: %v", err)
	}
	_ = c.end.Close() // the old channel's end is not the ID's
	p.w.watchOnce()
	if n := next.destroy(id); n != 2 {
		t.Errorf("%d events reported", n)
	}
	p.w.empty()
}

// TestMigrateListener: requests that nobody has read go with the listener, and so do their IDs.
func TestMigrateListener(t *testing.T) {
	p := newPair(t)
	l := p.server.listening(uapi.PortSpaceTCP, "10.77.0.2:80", 0)
	id := p.client.resolved(uapi.PortSpaceTCP, "10.77.0.2:80")
	p.client.connect(id, 1, "")
	next := p.w.program(p.server.c)
	if _, err := next.h.Command(next.c, Command{Inode: next.inode, Aux: p.server.inode, Cmd: command(uapi.UCMMigrateID, uapi.UCMMigrateIDReq{ID: l}, 4)}); err != nil {
		t.Fatal(err)
	}
	s := next.event(uapi.UCMConnectRequest, 0).ID
	next.accept(s, 2, "")
	p.client.event(uapi.UCMConnectResponse, 0)
}

// TestOthers: an ID is a number of its own container, and of its own channel.
func TestOthers(t *testing.T) {
	w := newWorld(t, 1)
	ca, cb := w.container(0, "a", "10.77.0.1"), w.container(0, "b", "10.77.0.2")
	a, b := w.program(ca), w.program(cb)
	ids := []uint32{a.create(uapi.PortSpaceTCP, verbs.TypeRC), a.create(uapi.PortSpaceTCP, verbs.TypeRC)}
	if ids[0] != 0 || ids[1] != 1 {
		t.Errorf("numbers %v: the lowest come first", ids)
	}
	b.fails(syscall.ENOENT, uapi.UCMListen, uapi.UCMListenReq{ID: ids[1]}, 0)
	if n := b.create(uapi.PortSpaceTCP, verbs.TypeRC); n != 0 {
		t.Errorf("b's first ID is %d", n)
	}
	again := w.program(ca)
	again.fails(syscall.EINVAL, uapi.UCMListen, uapi.UCMListenReq{ID: ids[0]}, 0) // as the kernel for another file
	if _, err := b.h.Command(cb, Command{Inode: a.inode, Cmd: command(uapi.UCMListen, uapi.UCMListenReq{}, 0)}); err != syscall.EBADF {
		t.Errorf("b on a's channel: %v", err)
	}
	if _, err := b.h.Command(cb, Command{Inode: b.inode, Aux: a.inode, Cmd: command(uapi.UCMMigrateID, uapi.UCMMigrateIDReq{}, 4)}); err != syscall.EINVAL {
		t.Errorf("b takes a's ID: %v", err)
	}
}

// TestQuota: IDs are bounded, as librdmacm's own table is, and a number is used again.
func TestQuota(t *testing.T) {
	p := newPair(t).client
	ids := &p.h.members[p.c].ids
	if ids.limit != 1<<16 {
		t.Errorf("%d IDs are allowed", ids.limit)
	}
	ids.limit = 1000
	for range 1000 {
		p.create(uapi.PortSpaceTCP, verbs.TypeRC)
	}
	p.fails(syscall.ENOMEM, uapi.UCMCreateID, uapi.UCMCreateIDReq{PS: uapi.PortSpaceTCP}, 4)
	p.destroy(345)
	if n := p.create(uapi.PortSpaceTCP, verbs.TypeRC); n != 345 {
		t.Errorf("number %d", n)
	}
}

// TestChannels: thousands at once, and none is left.
func TestChannels(t *testing.T) {
	const n = 9_500
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if enough := uint64(2*n + 500); limit.Cur < enough {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: enough, Max: max(enough, limit.Max)}); err != nil {
			t.Fatalf("this needs %d descriptors, the limit is %d (%v): raise it with ulimit -n", enough, limit.Max, err)
		}
	}
	w := newWorld(t, 1)
	c := w.container(0, "a", "10.77.0.1")
	var programs []*program
	for range n {
		p := w.program(c)
		p.create(uapi.PortSpaceTCP, verbs.TypeRC)
		programs = append(programs, p)
	}
	for _, p := range programs {
		_ = p.end.Close()
	}
	for range n/512 + 1 {
		w.watchOnce()
	}
	if s := w.hosts[0].Counters(); s.Channels != 0 || s.IDs != 0 {
		t.Errorf("%d channels and %d IDs are left", s.Channels, s.IDs)
	}
}

// TestRemoval: the device goes away under its programs.
func TestRemoval(t *testing.T) {
	p := newPair(t)
	p.link("10.77.0.2:80")
	idle := p.server.create(uapi.PortSpaceTCP, verbs.TypeRC)
	p.server.h.RemoveContainer(p.server.c)
	p.w.run()
	p.server.event(uapi.UCMDeviceRemoval, 0)
	p.server.event(uapi.UCMDeviceRemoval, 0)
	p.server.quiet()
	p.client.event(uapi.UCMDisconnected, 0)
	p.server.fails(syscall.EIO, uapi.UCMDisconnect, uapi.UCMDisconnectReq{ID: p.srvID}, 0)
	p.server.fails(syscall.ENODEV, uapi.UCMCreateID, uapi.UCMCreateIDReq{PS: uapi.PortSpaceTCP}, 4)
	if n := p.server.destroy(p.srvID); n != 2 {
		t.Errorf("%d events reported", n)
	}
	p.server.destroy(p.listener)
	p.server.destroy(idle)
	p.client.destroy(p.cID)
	p.w.empty()
}

// TestPeersGone: a peer that goes without a message, as one does that is killed with more connections than the network takes, or whose host
// dies, is as good as one that says so. On one host nobody has to be told of it; of others the router knows.
func TestPeersGone(t *testing.T) {
	w := newWorld(t, 1)
	a, b := w.program(w.container(0, "a", "fe80::1", "10.77.0.1")), w.program(w.container(0, "b", "fe80::2", "10.77.0.2"))
	link := func(qpn uint32) {
		listener := b.listening(uapi.PortSpaceTCP, "10.77.0.2:0", 0)
		to := b.route(listener).SrcAddr
		id := a.resolved(uapi.PortSpaceTCP, parse(t, to[:]).String())
		a.connect(id, qpn, "")
		e := b.event(uapi.UCMConnectRequest, 0)
		b.accept(e.ID, qpn+1, "")
		a.event(uapi.UCMConnectResponse, 0)
		a.ready(id)
		b.event(uapi.UCMEstablished, 0)
	}
	link(1)
	w.hosts[0].PeersGone(func(c *verbs.Container, peer verbs.GID) bool { return c == b.c && peer == b.c.GIDs[1] })
	b.quiet()
	a.quiet()
	w.hosts[0].PeersGone(func(c *verbs.Container, peer verbs.GID) bool { return c == a.c && peer == b.c.GIDs[1] })
	a.event(uapi.UCMDisconnected, 0)
	a.quiet()
	link(3)
	w.hosts[0].RemoveContainer(b.c)
	w.packets = nil // none of its messages arrives
	a.event(uapi.UCMDisconnected, 0)
	a.quiet()
}

// TestWrongCommands: lengths and rooms that the kernel refuses.
func TestWrongCommands(t *testing.T) {
	p := newPair(t).client
	id := p.create(uapi.PortSpaceTCP, verbs.TypeRC)
	for _, x := range []struct {
		name string
		cmd  uapi.UCMCmd
		body any
		out  int
		want syscall.Errno
	}{
		{"no room for an ID", uapi.UCMCreateID, uapi.UCMCreateIDReq{PS: uapi.PortSpaceTCP}, 3, syscall.ENOSPC},
		{"no such port space", uapi.UCMCreateID, uapi.UCMCreateIDReq{PS: 1}, 4, syscall.EINVAL},
		{"short", uapi.UCMCreateID, uapi.UCMListenReq{}, 4, syscall.EINVAL},
		{"no such ID", uapi.UCMDestroyID, uapi.UCMDestroyIDReq{ID: 7}, 4, syscall.ENOENT},
		{"far from any ID", uapi.UCMDestroyID, uapi.UCMDestroyIDReq{ID: 0xffffffff}, 4, syscall.ENOENT},
		{"no address", uapi.UCMBindIP, uapi.UCMBindIPReq{ID: id}, 0, syscall.EINVAL},
		{"reserved", uapi.UCMBind, uapi.UCMBindReq{ID: id, Reserved: 1}, 0, syscall.EINVAL},
		{"no size", uapi.UCMBind, uapi.UCMBindReq{ID: id, Addr: [128]byte{2}}, 0, syscall.EINVAL},
		{"no destination", uapi.UCMResolveIP, uapi.UCMResolveIPReq{ID: id}, 0, syscall.EINVAL},
		{"bad source", uapi.UCMResolveIP, uapi.UCMResolveIPReq{ID: id, SrcAddr: [28]byte{9}, DstAddr: addr("10.77.0.2:1")}, 0, syscall.EINVAL},
		{"route without address", uapi.UCMResolveRoute, uapi.UCMResolveRouteReq{ID: id, TimeoutMS: 1}, 0, syscall.EINVAL},
		{"connect without route", uapi.UCMConnect, uapi.UCMConnectReq{ID: id, ConnParam: param(1, "")}, 0, syscall.EINVAL},
		{"connect without parameters", uapi.UCMConnect, uapi.UCMConnectReq{ID: 77}, 0, syscall.EINVAL},
		{"accept of nothing", uapi.UCMAccept, uapi.UCMAcceptReq{ID: id}, 0, syscall.EINVAL},
		{"reject of nothing", uapi.UCMReject, uapi.UCMRejectReq{ID: id}, 0, syscall.EINVAL},
		{"disconnect of nothing", uapi.UCMDisconnect, uapi.UCMDisconnectReq{ID: id}, 0, syscall.EINVAL},
		{"notify of nothing", uapi.UCMNotify, uapi.UCMNotifyReq{ID: id, Event: 4}, 0, syscall.EINVAL},
		{"attributes without device", uapi.UCMInitQPAttr, uapi.UCMInitQPAttrReq{ID: id, QPState: 1}, 144, syscall.EINVAL},
		{"attributes of no state", uapi.UCMInitQPAttr, uapi.UCMInitQPAttrReq{ID: id, QPState: 7}, 144, syscall.EINVAL},
		{"no room for attributes", uapi.UCMInitQPAttr, uapi.UCMInitQPAttrReq{ID: id, QPState: 1}, 143, syscall.ENOSPC},
		{"no such query", uapi.UCMQuery, uapi.UCMQueryReq{ID: id, Option: 3}, 280, syscall.ENOSYS},
		{"no room for addresses", uapi.UCMQuery, uapi.UCMQueryReq{ID: id}, 271, syscall.ENOSPC},
		{"no room for GIDs", uapi.UCMQuery, uapi.UCMQueryReq{ID: id, Option: 2}, 271, syscall.ENOSPC},
		{"no room for paths", uapi.UCMQuery, uapi.UCMQueryReq{ID: id, Option: 1}, 7, syscall.ENOSPC},
		{"no room for a route", uapi.UCMQueryRoute, uapi.UCMQueryReq{ID: id}, 199, syscall.ENOSPC},
		{"leave nothing", uapi.UCMLeaveMcast, uapi.UCMDestroyIDReq{ID: 5}, 4, syscall.ENOENT},
	} {
		if _, err := p.write(x.cmd, x.body, x.out); err != x.want {
			t.Errorf("%s: %v, want %v", x.name, err, x.want)
		}
	}
	if n := p.h.counters.Errors.Load(); n != 26 {
		t.Errorf("%d errors counted", n)
	}
	if r := p.must(uapi.UCMQuery, uapi.UCMQueryReq{ID: id}, 272); len(r) != 272 { // librdmacm before the device's index
		t.Errorf("addresses of %d bytes", len(r))
	}
}
