package rdmacm

import (
	"bytes"
	"encoding/binary"
	"syscall"
	"testing"

	"github.com/freeflow-rdma/freeflow/internal/qos"
	"github.com/freeflow-rdma/freeflow/internal/uapi"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
)

// TestConnect follows a connection from the request to timewait, and sees what both programs see.
func TestConnect(t *testing.T) {
	for _, at := range []string{"10.77.0.2:7174", "[fd77::2]:7174", "[fe80::2]:7174"} {
		t.Run(at, func(t *testing.T) { testConnect(t, newPair(t), at) })
	}
}

func testConnect(t *testing.T, p *pair, at string) {
	s, c := p.server, p.client
	p.listener = s.listening(uapi.PortSpaceTCP, at, 5)
	p.cID = c.resolved(uapi.PortSpaceTCP, at)
	c.connect(p.cID, 0x11, "hello")

	e := s.event(uapi.UCMConnectRequest, 0)
	q := conn(&e)
	if e.UID != 1 || e.ID == p.listener || q.QPNum != 0x11 || q.ResponderResources != 2 || q.InitiatorDepth != 1 || q.RetryCount != 7 ||
		q.RNRRetryCount != 6 || q.PrivateDataLen != 56 || !bytes.HasPrefix(q.PrivateData[:], []byte("hello\x00")) {
		t.Errorf("request is %+v of uid %d", q, e.UID)
	}
	p.srvID = e.ID
	s.accept(p.srvID, 0x22, "welcome")
	e = c.event(uapi.UCMConnectResponse, 0)
	if q = conn(&e); q.QPNum != 0x22 || q.ResponderResources != 2 || q.InitiatorDepth != 1 || q.RNRRetryCount != 6 || q.PrivateDataLen != 196 ||
		!bytes.HasPrefix(q.PrivateData[:], []byte("welcome\x00")) {
		t.Errorf("response is %+v", q)
	}
	checkQPs(t, p)
	s.quiet()
	c.ready(p.cID)
	if e = s.event(uapi.UCMEstablished, 0); e.UID != 2 || e.Param != [304]byte{} {
		t.Errorf("established: uid %d, param %x", e.UID, e.Param)
	}
	testDisconnect(t, p)
}

// testDisconnect: the client ends the connection.
func testDisconnect(t *testing.T, p *pair) {
	s, c := p.server, p.client
	c.must(uapi.UCMDisconnect, uapi.UCMDisconnectReq{ID: p.cID}, 0)
	p.w.run()
	s.event(uapi.UCMDisconnected, 0)
	c.quiet()
	s.must(uapi.UCMDisconnect, uapi.UCMDisconnectReq{ID: p.srvID}, 0)
	p.w.run()
	c.event(uapi.UCMDisconnected, 0)
	p.w.pass(60 * second)
	s.event(uapi.UCMTimewaitExit, 0)
	c.event(uapi.UCMTimewaitExit, 0)
	for _, x := range []struct {
		p    *program
		id   uint32
		read uint32
	}{{c, p.cID, 5}, {s, p.srvID, 3}, {s, p.listener, 1}} {
		if n := x.p.destroy(x.id); n != x.read {
			t.Errorf("ID %d has reported %d events, want %d", x.id, n, x.read)
		}
	}
	p.w.empty()
}

// empty checks that nothing is left.
func (w *world) empty() {
	w.t.Helper()
	for n, h := range w.hosts {
		s := h.Counters()
		if s.IDs+s.Groups+s.Ports+s.Timers+len(h.conns)+len(h.lined) != 0 {
			w.t.Errorf("host %d keeps %d IDs, %d groups, %d ports, %d timers, %d connections, %d in lines", n, s.IDs, s.Groups, s.Ports, s.Timers,
				len(h.conns), len(h.lined))
		}
	}
	for c := range w.conts {
		if n := c.Used()[qos.CMIDs]; n != 0 {
			w.t.Errorf("%d IDs are charged to %s", n, c.Name)
		}
	}
}

