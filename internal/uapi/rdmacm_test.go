package uapi

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"syscall"
	"testing"
)

// ucmWrite is what a program writes for a command.
func ucmWrite(c UCMCmd, body []byte, out int) []byte {
	b := binary.LittleEndian.AppendUint32(nil, uint32(c))
	b = binary.LittleEndian.AppendUint16(b, uint16(len(body)))
	b = binary.LittleEndian.AppendUint16(b, uint16(out))
	return append(b, body...)
}

func TestParseUCM(t *testing.T) {
	for _, c := range []struct {
		name string
		b    []byte
		err  error
	}{
		{"no header", make([]byte, 7), syscall.EINVAL},
		{"unknown", ucmWrite(23, nil, 0), syscall.EINVAL},
		{"far from known", ucmWrite(0xffffffff, nil, 0), syscall.EINVAL},
		{"never made", ucmWrite(UCMGetOption, nil, 0), syscall.ENOSYS},
		{"longer than the write", ucmWrite(UCMListen, make([]byte, 8), 0)[:12], syscall.EINVAL},
		{"whole", ucmWrite(UCMListen, make([]byte, 8), 0), nil},
		{"with more after it", append(ucmWrite(UCMListen, make([]byte, 8), 0), 1, 2), nil},
	} {
		if _, err := ParseUCM(c.b); !errors.Is(err, c.err) {
			t.Errorf("%s: %v, want %v", c.name, err, c.err)
		}
	}
}

// TestDecodeConnect: librdmacm before ECE writes eight bytes less; anything shorter is refused.
func TestDecodeConnect(t *testing.T) {
	full := Encode(UCMConnectReq{ID: 7, ECE: UCMECE{VendorID: 1, AttrMod: 2}})
	for _, c := range []struct {
		in   int
		want UCMECE
		err  error
	}{
		{len(full), UCMECE{VendorID: 1, AttrMod: 2}, nil},
		{len(full) - 8, UCMECE{}, nil},
		{len(full) - 9, UCMECE{}, syscall.EINVAL},
	} {
		u, err := ParseUCM(ucmWrite(UCMConnect, full[:c.in], 0))
		if err != nil {
			t.Fatal(err)
		}
		q, err := u.DecodeConnect()
		if !errors.Is(err, c.err) || err == nil && (q.ID != 7 || q.ECE != c.want) {
			t.Errorf("%d bytes: %+v, %v", c.in, q.ECE, err)
		}
	}
	a, err := ParseUCM(ucmWrite(UCMAccept, Encode(UCMAcceptReq{UID: 5, ID: 9})[:288], 0))
	if err != nil {
		t.Fatal(err)
	}
	if q, err := a.DecodeAccept(); err != nil || q.UID != 5 || q.ID != 9 {
		t.Errorf("ACCEPT without ECE: %+v, %v", q, err)
	}
}

func TestResponseRoom(t *testing.T) {
	c := UCMCommand{Out: 6}
	if got := c.Response(UCMQueryAddrResp{NodeGUID: [8]byte{1, 2, 3, 4, 5, 6, 7, 8}}); !bytes.Equal(got, []byte{1, 2, 3, 4, 5, 6}) {
		t.Errorf("response %x", got)
	}
	if err := c.Room(7); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("room for 7 in 6: %v", err)
	}
}

