package rdmacm

import (
	"net/netip"
	"syscall"
	"testing"

	"github.com/freeflow-rdma/freeflow/internal/cm"
	"github.com/freeflow-rdma/freeflow/internal/uapi"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
	"github.com/freeflow-rdma/freeflow/internal/wire"
)

// TestBacklog: what does not fit waits in line, is taken as the program reads, and in the order in which it came.
func TestBacklog(t *testing.T) {
	p := newPair(t)
	s, c := p.server, p.client
	s.listening(uapi.PortSpaceTCP, "10.77.0.2:80", 2)
	for qpn := range uint32(5) {
		c.connect(c.resolved(uapi.PortSpaceTCP, "10.77.0.2:80"), qpn+1, "")
	}
	if n := s.h.Counters().IDs; n != 3 {
		t.Errorf("%d IDs at the server: the listener and two requests", n)
	}
	for qpn := range uint32(5) {
		e := s.event(uapi.UCMConnectRequest, 0)
		if q := conn(&e); q.QPNum != qpn+1 {
			t.Errorf("request of QP %d, want %d", q.QPNum, qpn+1)
		}
		s.accept(e.ID, 100+qpn, "")
		c.event(uapi.UCMConnectResponse, 0)
	}
	s.quiet()
}

// TestLineEnds: who gives up leaves the line; when the listener goes, all who wait are refused.
func TestLineEnds(t *testing.T) {
	p := newPair(t)
	s, c := p.server, p.client
	l := s.listening(uapi.PortSpaceTCP, "10.77.0.2:80", 1)
	var ids []uint32
	for range 4 {
		id := c.resolved(uapi.PortSpaceTCP, "10.77.0.2:80")
		c.connect(id, 1+id, "")
		ids = append(ids, id)
	}
	c.destroy(ids[2])
	p.w.run()
	if n := len(s.h.lined); n != 2 {
		t.Errorf("%d in line, want 2", n)
	}
	s.destroy(l)
	p.w.run()
	for range 3 {
		c.event(uapi.UCMRejected, 28)
	}
	c.quiet()
	for _, id := range []uint32{ids[0], ids[1], ids[3]} {
		c.destroy(id)
	}
	p.w.empty()
}

// TestLineFull: a line is bounded too.
func TestLineFull(t *testing.T) {
	p := newPair(t)
	p.server.listening(uapi.PortSpaceTCP, "10.77.0.2:80", 1)
	for n := range uint32(maxLine + 2) {
		p.client.connect(p.client.resolved(uapi.PortSpaceTCP, "10.77.0.2:80"), n+1, "")
	}
	p.client.event(uapi.UCMRejected, int32(cm.RejNoResources))
	p.client.quiet()
}

// TestNoMoreIDs: a server that can have no more IDs.
func TestNoMoreIDs(t *testing.T) {
	p := newPair(t)
	p.server.listening(uapi.PortSpaceTCP, "10.77.0.2:80", 0)
	p.server.h.members[p.server.c].ids.limit = 2
	for n := range uint32(2) {
		p.client.connect(p.client.resolved(uapi.PortSpaceTCP, "10.77.0.2:80"), n+1, "")
	}
	p.client.event(uapi.UCMRejected, int32(cm.RejNoResources))
	p.server.event(uapi.UCMConnectRequest, 0)
}

// TestRequestGone: the peer gives up a request that the program has not answered; accepting it fails.
func TestRequestGone(t *testing.T) {
	p := newPair(t)
	p.server.listening(uapi.PortSpaceTCP, "10.77.0.2:80", 0)
	id := p.client.resolved(uapi.PortSpaceTCP, "10.77.0.2:80")
	p.client.connect(id, 1, "")
	p.client.destroy(id)
	p.w.run()
	s := p.server.event(uapi.UCMConnectRequest, 0).ID
	p.server.quiet()
	p.server.fails(syscall.EINVAL, uapi.UCMAccept, uapi.UCMAcceptReq{UID: 9, ID: s, ConnParam: param(2, "")}, 0)
	p.server.destroy(s)
}

// TestDestroyUnread: a program may end an ID that it has not been told of, and its listener afterwards.
func TestDestroyUnread(t *testing.T) {
	p := newPair(t)
	l := p.server.listening(uapi.PortSpaceTCP, "10.77.0.2:80", 0)
	p.client.connect(p.client.resolved(uapi.PortSpaceTCP, "10.77.0.2:80"), 1, "")
	p.server.destroy(l + 1)
	p.w.run()
	p.client.event(uapi.UCMRejected, 28)
	other := p.server.create(uapi.PortSpaceTCP, verbs.TypeRC) // has the number now
	p.server.destroy(l)
	p.server.destroy(other)
}

// forge sends a request whose packet and RDMA-CM header say what they like.
func (p *pair) forge(src, dst verbs.GID, h cm.CMAHeader, ps uint16) {
	q := &wire.CMReq{LocalCommID: 7, ServiceID: cm.ServiceID(ps, 80), LocalQPN: 9, PathMTU: 3, PKey: 0xffff, Private: h.Append(nil),
		Primary: wire.CMPath{LocalGID: src, RemoteGID: dst}}
	mad := make(wire.MAD, wire.MADSize)
	mad.Put(&wire.MADFields{Class: wire.ClassCM, ClassVersion: wire.ClassVersionCM, Method: wire.MethodSend, TID: 1, Attribute: wire.AttrConnectRequest})
	q.Put(mad)
	m := message{c: p.server.c, src: src, dst: dst}
	copy(m.mad[:], mad)
	p.server.h.take(&m)
	p.w.run()
}