// checkQPs: the attributes for the two queue pairs fit together. They are the kernel's in mask and values (see testdata/rping.txt).
func checkQPs(t *testing.T, p *pair) {
	t.Helper()
	init, rtr, rts := p.client.attr(p.cID, verbs.StateInit), p.client.attr(p.cID, verbs.StateRTR), p.client.attr(p.cID, verbs.StateRTS)
	srtr, srts := p.server.attr(p.srvID, verbs.StateRTR), p.server.attr(p.srvID, verbs.StateRTS)
	if init.QPAttrMask != 0x39 || init.QPAccessFlags != 0xe || init.PortNum != 1 {
		t.Errorf("INIT: %+v", init)
	}
	if rtr.QPAttrMask != 0x129181 || rtr.DestQPNum != 0x22 || srtr.DestQPNum != 0x11 || rtr.PathMTU != mtu1024 || srtr.PathMTU != mtu1024 {
		t.Errorf("RTR:\n%+v\n%+v", rtr, srtr)
	}
	if rts.QPAttrMask != 0x12e01 || rts.Timeout != 19 || srts.Timeout != 19 || rts.RetryCnt != 7 || srts.RetryCnt != 7 || rts.RNRRetry != 6 ||
		srts.RNRRetry != 6 {
		t.Errorf("RTS:\n%+v\n%+v", rts, srts)
	}
	if rtr.RQPSN != srts.SQPSN || srtr.RQPSN != rts.SQPSN || rtr.MaxDestRdAtomic < srts.MaxRdAtomic || srtr.MaxDestRdAtomic < rts.MaxRdAtomic {
		t.Errorf("the two do not fit:\n%+v\n%+v\n%+v\n%+v", rtr, srts, srtr, rts)
	}
	av, sav := rtr.AHAttr, srtr.AHAttr
	if av.IsGlobal != 1 || av.PortNum != 1 || av.HopLimit != 64 || p.server.c.GIDs[sav.SGIDIndex] != verbs.GID(av.DGID) ||
		p.client.c.GIDs[av.SGIDIndex] != verbs.GID(sav.DGID) || av.FlowLabel != sav.FlowLabel || av.FlowLabel == 0 {
		t.Errorf("addresses:\n%+v\n%+v", av, sav)
	}
}

// TestUC: a service type that RDMA-CM makes connections for too, with fewer attributes.
func TestUC(t *testing.T) {
	p := newPair(t)
	l := p.server.create(uapi.PortSpaceIB, verbs.TypeUC)
	p.server.must(uapi.UCMBindIP, uapi.UCMBindIPReq{ID: l, Addr: addr("0.0.0.0:9000")}, 0)
	p.server.must(uapi.UCMListen, uapi.UCMListenReq{ID: l}, 0)
	id := p.client.create(uapi.PortSpaceIB, verbs.TypeUC)
	p.client.must(uapi.UCMResolveIP, uapi.UCMResolveIPReq{ID: id, DstAddr: addr("10.77.0.2:9000"), TimeoutMS: 1}, 0)
	p.client.event(uapi.UCMAddrResolved, 0)
	p.client.must(uapi.UCMResolveRoute, uapi.UCMResolveRouteReq{ID: id, TimeoutMS: 1}, 0)
	p.client.event(uapi.UCMRouteResolved, 0)
	p.client.connect(id, 1, "")
	s := p.server.event(uapi.UCMConnectRequest, 0).ID
	if m := p.server.attr(s, verbs.StateRTR).QPAttrMask; m != 0x101181 {
		t.Errorf("RTR mask of UC %#x", m)
	}
	if m := p.server.attr(s, verbs.StateRTS).QPAttrMask; m != 0x10001 {
		t.Errorf("RTS mask of UC %#x", m)
	}
	// An RC request for the same port is not what is listened for.
	rc := p.client.resolved(uapi.PortSpaceIB, "10.77.0.2:9000")
	p.client.connect(rc, 2, "")
	p.client.event(uapi.UCMRejected, 28)
}

