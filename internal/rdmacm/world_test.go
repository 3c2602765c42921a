package rdmacm

import (
	"encoding/binary"
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/freeflow-rdma/freeflow/internal/uapi"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
)

// world is some hosts, a network between them that loses nothing unless told, and a time that stands still unless moved.
type world struct {
	t       *testing.T
	now     int64
	hosts   []*Host
	conts   map[*verbs.Container]*Host
	hidden  map[*verbs.Container]bool // not known to the others yet
	packets []packet
	lose    func(*packet) bool
	sent    int
}

type packet struct {
	to *Host
	m  message
}

const (
	mtu1024 = 3
	mtu4096 = 5
)

// newWorld makes n hosts without goroutines.
func newWorld(t *testing.T, n int) *world {
	w := &world{t: t, now: 1000, conts: map[*verbs.Container]*Host{}, hidden: map[*verbs.Container]bool{}}
	for range n {
		h := newHost(slog.New(slog.DiscardHandler), w, func() uint8 { return mtu1024 }, func() int64 { return w.now })
		w.hosts = append(w.hosts, h)
		t.Cleanup(h.shut)
	}
	return w
}

// shut is Close for a Host without goroutines.
func (h *Host) shut() {
	h.enter()
	for _, ch := range h.channels {
		h.closeChannel(ch)
	}
	h.leave()
	h.watch.close()
}

// container starts one on a host. The first address has index 0.
func (w *world) container(host int, name string, addrs ...string) *verbs.Container {
	c := &verbs.Container{ID: name, Name: name, Network: "default", GUID: 0x505400fffe5ecd00}
	for _, a := range addrs {
		c.GIDs = append(c.GIDs, verbs.GIDOf(netip.MustParseAddr(a)))
	}
	w.conts[c] = w.hosts[host]
	return c
}

// Way is Net's: all containers of a network know each other, those with a host's address know the host addresses of others.
func (w *world) Way(c *verbs.Container, dst netip.Addr) (int, verbs.GID, bool) {
	g := verbs.GIDOf(dst)
	for o := range w.conts {
		i := ownGID(o, g)
		if i < 0 || w.hidden[o] || o.Network != c.Network {
			continue
		}
		if o.HostGID != 0 && i == o.HostGID {
			return c.HostGID, g, c.HostGID != 0
		}
		for k, own := range c.GIDs {
			if own.Addr().Is4() == dst.Is4() && own.Addr().IsLinkLocalUnicast() == dst.IsLinkLocalUnicast() && (k == 0 || k != c.HostGID) {
				return k, g, true
			}
		}
	}
	return 0, verbs.GID{}, false
}

// SendMAD is Net's.
func (w *world) SendMAD(c *verbs.Container, sgid int, dst verbs.GID, _ uint8, mad []byte) {
	w.sent++
	p := packet{m: message{src: c.GIDs[sgid], dst: dst}}
	copy(p.m.mad[:], mad)
	for o, h := range w.conts {
		if i := ownGID(o, dst); i >= 0 && o.Network == c.Network {
			p.to = h
			if i == 0 || i != o.HostGID {
				p.m.c = o
			}
		}
	}
	if p.to != nil && (w.lose == nil || !w.lose(&p)) {
		w.packets = append(w.packets, p)
	}
}

// run delivers what is on its way, and what that leads to.
func (w *world) run() {
	for len(w.packets) > 0 {
		p := w.packets[0]
		w.packets = w.packets[1:]
		p.to.take(&p.m)
	}
}

// pass lets time pass, ns, with all that happens meanwhile.
func (w *world) pass(d int64) {
	w.t.Helper()
	for end := w.now + d; ; {
		w.run()
		next := end
		for _, h := range w.hosts {
			next = min(next, max(h.next(), w.now))
		}
		w.now = next
		for _, h := range w.hosts {
			h.tick()
		}
		if w.run(); next == end {
			return
		}
	}
}

// program is a process with a channel.
type program struct {
	t     *testing.T
	w     *world
	h     *Host
	c     *verbs.Container
	inode uint64
	end   *os.File
	uid   uint64
}

func (w *world) program(c *verbs.Container) *program {
	w.t.Helper()
	h := w.conts[c]
	inode, end, err := h.OpenChannel(c)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = end.Close() })
	return &program{t: w.t, w: w, h: h, c: c, inode: inode, end: end}
}