// TestForged: a request must say of its addresses what its packet says, and come from where the container could go.
func TestForged(t *testing.T) {
	a, b := netip.MustParseAddr(clientAddr), netip.MustParseAddr(serverAddr)
	stranger := netip.MustParseAddr("10.99.0.1")
	for _, x := range []struct {
		name   string
		src    netip.Addr
		header cm.CMAHeader
		want   int // requests that the program sees
	}{
		{"honest", a, cm.CMAHeader{IPVersion: 4, SrcPort: 5, Src: a, Dst: b}, 1},
		{"another source", a, cm.CMAHeader{IPVersion: 4, SrcPort: 5, Src: stranger, Dst: b}, 0},
		{"another destination", a, cm.CMAHeader{IPVersion: 4, SrcPort: 5, Src: a, Dst: stranger}, 0},
		{"no version", a, cm.CMAHeader{SrcPort: 5, Src: a, Dst: b}, 0},
		{"outside the network", stranger, cm.CMAHeader{IPVersion: 4, SrcPort: 5, Src: stranger, Dst: b}, 0},
	} {
		p := newPair(t)
		p.server.listening(uapi.PortSpaceTCP, "0.0.0.0:80", 0)
		p.forge(verbs.GIDOf(x.src), p.server.c.GIDs[1], x.header, uapi.PortSpaceTCP)
		if n := p.server.tokens(); n != x.want {
			t.Errorf("%s: %d requests, want %d", x.name, n, x.want)
		}
		if c := p.server.h.Counters().NotForListener; int(c) != 1-x.want {
			t.Errorf("%s: %d refused", x.name, c)
		}
	}
}

// TestAllow: who may talk to whom is asked on both sides.
func TestAllow(t *testing.T) {
	p := newPair(t)
	p.server.listening(uapi.PortSpaceTCP, "0.0.0.0:80", 0)
	id := p.client.resolved(uapi.PortSpaceTCP, "10.77.0.2:80")
	var asked []string
	no := func(c *verbs.Container, peer netip.Addr, _ bool) bool {
		asked = append(asked, c.Name+" "+peer.String())
		return false
	}
	p.client.h.Allow = no
	p.client.connect(p.client.resolved(uapi.PortSpaceTCP, "10.77.0.2:80"), 1, "")
	p.client.event(uapi.UCMRejected, 28)
	p.server.quiet()
	p.client.h.Allow, p.server.h.Allow = nil, no
	p.client.connect(id, 1, "")
	p.client.event(uapi.UCMRejected, 28)
	if len(asked) != 2 || asked[0] != "a 10.77.0.2" || asked[1] != "b 10.77.0.1" {
		t.Errorf("asked %v", asked)
	}
}

// TestHostAddress: containers share their host's address towards peers that are no routers. The first to listen has the port.
func TestHostAddress(t *testing.T) {
	w := newWorld(t, 2)
	hosted := func(host int, name string, addrs ...string) *program {
		c := w.container(host, name, addrs...)
		c.HostGID = 1
		return w.program(c)
	}
	client := hosted(0, "a", "10.77.0.1", "192.0.2.1")
	first, second := hosted(1, "b", "10.77.0.2", "192.0.2.2"), hosted(1, "c", "10.77.0.3", "192.0.2.2")
	second.listening(uapi.PortSpaceTCP, "192.0.2.2:80", 0)
	first.listening(uapi.PortSpaceTCP, "0.0.0.0:80", 0)
	first.listening(uapi.PortSpaceTCP, "0.0.0.0:81", 0)
	id := client.resolved(uapi.PortSpaceTCP, "192.0.2.2:80")
	client.connect(id, 1, "")
	e := second.event(uapi.UCMConnectRequest, 0)
	r := second.route(e.ID)
	if src, dst := parse(t, r.SrcAddr[:]), parse(t, r.DstAddr[:]); src.String() != "192.0.2.2:80" || dst.Addr().String() != "192.0.2.1" {
		t.Errorf("from %v to %v", src, dst)
	}
	second.accept(e.ID, 2, "")
	client.event(uapi.UCMConnectResponse, 0)
	if a := client.attr(id, verbs.StateRTR).AHAttr; a.SGIDIndex != 1 {
		t.Errorf("address %+v", a)
	}
	client.ready(id)
	second.event(uapi.UCMEstablished, 0)
	client.connect(client.resolved(uapi.PortSpaceTCP, "192.0.2.2:81"), 3, "")
	first.event(uapi.UCMConnectRequest, 0)
	client.connect(client.resolved(uapi.PortSpaceTCP, "192.0.2.2:82"), 4, "")
	client.event(uapi.UCMRejected, 8)
	second.h.RemoveContainer(second.c)
	w.run()
	client.event(uapi.UCMDisconnected, 0)
}

// TestReceive: what comes from the network is copied, measured, and dropped when there is too much.
func TestReceive(t *testing.T) {
	p := newPair(t)
	h := p.server.h
	h.Receive(p.server.c, verbs.GID{}, p.server.c.GIDs[1], make([]byte, 255))
	h.Receive(p.server.c, verbs.GID{}, p.server.c.GIDs[1], make([]byte, 257))
	for range incoming + 3 {
		h.Receive(p.server.c, verbs.GID{}, p.server.c.GIDs[1], make([]byte, 256))
	}
	s := h.Counters()
	if s.Malformed != 2 || s.Overrun != 3 {
		t.Errorf("%d malformed, %d too many", s.Malformed, s.Overrun)
	}
	h.take(&message{c: p.server.c, dst: verbs.GID{1}})
	if n := h.Counters().Refused; n != 1 {
		t.Errorf("%d refused for an address that is not the container's", n)
	}
}
