package rdmacm

import (
	"encoding/binary"
	"net/netip"
	"syscall"
	"testing"

	"github.com/freeflow-rdma/freeflow/internal/uapi"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
)

func bindReq(id uint32, at string) uapi.UCMBindIPReq {
	return uapi.UCMBindIPReq{ID: id, Addr: addr(at)}
}

// route asks QUERY_ROUTE.
func (p *program) route(id uint32) (r uapi.UCMQueryRouteResp) {
	p.t.Helper()
	b := p.must(uapi.UCMQueryRoute, uapi.UCMQueryReq{ID: id}, binary.Size(r))
	_, _ = binary.Decode(b, binary.LittleEndian, &r)
	return r
}

func parse(t *testing.T, b []byte) netip.AddrPort {
	t.Helper()
	a, err := uapi.ParseSockAddr(b)
	if err != nil {
		t.Fatal(err)
	}
	return netip.AddrPortFrom(a.Addr, a.Port)
}

// TestBind: what may be bound besides what. The last one of a row is tried.
func TestBind(t *testing.T) {
	type try struct {
		ps    uint16
		at    string
		reuse bool
	}
	tcp := func(at string) try { return try{uapi.PortSpaceTCP, at, false} }
	for _, c := range []struct {
		name string
		ids  []try
		want error
	}{
		{"own address", []try{tcp("10.77.0.1:80")}, nil},
		{"own IPv6 address", []try{tcp("[fd77::1]:80")}, nil},
		{"another's address", []try{tcp("10.77.0.2:80")}, syscall.EADDRNOTAVAIL},
		{"same twice", []try{tcp("10.77.0.1:80"), tcp("10.77.0.1:80")}, syscall.EADDRINUSE},
		{"two ports", []try{tcp("10.77.0.1:80"), tcp("10.77.0.1:81")}, nil},
		{"two addresses", []try{tcp("10.77.0.1:80"), tcp("[fd77::1]:80")}, nil},
		{"wildcard after one", []try{tcp("10.77.0.1:80"), tcp("0.0.0.0:80")}, syscall.EADDRNOTAVAIL},
		{"one after wildcard", []try{tcp("0.0.0.0:80"), tcp("10.77.0.1:80")}, syscall.EADDRNOTAVAIL},
		{"wildcard of IPv6 has IPv4 too", []try{tcp("[::]:80"), tcp("10.77.0.1:80")}, syscall.EADDRNOTAVAIL},
		{"port spaces are apart", []try{tcp("0.0.0.0:80"), {uapi.PortSpaceUDP, "0.0.0.0:80", false}, {uapi.PortSpaceIB, "0.0.0.0:80", false}}, nil},
		{"both reuse", []try{{uapi.PortSpaceTCP, "10.77.0.1:80", true}, {uapi.PortSpaceTCP, "10.77.0.1:80", true}}, nil},
		{"one reuses", []try{tcp("10.77.0.1:80"), {uapi.PortSpaceTCP, "10.77.0.1:80", true}}, syscall.EADDRINUSE},
		{"any port", []try{tcp("10.77.0.1:0"), tcp("10.77.0.1:0")}, nil},
		{"IPoIB needs InfiniBand", []try{{uapi.PortSpaceIPoIB, "10.77.0.1:80", false}}, syscall.EINVAL},
	} {
		p := newPair(t).client
		for n, x := range c.ids {
			id := p.create(x.ps, verbs.TypeRC)
			if x.reuse {
				p.option(id, uapi.UCMOptReuseAddr, 1)
			}
			_, err := p.write(uapi.UCMBindIP, bindReq(id, x.at), 0)
			if n < len(c.ids)-1 && err != nil || n == len(c.ids)-1 && err != c.want {
				t.Errorf("%s: bind %d: %v, want %v", c.name, n, err, c.want)
			}
		}
	}
}

// option sets an option of RDMA_OPTION_ID: of one byte for TOS and ACK timeout, else of four.
func (p *program) option(id, name uint32, v byte) {
	p.t.Helper()
	if err := p.trySet(id, uapi.UCMLevelID, name, optval(name, v)); err != nil {
		p.t.Fatalf("option %d: %v", name, err)
	}
}