// watchOnce lets the hosts see hang-ups and room.
func (w *world) watchOnce() {
	for _, h := range w.hosts {
		h.watch.step(make([]unix.EpollEvent, 512), 0)
	}
	w.run()
}

// write does a command; out is the room for the response.
func (p *program) write(cmd uapi.UCMCmd, body any, out int) (Reply, error) {
	return p.command(Command{Inode: p.inode, Cmd: command(cmd, body, out)})
}

func command(cmd uapi.UCMCmd, body any, out int) []byte {
	b := uapi.Encode(body)
	head := binary.LittleEndian.AppendUint32(nil, uint32(cmd))
	head = binary.LittleEndian.AppendUint16(head, uint16(len(b)))
	head = binary.LittleEndian.AppendUint16(head, uint16(out))
	return append(head, b...)
}

func (p *program) command(q Command) (Reply, error) {
	r, err := p.h.Command(p.c, q)
	for range r.Tokens { // as the library does
		if _, err := p.token(); err != nil && q.Aux == 0 {
			p.t.Errorf("no token to drop: %v", err)
		}
	}
	return r, err
}

// must is write that succeeds.
func (p *program) must(cmd uapi.UCMCmd, body any, out int) []byte {
	p.t.Helper()
	r, err := p.write(cmd, body, out)
	if err != nil {
		p.t.Fatalf("%v: %v", cmd, err)
	}
	return r.Response
}

// fails is write that fails.
func (p *program) fails(want syscall.Errno, cmd uapi.UCMCmd, body any, out int) {
	p.t.Helper()
	if _, err := p.write(cmd, body, out); !errors.Is(err, want) {
		p.t.Errorf("%v: %v, want %v", cmd, err, want)
	}
}

// token takes a token, if there is one.
func (p *program) token() (int, error) {
	n, _, err := unix.Recvfrom(int(p.end.Fd()), make([]byte, 1), unix.MSG_DONTWAIT)
	return n, err
}

// next reads the next event, as the library does: a token, then the event.
func (p *program) next() (uapi.UCMEventResp, bool) {
	p.t.Helper()
	for {
		if _, err := p.token(); err != nil {
			return uapi.UCMEventResp{}, false
		}
		r, err := p.write(uapi.UCMGetEvent, uapi.UCMGetEventReq{}, 336)
		if err == syscall.EAGAIN {
			continue
		}
		if err != nil {
			p.t.Fatal(err)
		}
		var e uapi.UCMEventResp
		if _, err := binary.Decode(r.Response, binary.LittleEndian, &e); err != nil {
			p.t.Fatal(err)
		}
		return e, true
	}
}

// event reads the next event, which is of a kind.
func (p *program) event(kind uapi.UCMEvent, status int32) uapi.UCMEventResp {
	p.t.Helper()
	e, ok := p.next()
	if !ok {
		p.t.Fatalf("no event, want %v", kind)
	}
	if e.Event != kind || e.Status != status {
		p.t.Fatalf("event %v with status %d, want %v with %d", e.Event, e.Status, kind, status)
	}
	return e
}

// quiet: there is no event.
func (p *program) quiet() {
	p.t.Helper()
	if e, ok := p.next(); ok {
		p.t.Errorf("event %v with status %d of ID %d, want none", e.Event, e.Status, e.ID)
	}
}

func conn(e *uapi.UCMEventResp) (c uapi.UCMConnParam) {
	_, _ = binary.Decode(e.Param[:], binary.LittleEndian, &c)
	return c
}

func ud(e *uapi.UCMEventResp) (u uapi.UCMUDParam) {
	_, _ = binary.Decode(e.Param[:], binary.LittleEndian, &u)
	return u
}

// create makes an ID, with a uid of its own.
func (p *program) create(ps uint16, qpType verbs.QPType) uint32 {
	p.t.Helper()
	p.uid++
	r := p.must(uapi.UCMCreateID, uapi.UCMCreateIDReq{UID: p.uid, PS: ps, QPType: uint8(qpType)}, 4)
	return binary.LittleEndian.Uint32(r)
}

func (p *program) destroy(id uint32) uint32 {
	p.t.Helper()
	return binary.LittleEndian.Uint32(p.must(uapi.UCMDestroyID, uapi.UCMDestroyIDReq{ID: id}, 4))
}