func TestReject(t *testing.T) {
	p := newPair(t)
	p.listener = p.server.listening(uapi.PortSpaceTCP, "0.0.0.0:7174", 5)
	id := p.client.resolved(uapi.PortSpaceTCP, "10.77.0.2:7174")
	p.client.connect(id, 0x11, "")
	s := p.server.event(uapi.UCMConnectRequest, 0).ID
	q := uapi.UCMRejectReq{ID: s, PrivateDataLen: 2}
	copy(q.PrivateData[:], "no")
	q.Reason = 8
	p.server.fails(syscall.EINVAL, uapi.UCMReject, q, 0)
	q.Reason, q.PrivateDataLen = 0, 149
	p.server.fails(syscall.EINVAL, uapi.UCMReject, q, 0)
	q.PrivateDataLen = 2
	p.server.must(uapi.UCMReject, q, 0)
	p.w.run()
	e := p.client.event(uapi.UCMRejected, 28)
	if c := conn(&e); c.PrivateDataLen != 148 || !bytes.HasPrefix(c.PrivateData[:], []byte("no\x00")) {
		t.Errorf("rejected with %+v", c)
	}
	p.server.fails(syscall.EINVAL, uapi.UCMReject, q, 0)
	p.server.fails(syscall.EINVAL, uapi.UCMAccept, uapi.UCMAcceptReq{ID: s, ConnParam: param(1, "")}, 0)
	p.client.fails(syscall.EINVAL, uapi.UCMConnect, uapi.UCMConnectReq{ID: id, ConnParam: param(1, "")}, 0)
	p.client.fails(syscall.EINVAL, uapi.UCMInitQPAttr, uapi.UCMInitQPAttrReq{ID: id, QPState: uint32(verbs.StateRTR)}, 144)
}

// TestNoListener: nobody at all on the port is 8; somebody, but not on the address, is 28, as with the kernel.
func TestNoListener(t *testing.T) {
	p := newPair(t)
	id := p.client.resolved(uapi.PortSpaceTCP, "10.77.0.2:7174")
	p.client.connect(id, 0x11, "")
	p.client.event(uapi.UCMRejected, 8)
	p.server.listening(uapi.PortSpaceTCP, "[fd77::2]:7174", 0)
	p.server.listening(uapi.PortSpaceIB, "10.77.0.2:7174", 0)
	id = p.client.resolved(uapi.PortSpaceTCP, "10.77.0.2:7174")
	p.client.connect(id, 0x11, "")
	p.client.event(uapi.UCMRejected, 28)
	p.client.quiet()
	p.server.quiet()
	if s := p.server.h.Counters(); s.NoListener != 1 || s.NotForListener != 1 {
		t.Errorf("counted %+v", s)
	}
}

// TestUnreachable: the peer's host does not answer.
func TestUnreachable(t *testing.T) {
	p := newPair(t)
	id := p.client.resolved(uapi.PortSpaceTCP, "10.77.0.2:7174")
	p.w.lose = func(*packet) bool { return true }
	p.client.connect(id, 0x11, "")
	p.w.pass(50 * second)
	p.client.quiet()
	p.w.pass(100 * second)
	p.client.event(uapi.UCMUnreachable, -int32(syscall.ETIMEDOUT))
	p.client.destroy(id)
	p.w.empty()
}

// TestSlowProgram: a server that takes a minute to accept, and a client that takes a minute to answer, lose nothing.
func TestSlowProgram(t *testing.T) {
	p := newPair(t)
	p.server.listening(uapi.PortSpaceTCP, "10.77.0.2:7174", 5)
	id := p.client.resolved(uapi.PortSpaceTCP, "10.77.0.2:7174")
	p.client.connect(id, 0x11, "")
	p.w.pass(60 * second)
	s := p.server.event(uapi.UCMConnectRequest, 0).ID
	p.w.pass(30 * second)
	p.server.accept(s, 0x22, "")
	p.client.event(uapi.UCMConnectResponse, 0)
	p.w.pass(60 * second)
	p.client.ready(id)
	p.server.event(uapi.UCMEstablished, 0)
	p.server.quiet()
	p.client.quiet()
}