func optval(name uint32, v byte) []byte {
	if name == uapi.UCMOptTOS || name == uapi.UCMOptACKTimeout {
		return []byte{v}
	}
	return []byte{v, 0, 0, 0}
}

func (p *program) trySet(id, level, name uint32, v []byte) error {
	q := uapi.UCMSetOptionReq{ID: id, Level: level, OptName: name, OptLen: uint32(len(v))}
	_, err := p.command(Command{Inode: p.inode, Cmd: command(uapi.UCMSetOption, q, 0), Data: v})
	return err
}

// TestEphemeral: ports come from the range, each once, until there are no more.
func TestEphemeral(t *testing.T) {
	p := newPair(t).client
	const n = 200
	for num := ephemeralFirst; num <= ephemeralLast-n; num++ {
		p.h.members[p.c].ephemeral(uapi.PortSpaceTCP).mark(uint16(num), true)
	}
	seen := map[uint16]bool{}
	for range n {
		id := p.create(uapi.PortSpaceTCP, verbs.TypeRC)
		p.must(uapi.UCMBindIP, bindReq(id, "0.0.0.0:0"), 0)
		r := p.route(id)
		port := parse(t, r.SrcAddr[:]).Port()
		if port <= ephemeralLast-n || port > ephemeralLast || seen[port] {
			t.Fatalf("port %d", port)
		}
		seen[port] = true
	}
	id := p.create(uapi.PortSpaceTCP, verbs.TypeRC)
	p.fails(syscall.EADDRNOTAVAIL, uapi.UCMBindIP, bindReq(id, "0.0.0.0:0"), 0)
	if s := p.h.Counters(); s.Ports != n {
		t.Errorf("%d ports", s.Ports)
	}
}

// TestSharedEphemeral: connections to different peers may have one port, so that there can be more of them than ports.
func TestSharedEphemeral(t *testing.T) {
	m := &member{ports: map[port][]*id{}, ephemerals: map[uint16]*ephemeralSet{}}
	sa := func(s string) uapi.SockAddr {
		a := netip.MustParseAddrPort(s)
		return uapi.SockAddr{Family: uapi.AFInet, Addr: a.Addr(), Port: a.Port()}
	}
	first := &id{ps: uapi.PortSpaceTCP, src: sa("0.0.0.0:0"), dst: sa("10.77.0.2:80")}
	p := port{uapi.PortSpaceTCP, 40000}
	m.hold(p, first)
	for dst, want := range map[string]bool{"10.77.0.2:80": false, "10.77.0.2:81": true, "10.77.0.3:80": true} {
		if got := m.unique(p, &id{ps: uapi.PortSpaceTCP, src: sa("0.0.0.0:0"), dst: sa(dst)}); got != want {
			t.Errorf("to %s: %v", dst, got)
		}
	}
}

// TestOptions: each in the states and lengths that the kernel takes.
func TestOptions(t *testing.T) {
	p := newPair(t)
	c := p.client
	idle := c.create(uapi.PortSpaceTCP, verbs.TypeRC)
	datagram := c.create(uapi.PortSpaceUDP, verbs.TypeUD)
	listening := c.listening(uapi.PortSpaceTCP, "10.77.0.1:80", 0)
	resolved := c.resolved(uapi.PortSpaceTCP, "10.77.0.2:80")
	for _, x := range []struct {
		id, level, name uint32
		v               string
		want            error
	}{
		{idle, 0, uapi.UCMOptTOS, "\x20", nil},
		{idle, 0, uapi.UCMOptTOS, "\x20\x00", syscall.EINVAL},
		{idle, 0, uapi.UCMOptACKTimeout, "\x0e", nil},
		{datagram, 0, uapi.UCMOptACKTimeout, "\x0e", syscall.EINVAL},
		{idle, 0, uapi.UCMOptReuseAddr, "\x01\x00\x00\x00", nil},
		{idle, 0, uapi.UCMOptReuseAddr, "\x01", syscall.EINVAL},
		{listening, 0, uapi.UCMOptReuseAddr, "\x01\x00\x00\x00", syscall.EINVAL},
		{resolved, 0, uapi.UCMOptReuseAddr, "\x01\x00\x00\x00", nil},
		{resolved, 0, uapi.UCMOptReuseAddr, "\x00\x00\x00\x00", syscall.EINVAL},
		{idle, 0, uapi.UCMOptAFOnly, "\x01\x00\x00\x00", nil},
		{resolved, 0, uapi.UCMOptAFOnly, "\x01\x00\x00\x00", syscall.EINVAL},
		{idle, 0, 9, "", syscall.ENOSYS},
		{idle, 1, 9, "", syscall.ENOSYS},
		{idle, 2, 0, "\x00", syscall.ENOSYS},
		{999, 0, uapi.UCMOptTOS, "\x00", syscall.ENOENT},
	} {
		if err := c.trySet(x.id, x.level, x.name, []byte(x.v)); err != x.want {
			t.Errorf("ID %d, level %d, option %d, %x: %v, want %v", x.id, x.level, x.name, x.v, err, x.want)
		}
	}
	q := uapi.UCMSetOptionReq{ID: idle, OptLen: 1}
	c.fails(syscall.EINVAL, uapi.UCMSetOption, q, 0) // without the byte
}

