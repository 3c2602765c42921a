package rdmacm

import (
	"bytes"
	"encoding/binary"
	"syscall"
	"testing"

	"github.com/freeflow-rdma/freeflow/internal/uapi"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
)

// TestUD: a datagram service is looked up.
func TestUD(t *testing.T) {
	p := newPair(t)
	s, c := p.server, p.client
	l := s.listening(uapi.PortSpaceUDP, "0.0.0.0:7174", 0)
	id := c.resolved(uapi.PortSpaceUDP, "10.77.0.2:7174")
	if a := c.attr(id, verbs.StateInit); a.QPAttrMask != 0x71 || a.QKey != qkeyUDP || a.PortNum != 1 {
		t.Errorf("INIT: %+v", a)
	}
	c.connect(id, 0x2f, "where")
	e := s.event(uapi.UCMConnectRequest, 0)
	if u := ud(&e); u.PrivateDataLen != 180 || !bytes.HasPrefix(u.PrivateData[:], []byte("where\x00")) || u.QPNum != 0 {
		t.Errorf("request %+v", u)
	}
	s.accept(e.ID, 0x30, "here")
	s.quiet()
	e = c.event(uapi.UCMEstablished, 0)
	u := ud(&e)
	if u.QPNum != 0x30 || u.QKey != qkeyUDP || u.PrivateDataLen != 136 || !bytes.HasPrefix(u.PrivateData[:], []byte("here\x00")) {
		t.Errorf("established %+v", u)
	}
	if av := u.AHAttr; verbs.GID(av.DGID) != s.c.GIDs[1] || av.SGIDIndex != 1 || av.IsGlobal != 1 || av.HopLimit != 64 || av.PortNum != 1 {
		t.Errorf("address %+v", av)
	}
	for _, x := range []struct {
		p        *program
		id, read uint32
	}{{c, id, 3}, {s, l, 1}} {
		if n := x.p.destroy(x.id); n != x.read {
			t.Errorf("reported %d, want %d", n, x.read)
		}
	}
}

func TestUDRefused(t *testing.T) {
	p := newPair(t)
	c := p.client
	c.connect(c.resolved(uapi.PortSpaceUDP, "10.77.0.2:7174"), 1, "")
	c.event(uapi.UCMUnreachable, 1)
	p.server.listening(uapi.PortSpaceUDP, "0.0.0.0:7174", 0)
	c.connect(c.resolved(uapi.PortSpaceUDP, "10.77.0.2:7174"), 1, "")
	q := uapi.UCMRejectReq{ID: p.server.event(uapi.UCMConnectRequest, 0).ID, PrivateDataLen: 3}
	copy(q.PrivateData[:], "not")
	p.server.must(uapi.UCMReject, q, 0)
	p.w.run()
	e := c.event(uapi.UCMUnreachable, 2)
	if u := ud(&e); u.PrivateDataLen != 136 || !bytes.HasPrefix(u.PrivateData[:], []byte("not\x00")) {
		t.Errorf("refused with %+v", u)
	}
	p.w.lose = func(*packet) bool { return true }
	c.connect(c.resolved(uapi.PortSpaceUDP, "10.77.0.2:7174"), 1, "")
	p.w.pass(150 * second)
	c.event(uapi.UCMUnreachable, -int32(syscall.ETIMEDOUT))
}

func (p *program) join(id uint32, group string) uint32 {
	p.t.Helper()
	p.uid++
	return binary.LittleEndian.Uint32(p.must(uapi.UCMJoinIPMcast, uapi.UCMJoinIPMcastReq{UID: p.uid, ID: id, Addr: addr(group)}, 4))
}