// TestNotify: the RTU is lost, and data came.
func TestNotify(t *testing.T) {
	p := newPair(t)
	p.server.listening(uapi.PortSpaceTCP, "10.77.0.2:7174", 5)
	id := p.client.resolved(uapi.PortSpaceTCP, "10.77.0.2:7174")
	p.client.connect(id, 0x11, "")
	s := p.server.event(uapi.UCMConnectRequest, 0).ID
	notify := uapi.UCMNotifyReq{ID: s, Event: uapi.UCMEventCommEst}
	p.server.fails(syscall.EINVAL, uapi.UCMNotify, notify, 0)
	p.server.accept(s, 0x22, "")
	p.server.fails(syscall.EINVAL, uapi.UCMNotify, uapi.UCMNotifyReq{ID: s, Event: 6}, 0)
	p.server.must(uapi.UCMNotify, notify, 0)
	p.server.event(uapi.UCMEstablished, 0)
	p.server.fails(syscall.EISCONN, uapi.UCMNotify, notify, 0)
}

// TestBadAccept: an accept that cannot be refuses the peer, as the kernel has it.
func TestBadAccept(t *testing.T) {
	p := newPair(t)
	p.server.listening(uapi.PortSpaceTCP, "10.77.0.2:7174", 5)
	id := p.client.resolved(uapi.PortSpaceTCP, "10.77.0.2:7174")
	p.client.connect(id, 0x11, "")
	s := p.server.event(uapi.UCMConnectRequest, 0).ID
	p.server.fails(syscall.EINVAL, uapi.UCMReject, uapi.UCMRejectReq{ID: s, PrivateDataLen: 149}, 0)
	p.server.attr(s, verbs.StateRTR) // nothing has changed
	c := param(1, "")
	c.PrivateDataLen = 197
	p.server.fails(syscall.EINVAL, uapi.UCMAccept, uapi.UCMAcceptReq{ID: s, ConnParam: c}, 0)
	p.w.run()
	p.client.event(uapi.UCMRejected, 28)
}