// TestIBPath: the program may say the route itself, if it is the one.
func TestIBPath(t *testing.T) {
	p := newPair(t)
	c := p.client
	id := c.create(uapi.PortSpaceTCP, verbs.TypeRC)
	path := uapi.PathRec{SGID: c.c.GIDs[1], DGID: p.server.c.GIDs[1]}
	good := path.AppendData(nil)
	if err := c.trySet(id, uapi.UCMLevelIB, uapi.UCMOptIBPath, good); err != syscall.EINVAL {
		t.Errorf("without address: %v", err)
	}
	c.must(uapi.UCMResolveIP, uapi.UCMResolveIPReq{ID: id, DstAddr: addr("10.77.0.2:80"), TimeoutMS: 2000}, 0)
	c.event(uapi.UCMAddrResolved, 0)
	path.DGID = p.server.c.GIDs[2]
	for name, v := range map[string][]byte{"nothing": nil, "half": good[:36], "unmarked": make([]byte, 72), "another's": path.AppendData(nil)} {
		if err := c.trySet(id, uapi.UCMLevelIB, uapi.UCMOptIBPath, v); err != syscall.EINVAL {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := c.trySet(id, uapi.UCMLevelIB, uapi.UCMOptIBPath, append(make([]byte, 72), good...)); err != nil {
		t.Errorf("the right one after another: %v", err)
	}
	c.event(uapi.UCMRouteResolved, 0)
	c.connect(id, 1, "")
	c.event(uapi.UCMRejected, 8)
}

// TestTrafficClass: TOS and ACK timeout show in the path and in the queue pair's attributes, on both sides.
func TestTrafficClass(t *testing.T) {
	p := newPair(t)
	p.server.listening(uapi.PortSpaceTCP, "10.77.0.2:80", 0)
	id := p.client.create(uapi.PortSpaceTCP, verbs.TypeRC)
	p.client.option(id, uapi.UCMOptTOS, 0x60)
	p.client.option(id, uapi.UCMOptACKTimeout, 21)
	p.client.must(uapi.UCMResolveIP, uapi.UCMResolveIPReq{ID: id, DstAddr: addr("10.77.0.2:80"), TimeoutMS: 2000}, 0)
	p.client.must(uapi.UCMResolveRoute, uapi.UCMResolveRouteReq{ID: id, TimeoutMS: 2000}, 0)
	if r := p.client.route(id).Route[0]; r.TrafficClass != 0x60 || r.PacketLifeTime != 20 {
		t.Errorf("path %+v", r)
	}
	p.client.event(uapi.UCMAddrResolved, 0)
	p.client.event(uapi.UCMRouteResolved, 0)
	p.client.connect(id, 1, "")
	s := p.server.event(uapi.UCMConnectRequest, 0).ID
	if a := p.server.attr(s, verbs.StateRTR).AHAttr; a.TrafficClass != 0x60 {
		t.Errorf("server's address %+v", a)
	}
	p.server.accept(s, 2, "")
	if a := p.client.attr(id, verbs.StateRTS); a.Timeout != 21 {
		t.Errorf("client's timeout %d", a.Timeout)
	}
	if a := p.server.attr(s, verbs.StateRTS); a.Timeout != 21 {
		t.Errorf("server's timeout %d", a.Timeout)
	}
}

// TestResolve: addresses as they show before and after.
func TestResolve(t *testing.T) {
	p := newPair(t)
	c := p.client
	id := c.create(uapi.PortSpaceTCP, verbs.TypeRC)
	if r := c.route(id); r.NodeGUID != [8]byte{} || r.PortNum != 0 || r.SrcAddr != [28]byte{} || r.IBDevIndex != uapi.UCMNoDevIndex {
		t.Errorf("before: %+v", r)
	}
	c.must(uapi.UCMResolveIP, uapi.UCMResolveIPReq{ID: id, DstAddr: addr("10.77.0.2:80"), TimeoutMS: 2000}, 0)
	r := c.route(id)
	src, dst := parse(t, r.SrcAddr[:]), parse(t, r.DstAddr[:])
	if src.Addr().String() != clientAddr || src.Port() < ephemeralFirst || dst.String() != "10.77.0.2:80" {
		t.Errorf("from %v to %v", src, dst)
	}
	if r.NodeGUID != [8]byte{0x50, 0x54, 0, 0xff, 0xfe, 0x5e, 0xcd, 0} || r.PortNum != 1 || r.NumPaths != 0 ||
		verbs.GID(r.Route[0].DGID) != p.server.c.GIDs[1] || verbs.GID(r.Route[0].SGID) != c.c.GIDs[1] {
		t.Errorf("route %+v", r)
	}
	c.fails(syscall.EINVAL, uapi.UCMResolveRoute, uapi.UCMResolveRouteReq{ID: id}, 0) // no time at all
	c.must(uapi.UCMResolveRoute, uapi.UCMResolveRouteReq{ID: id, TimeoutMS: 1}, 0)
	if r = c.route(id); r.NumPaths != 1 || r.Route[0].HopLimit != 64 || r.Route[0].MTU != mtu1024 {
		t.Errorf("route %+v", r)
	}
}

// TestResolveLate: a peer that is about to start is found; one that never does is an error when its time is up, and the ID can try again.
func TestResolveLate(t *testing.T) {
	p := newPair(t)
	c := p.client
	p.w.hidden[p.server.c] = true
	id := c.create(uapi.PortSpaceTCP, verbs.TypeRC)
	try := uapi.UCMResolveIPReq{ID: id, DstAddr: addr("10.77.0.2:80"), TimeoutMS: 2000}
	c.must(uapi.UCMResolveIP, try, 0)
	c.fails(syscall.EINVAL, uapi.UCMResolveIP, try, 0)
	p.w.pass(1999 * millisecond)
	c.quiet()
	p.w.pass(millisecond)
	c.event(uapi.UCMAddrError, -int32(syscall.ETIMEDOUT))
	c.must(uapi.UCMResolveIP, try, 0)
	p.w.pass(500 * millisecond)
	c.quiet()
	p.w.hidden[p.server.c] = false
	p.w.pass(100 * millisecond)
	c.event(uapi.UCMAddrResolved, 0)
	if n := c.h.Counters().Timers; n != 0 {
		t.Errorf("%d timers", n)
	}
}

// TestResolveWrong: what can never be reached is an error at once.
func TestResolveWrong(t *testing.T) {
	w := newWorld(t, 1)
	c := w.program(w.container(0, "a", "10.77.0.1"))
	id := c.create(uapi.PortSpaceTCP, verbs.TypeRC)
	c.fails(syscall.ENETUNREACH, uapi.UCMResolveIP, uapi.UCMResolveIPReq{ID: id, DstAddr: addr("[fd77::2]:80"), TimeoutMS: 2000}, 0)
	c.fails(syscall.EINVAL, uapi.UCMResolveIP, uapi.UCMResolveIPReq{ID: id, DstAddr: addr("10.77.0.2:80"), TimeoutMS: 2000}, 0) // it is IPv6's now
	id = c.create(uapi.PortSpaceTCP, verbs.TypeRC)
	c.must(uapi.UCMBindIP, bindReq(id, "127.0.0.1:0"), 0)
	c.fails(syscall.ENETUNREACH, uapi.UCMResolveIP, uapi.UCMResolveIPReq{ID: id, DstAddr: addr("10.77.0.2:80"), TimeoutMS: 2000}, 0)
	id = c.create(uapi.PortSpaceIPoIB, verbs.TypeUD)
	c.must(uapi.UCMResolveIP, uapi.UCMResolveIPReq{ID: id, DstAddr: addr("10.77.0.1:80"), TimeoutMS: 2000}, 0)
	c.event(uapi.UCMAddrError, -int32(syscall.EINVAL))
	var ib [28]byte
	ib[0] = byte(uapi.AFIB)
	c.fails(syscall.EINVAL, uapi.UCMBindIP, uapi.UCMBindIPReq{ID: id, Addr: ib}, 0)
	q := uapi.UCMBindReq{ID: id, AddrSize: 48}
	q.Addr[0] = byte(uapi.AFIB)
	c.fails(syscall.EADDRNOTAVAIL, uapi.UCMBind, q, 0)
	local := bindReq(c.create(uapi.PortSpaceTCP, verbs.TypeRC), "[fe80::1]:0")
	local.Addr[24] = 0 // no scope
	c.fails(syscall.EINVAL, uapi.UCMBindIP, local, 0)
}

// TestDefaultListen: an ID that listens without being bound has an ephemeral port of all IPv4 addresses.
func TestDefaultListen(t *testing.T) {
	p := newPair(t)
	id := p.server.create(uapi.PortSpaceTCP, verbs.TypeRC)
	p.server.must(uapi.UCMListen, uapi.UCMListenReq{ID: id}, 0)
	r := p.server.route(id)
	at := parse(t, r.SrcAddr[:])
	if !at.Addr().IsUnspecified() || at.Port() < ephemeralFirst {
		t.Errorf("listens on %v", at)
	}
	p.server.fails(syscall.EINVAL, uapi.UCMListen, uapi.UCMListenReq{ID: id}, 0)
	c := p.client.resolved(uapi.PortSpaceTCP, netip.AddrPortFrom(netip.MustParseAddr(serverAddr), at.Port()).String())
	p.client.connect(c, 1, "")
	p.server.event(uapi.UCMConnectRequest, 0)
}

// TestReuseListen: two may be bound to a port that both reuse, but only one may listen.
func TestReuseListen(t *testing.T) {
	p := newPair(t).client
	var ids []uint32
	for range 2 {
		id := p.create(uapi.PortSpaceTCP, verbs.TypeRC)
		p.option(id, uapi.UCMOptReuseAddr, 1)
		p.must(uapi.UCMBindIP, bindReq(id, "10.77.0.1:80"), 0)
		ids = append(ids, id)
	}
	p.fails(syscall.EADDRINUSE, uapi.UCMListen, uapi.UCMListenReq{ID: ids[0]}, 0)
	p.destroy(ids[1])
	p.must(uapi.UCMListen, uapi.UCMListenReq{ID: ids[0]}, 0)
}

// TestAFOnly: wildcard listeners of both families on one port, and what each takes.
func TestAFOnly(t *testing.T) {
	p := newPair(t)
	six := p.server.create(uapi.PortSpaceTCP, verbs.TypeRC)
	p.server.option(six, uapi.UCMOptAFOnly, 1)
	p.server.must(uapi.UCMBindIP, bindReq(six, "[::]:80"), 0)
	p.server.must(uapi.UCMListen, uapi.UCMListenReq{ID: six}, 0)
	id := p.client.resolved(uapi.PortSpaceTCP, "10.77.0.2:80")
	p.client.connect(id, 1, "")
	p.client.event(uapi.UCMRejected, 28)
	p.server.listening(uapi.PortSpaceTCP, "0.0.0.0:80", 0)
	for n, to := range []string{"10.77.0.2:80", "[fd77::2]:80"} {
		p.client.connect(p.client.resolved(uapi.PortSpaceTCP, to), 1, "")
		e := p.server.event(uapi.UCMConnectRequest, 0)
		if want := []uint64{2, 1}[n]; e.UID != want {
			t.Errorf("%s went to %d, want %d", to, e.UID, want)
		}
	}
}