// addr writes an address into a member of 28 bytes.
func addr(s string) (b [28]byte) {
	a := netip.MustParseAddrPort(s)
	sa := uapi.SockAddr{Family: uapi.AFInet, Port: a.Port(), Addr: a.Addr()}
	if a.Addr().Is6() {
		sa.Family = uapi.AFInet6
		if a.Addr().IsLinkLocalUnicast() {
			sa.ScopeID = 2
		}
	}
	sa.Put(b[:])
	return b
}

// listening makes an ID that listens.
func (p *program) listening(ps uint16, at string, backlog int32) uint32 {
	p.t.Helper()
	id := p.create(ps, verbs.TypeRC)
	p.must(uapi.UCMBindIP, uapi.UCMBindIPReq{ID: id, Addr: addr(at)}, 0)
	p.must(uapi.UCMListen, uapi.UCMListenReq{ID: id, Backlog: backlog}, 0)
	return id
}

// resolved makes an ID whose route is resolved.
func (p *program) resolved(ps uint16, to string) uint32 {
	p.t.Helper()
	id := p.create(ps, verbs.TypeRC)
	p.must(uapi.UCMResolveIP, uapi.UCMResolveIPReq{ID: id, DstAddr: addr(to), TimeoutMS: 2000}, 0)
	p.event(uapi.UCMAddrResolved, 0)
	p.must(uapi.UCMResolveRoute, uapi.UCMResolveRouteReq{ID: id, TimeoutMS: 2000}, 0)
	p.event(uapi.UCMRouteResolved, 0)
	return id
}

// params16 are parameters as librdmacm's examples have them.
func param(qpn uint32, private string) uapi.UCMConnParam {
	c := uapi.UCMConnParam{QPNum: qpn, ResponderResources: 1, InitiatorDepth: 2, RetryCount: 7, RNRRetryCount: 6, Valid: 1,
		PrivateDataLen: uint8(len(private))}
	copy(c.PrivateData[:], private)
	return c
}

func (p *program) connect(id, qpn uint32, private string) {
	p.t.Helper()
	p.must(uapi.UCMConnect, uapi.UCMConnectReq{ID: id, ConnParam: param(qpn, private)}, 0)
	p.w.run()
}

func (p *program) accept(id, qpn uint32, private string) {
	p.t.Helper()
	p.uid++
	p.must(uapi.UCMAccept, uapi.UCMAcceptReq{UID: p.uid, ID: id, ConnParam: param(qpn, private)}, 0)
	p.w.run()
}

// ready is the active side's accept.
func (p *program) ready(id uint32) {
	p.t.Helper()
	p.must(uapi.UCMAccept, uapi.UCMAcceptReq{ID: id}, 0)
	p.w.run()
}

func (p *program) attr(id uint32, s verbs.State) (a uapi.QPAttr) {
	p.t.Helper()
	r := p.must(uapi.UCMInitQPAttr, uapi.UCMInitQPAttrReq{ID: id, QPState: uint32(s)}, 144)
	_, _ = binary.Decode(r, binary.LittleEndian, &a)
	return a
}

// pair is a server and a client in two containers on two hosts, with a connection.
type pair struct {
	w                    *world
	server, client       *program
	listener, srvID, cID uint32
}

const (
	serverAddr = "10.77.0.2"
	clientAddr = "10.77.0.1"
)

func newPair(t *testing.T) *pair {
	w := newWorld(t, 2)
	a := w.container(0, "a", "fe80::1", clientAddr, "fd77::1")
	b := w.container(1, "b", "fe80::2", serverAddr, "fd77::2")
	return &pair{w: w, server: w.program(b), client: w.program(a)}
}

// link connects over addresses.
func (p *pair) link(at string) {
	p.w.t.Helper()
	p.listener = p.server.listening(uapi.PortSpaceTCP, at, 5)
	p.cID = p.client.resolved(uapi.PortSpaceTCP, at)
	p.client.connect(p.cID, 0x11, "hello")
	p.srvID = p.server.event(uapi.UCMConnectRequest, 0).ID
	p.server.accept(p.srvID, 0x22, "welcome")
	p.client.event(uapi.UCMConnectResponse, 0)
	p.client.ready(p.cID)
	p.server.event(uapi.UCMEstablished, 0)
}