// TestLargePrivate: 56 bytes fit into a request, 57 do not; nor do so many that their number runs over.
func TestLargePrivate(t *testing.T) {
	p := newPair(t)
	id := p.client.resolved(uapi.PortSpaceTCP, "10.77.0.2:7174")
	for n, want := range map[uint8]error{57: syscall.EINVAL, 255: syscall.EINVAL} {
		c := param(1, "")
		c.PrivateDataLen = n
		if _, err := p.client.write(uapi.UCMConnect, uapi.UCMConnectReq{ID: id, ConnParam: c}, 0); err != want {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	p.client.connect(id, 1, string(bytes.Repeat([]byte{'x'}, 56)))
	p.client.event(uapi.UCMRejected, 8)
}

// TestKilled: a program that dies takes its IDs with it, and its peer hears at once.
func TestKilled(t *testing.T) {
	p := newPair(t)
	p.link("10.77.0.2:7174")
	if err := p.server.end.Close(); err != nil {
		t.Fatal(err)
	}
	p.w.watchOnce()
	p.client.event(uapi.UCMDisconnected, 0)
	if _, err := p.server.write(uapi.UCMCreateID, uapi.UCMCreateIDReq{PS: uapi.PortSpaceTCP}, 4); err != syscall.EBADF {
		t.Errorf("command on a closed channel: %v", err)
	}
	p.client.destroy(p.cID)
	p.w.empty()
}

// TestHangUpSeenByBind: the port of a program that has died is free though nobody has looked yet.
func TestHangUpSeenByBind(t *testing.T) {
	p := newPair(t)
	p.server.listening(uapi.PortSpaceTCP, "0.0.0.0:7174", 5)
	next := p.w.program(p.server.c)
	id := next.create(uapi.PortSpaceTCP, verbs.TypeRC)
	next.fails(syscall.EADDRNOTAVAIL, uapi.UCMBindIP, uapi.UCMBindIPReq{ID: id, Addr: addr("0.0.0.0:7174")}, 0)
	_ = p.server.end.Close()
	next.must(uapi.UCMBindIP, uapi.UCMBindIPReq{ID: id, Addr: addr("0.0.0.0:7174")}, 0)
}

// TestECE: what vendors agree on is passed on.
func TestECE(t *testing.T) {
	p := newPair(t)
	p.server.listening(uapi.PortSpaceTCP, "10.77.0.2:7174", 5)
	id := p.client.resolved(uapi.PortSpaceTCP, "10.77.0.2:7174")
	p.client.must(uapi.UCMConnect, uapi.UCMConnectReq{ID: id, ConnParam: param(1, ""), ECE: uapi.UCMECE{VendorID: 0x15b3, AttrMod: 7}}, 0)
	p.w.run()
	e := p.server.event(uapi.UCMConnectRequest, 0)
	if e.ECE != (uapi.UCMECE{VendorID: 0x15b3, AttrMod: 7}) {
		t.Errorf("request with %+v", e.ECE)
	}
	p.server.must(uapi.UCMAccept, uapi.UCMAcceptReq{UID: 5, ID: e.ID, ConnParam: param(1, ""), ECE: uapi.UCMECE{VendorID: 0x15b3, AttrMod: 3}}, 0)
	p.w.run()
	if e = p.client.event(uapi.UCMConnectResponse, 0); e.ECE.AttrMod != 3 {
		t.Errorf("response with %+v", e.ECE)
	}
}

// TestSelf: a container connects to itself, by its address and by loopback.
func TestSelf(t *testing.T) {
	for _, to := range []string{"10.77.0.1:7174", "127.0.0.1:7174", "[::1]:7174", "[fd77::1]:7174"} {
		p := newPair(t)
		s := p.w.program(p.client.c)
		id := s.create(uapi.PortSpaceTCP, verbs.TypeRC)
		s.must(uapi.UCMBindIP, uapi.UCMBindIPReq{ID: id, Addr: addr("[::]:7174")}, 0)
		s.must(uapi.UCMListen, uapi.UCMListenReq{ID: id}, 0)
		p.server, p.cID = s, p.client.resolved(uapi.PortSpaceTCP, to)
		p.client.connect(p.cID, 0x11, "")
		e := s.event(uapi.UCMConnectRequest, 0)
		p.srvID = e.ID
		s.accept(e.ID, 0x22, "")
		p.client.event(uapi.UCMConnectResponse, 0)
		checkQPs(t, p)
		p.client.ready(p.cID)
		s.event(uapi.UCMEstablished, 0)
	}
}

// TestLoopbackListener: who listens on loopback hears only its own container.
func TestLoopbackListener(t *testing.T) {
	p := newPair(t)
	p.server.listening(uapi.PortSpaceTCP, "127.0.0.1:7174", 0)
	id := p.client.resolved(uapi.PortSpaceTCP, "10.77.0.2:7174")
	p.client.connect(id, 1, "")
	p.client.event(uapi.UCMRejected, 28)
	own := p.w.program(p.server.c)
	own.connect(own.resolved(uapi.PortSpaceTCP, "127.0.0.1:7174"), 1, "")
	p.server.event(uapi.UCMConnectRequest, 0)
}

func TestRows(t *testing.T) {
	p := newPair(t)
	p.link("10.77.0.2:7174")
	var states []string
	for _, r := range append(p.client.h.Rows(), p.server.h.Rows()...) {
		states = append(states, r.State)
		if r.State == "CONNECT" && (r.PortSpace != "TCP" || !r.Remote.IsValid() || r.QPN == 0) {
			t.Errorf("row %+v", r)
		}
	}
	if len(states) != 3 {
		t.Errorf("rows %v", states)
	}
	if b := binary.LittleEndian.Uint32(p.client.must(uapi.UCMQuery, uapi.UCMQueryReq{ID: p.cID, Option: uapi.UCMQueryPath}, 440)); b != 1 {
		t.Errorf("%d paths", b)
	}
}

// TestCrossingDisconnects: both sides disconnect at once, and one of the messages is lost. The other is answered at once, for nobody else will.
func TestCrossingDisconnects(t *testing.T) {
	p := newPair(t)
	p.link("10.77.0.2:80")
	first := true
	p.w.lose = func(*packet) bool {
		lost := first
		first = false
		return lost
	}
	p.client.must(uapi.UCMDisconnect, uapi.UCMDisconnectReq{ID: p.cID}, 0)
	p.server.must(uapi.UCMDisconnect, uapi.UCMDisconnectReq{ID: p.srvID}, 0)
	p.w.run()
	p.client.event(uapi.UCMDisconnected, 0)
	p.server.event(uapi.UCMDisconnected, 0)
}