func TestSockAddr(t *testing.T) {
	v4 := SockAddr{Family: AFInet, Port: 7174, Addr: netip.MustParseAddr("10.77.0.1")}
	v6 := SockAddr{Family: AFInet6, Port: 7174, Addr: netip.MustParseAddr("fe80::5054:ff:fe5e:cd00"), FlowInfo: 3, ScopeID: 2}
	for _, c := range []struct {
		a    SockAddr
		want string // what a program has in memory
	}{
		{v4, "\x02\x00\x1c\x06\x0a\x4d\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00"},
		{v6, "\x0a\x00\x1c\x06\x00\x00\x00\x03\xfe\x80\x00\x00\x00\x00\x00\x00\x50\x54\x00\xff\xfe\x5e\xcd\x00\x02\x00\x00\x00"},
		{SockAddr{Family: AFInet}, "\x02\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"},
		{SockAddr{}, ""},
	} {
		b := make([]byte, 28)
		if n := c.a.Put(b); string(b[:n]) != c.want {
			t.Errorf("%+v is %x, want %x", c.a, b[:n], c.want)
		}
		if !c.a.Addr.IsValid() {
			continue
		}
		if got, err := ParseSockAddr(b); err != nil || got != c.a {
			t.Errorf("%x is %+v, %v", b, got, err)
		}
	}
	ib := make([]byte, 128)
	PutIB(ib, [16]byte{}, 0)
	for _, c := range []struct {
		b   []byte
		err error
	}{{ib, syscall.EADDRNOTAVAIL}, {ib[:28], syscall.EINVAL}, {make([]byte, 28), syscall.EINVAL}} {
		if _, err := ParseSockAddr(c.b); !errors.Is(err, c.err) {
			t.Errorf("%x: %v, want %v", c.b[:4], err, c.err)
		}
	}
}

// TestPathData holds a path against the answer that Linux 6.1 gave rping's client to QUERY of paths. There the LIDs are the
// peer's MAC address, which is an accident of a union; here they are zero.
func TestPathData(t *testing.T) {
	gid := [16]byte{10: 0xff, 11: 0xff, 12: 10, 13: 77, 15: 1}
	p := PathRec{DGID: gid, SGID: gid, FlowLabel: 0x5d332, HopLimit: 64, PKey: 0xffff, MTU: 3, PacketLifeTime: 18}
	want := "\x2b\x00\x00\x00" + "\x00\x00\x00\x00" +
		"\x00\x00\x00\x00\x00\x00\x00\x00" + // service ID
		"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\x0a\x4d\x00\x01" +
		"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\x0a\x4d\x00\x01" +
		"\x00\x00\x00\x00" + // LIDs
		"\x05\xd3\x32\x40" + // flow label, hop limit
		"\x00\x80\xff\xff" + // traffic class, reversible, PKey
		"\x00\x00\x83\x80" + // MTU 1024, rate
		"\x92\x00\x00\x00\x00\x00\x00\x00" // packet life time
	d := PathData(p.AppendData(nil))
	if string(d) != want {
		t.Errorf("path is  %x\nwant %x", []byte(d), want)
	}
	if d.Flags() != PathFlags || d.DGID() != gid || d.SGID() != gid {
		t.Errorf("flags %#x, GIDs %x and %x", d.Flags(), d.DGID(), d.SGID())
	}
	if u := p.User(); u.FlowLabel != [4]byte{0, 5, 0xd3, 0x32} || u.PKey != [2]byte{0xff, 0xff} || u.MTU != 3 {
		t.Errorf("path for QUERY_ROUTE is %+v", u)
	}
}

func TestUCMNames(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{UCMJoinMcast.String(), "JOIN_MCAST"}, {UCMCmd(23).String(), "command 23"},
		{UCMTimewaitExit.String(), "TIMEWAIT_EXIT"}, {UCMEvent(16).String(), "event 16"},
	} {
		if c.got != c.want {
			t.Errorf("%s, want %s", c.got, c.want)
		}
	}
}

func FuzzParseUCM(f *testing.F) {
	f.Add(ucmWrite(UCMConnect, make([]byte, 288), 0))
	f.Add(ucmWrite(UCMBindIP, make([]byte, 40), 0))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := ParseUCM(b)
		if err != nil {
			return
		}
		if q, err := c.DecodeConnect(); err == nil && len(b) < 8+280 {
			t.Errorf("CONNECT of %d bytes is %+v", len(b), q)
		}
		_, _ = c.DecodeAccept()
		var bind UCMBindIPReq
		if c.Decode(&bind) == nil {
			if a, err := ParseSockAddr(bind.Addr[:]); err == nil && a.Put(make([]byte, 28)) != SockAddrSize(a.Family) {
				t.Errorf("%+v has the wrong size", a)
			}
		}
	})
}