// TestMulticast: as in the capture of mckey, the MGID of 239.1.2.3 is its address, mapped.
func TestMulticast(t *testing.T) {
	for _, x := range []struct{ own, group, mgid string }{
		{"10.77.0.1:0", "239.1.2.3:0", "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\xef\x01\x02\x03"},
		{"[fd77::1]:0", "[ff0e::1:3]:0", "\xff\x0e\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x03"},
	} {
		p := newPair(t)
		c := p.client
		id := c.create(uapi.PortSpaceUDP, verbs.TypeUD)
		c.must(uapi.UCMResolveIP, uapi.UCMResolveIPReq{ID: id, SrcAddr: addr(x.own), DstAddr: addr(x.group), TimeoutMS: 2000}, 0)
		c.event(uapi.UCMAddrResolved, 0)
		g := c.join(id, x.group)
		e := c.event(uapi.UCMMulticastJoin, 0)
		u := ud(&e)
		if e.ID != g || e.UID != c.uid || u.QPNum != 0xffffff || u.QKey != qkeyUDP || u.PrivateDataLen != 0 {
			t.Errorf("joined: ID %d, uid %d, %+v", e.ID, e.UID, u)
		}
		if av := u.AHAttr; string(av.DGID[:]) != x.mgid || av.IsGlobal != 1 || av.HopLimit != 64 || av.PortNum != 1 || av.FlowLabel != 0 {
			t.Errorf("address %+v", av)
		}
		leave := uapi.UCMDestroyIDReq{ID: g}
		if n := binary.LittleEndian.Uint32(c.must(uapi.UCMLeaveMcast, leave, 4)); n != 1 {
			t.Errorf("%d events reported", n)
		}
		c.fails(syscall.ENOENT, uapi.UCMLeaveMcast, leave, 4)
		if n := c.destroy(id); n != 2 {
			t.Errorf("%d events of the ID reported", n)
		}
		p.w.empty()
	}
}

// TestMulticastWrong: joins that the kernel refuses.
func TestMulticastWrong(t *testing.T) {
	p := newPair(t)
	c := p.client
	bound := func(ps uint16, at string) uint32 {
		id := c.create(ps, verbs.TypeRC)
		c.must(uapi.UCMBindIP, uapi.UCMBindIPReq{ID: id, Addr: addr(at)}, 0)
		return id
	}
	for _, x := range []struct {
		id    uint32
		group string
	}{
		{bound(uapi.PortSpaceTCP, "10.77.0.1:0"), "239.1.2.3:0"}, // no datagrams
		{bound(uapi.PortSpaceUDP, "0.0.0.0:0"), "239.1.2.3:0"},   // no device
		{bound(uapi.PortSpaceUDP, "10.77.0.1:0"), "10.77.0.2:0"}, // no group
		{bound(uapi.PortSpaceUDP, "10.77.0.1:0"), "0.0.0.0:0"},
	} {
		c.fails(syscall.EINVAL, uapi.UCMJoinIPMcast, uapi.UCMJoinIPMcastReq{UID: 1, ID: x.id, Addr: addr(x.group)}, 4)
	}
	// The form for any family checks sizes and flags.
	j := uapi.UCMJoinMcastReq{UID: 1, ID: bound(uapi.PortSpaceUDP, "10.77.0.1:0"), AddrSize: 16}
	copy(j.Addr[:], "\x02\x00\x00\x00\xef\x01\x02\x03")
	bad := j
	bad.AddrSize = 28
	c.fails(syscall.EINVAL, uapi.UCMJoinMcast, bad, 4)
	bad = j
	bad.JoinFlags = 2
	c.fails(syscall.EINVAL, uapi.UCMJoinMcast, bad, 4)
	c.must(uapi.UCMJoinMcast, j, 4)
}

// TestLeaveUnread: what was not read is withdrawn, with its token.
func TestLeaveUnread(t *testing.T) {
	p := newPair(t)
	c := p.client
	id := c.create(uapi.PortSpaceUDP, verbs.TypeUD)
	c.must(uapi.UCMBindIP, uapi.UCMBindIPReq{ID: id, Addr: addr("10.77.0.1:0")}, 0)
	first, second := c.join(id, "239.1.2.3:0"), c.join(id, "239.1.2.4:0")
	r, err := c.write(uapi.UCMLeaveMcast, uapi.UCMDestroyIDReq{ID: first}, 4)
	if err != nil || r.Tokens != 1 {
		t.Errorf("%+v, %v", r, err)
	}
	if e := c.event(uapi.UCMMulticastJoin, 0); e.ID != second {
		t.Errorf("joined %d, want %d", e.ID, second)
	}
	c.quiet()
}
