package wire_test

import (
	"bytes"
	"errors"
	"reflect"
	"testing"

	"github.com/freeflow-rdma/freeflow/internal/wire"
)

// reencodeCM parses the class's data as the attribute says, and writes it into a MAD full of rubbish. The fields are a pointer to
// the message's struct.
func reencodeCM(m wire.MAD) (fields any, again wire.MAD, err error) {
	again = bytes.Repeat([]byte{0xee}, wire.MADSize)
	again.PutCM(m.Attribute(), m.TID(), m.Modifier())
	fields, err = putCM(m, again)
	return fields, again, err
}

func putCM(m, again wire.MAD) (any, error) {
	switch m.Attribute() {
	case wire.AttrConnectReject:
		var f wire.CMRej
		err := f.Parse(m)
		f.Put(again)
		return &f, err
	case wire.AttrServiceIDResReqResp:
		var f wire.CMSIDRRep
		err := f.Parse(m)
		f.Put(again)
		return &f, err
	case wire.AttrAlternatePathResp:
		var f wire.CMApr
		err := f.Parse(m)
		f.Put(again)
		return &f, err
	}
	f, ok := map[wire.Attribute]interface {
		Parse(m wire.MAD)
		Put(m wire.MAD)
	}{
		wire.AttrConnectRequest: &wire.CMReq{}, wire.AttrMsgRcptAck: &wire.CMMRA{}, wire.AttrConnectReply: &wire.CMRep{},
		wire.AttrReadyToUse: &wire.CMRTU{}, wire.AttrDisconnectRequest: &wire.CMDReq{}, wire.AttrDisconnectReply: &wire.CMDRep{},
		wire.AttrServiceIDResReq: &wire.CMSIDRReq{}, wire.AttrLoadAlternatePath: &wire.CMLap{},
	}[m.Attribute()]
	if !ok {
		return nil, errors.New("not a CM message")
	}
	f.Parse(m)
	f.Put(again)
	return f, nil
}

var gidA, gidB = [16]byte{10: 0xff, 0xff, 10, 77, 0, 1}, [16]byte{10: 0xff, 0xff, 10, 77, 0, 2}

// goldensCM are messages after the common header. What is not written is zeros up to 232 bytes.
var goldensCM = []struct {
	name, bytes string
	attr        wire.Attribute
	fields      any
}{
	{"REQ", `
		40a19519 00 123456          # local communication ID; vendor
		0000000001061d2f            # service ID: TCP's port 7471
		505400fffe79fe00            # CA GUID
		00000000 01234567           # QKey
		000063 04                   # QPN, responder resources
		000001 05                   # EECN, initiator depth
		000002 a1                   # remote EECN; response within 20, RC, flow control
		7d1c8c a6                   # PSN; response within 20, 6 retries
		fffe 5f fd                  # PKey; MTU 5, RDC, 7 RNR retries; 15 CM retries, SRQ, extended 5
		ffff fffe                   # LIDs
		00000000000000000000ffff0a4d0001 00000000000000000000ffff0a4d0002
		22af8 03f 11 40             # flow label, rate (6 bits), traffic class, hop limit
		38 98                       # SL 3, subnet local; ACK timeout 19
		0001 0002                   # the alternate path
		00000000000000000000ffff0a4d0002 00000000000000000000ffff0a4d0001
		fffff 001 12 41 40 9c       # ... SAP supported
		00409517`, wire.AttrConnectRequest,
		&wire.CMReq{LocalCommID: 0x40a19519, VendorID: 0x123456, ServiceID: 0x01061d2f, LocalCAGUID: 0x505400fffe79fe00, LocalQKey: 0x01234567,
			LocalQPN: 0x63, ResponderResources: 4, LocalEECN: 1, InitiatorDepth: 5, RemoteEECN: 2, RemoteRespTimeout: 20,
			TransportService: wire.CMTransportRC, FlowControl: true, StartingPSN: 0x7d1c8c, LocalRespTimeout: 20, RetryCount: 6,
			PKey: 0xfffe, PathMTU: 5, RDCExists: true, RNRRetryCount: 7, MaxCMRetries: 15, SRQ: true, ExtendedType: 5,
			Primary: wire.CMPath{LocalLID: wire.CMAnyLID, RemoteLID: 0xfffe, LocalGID: gidA, RemoteGID: gidB, FlowLabel: 0x22af8,
				PacketRate: 63, TrafficClass: 0x11, HopLimit: 64, SL: 3, SubnetLocal: true, LocalAckTimeout: 19},
			Alternate: wire.CMPath{LocalLID: 1, RemoteLID: 2, LocalGID: gidB, RemoteGID: gidA, FlowLabel: 0xfffff, PacketRate: 1,
				TrafficClass: 0x12, HopLimit: 65, SL: 4, LocalAckTimeout: 19},
			SAPSupported: true, Private: private(wire.CMReqPrivateSize, 0, 0x40, 0x95, 0x17)}},
	{"MRA", `
		00000001 00000002
		40 c0                       # of a REP; within 24
		aa`, wire.AttrMsgRcptAck,
		&wire.CMMRA{CMIDs: wire.CMIDs{Local: 1, Remote: 2}, Message: wire.CMMessageREP, ServiceTimeout: 24,
			Private: private(wire.CMMRAPrivateSize, 0xaa)}},
	{"REJ", `
		00000001 00000002
		80 06 001c                  # of another message; 3 bytes of information; consumer defined
		010203` + zeros(69) + `
		676f`, wire.AttrConnectReject,
		&wire.CMRej{CMIDs: wire.CMIDs{Local: 1, Remote: 2}, Message: wire.CMMessageOther, Reason: 28, Info: []byte{1, 2, 3},
			Private: private(wire.CMRejPrivateSize, 'g', 'o')}},
	{"REP", `
		ac2c25d3 40a19519
		01234567                    # QKey
		000063 12                   # QPN, vendor
		000001 34                   # EECN, vendor
		ac750a 56                   # PSN, vendor
		03 02 7d f0                 # responder resources, initiator depth; ACK delay 15, failover 2, flow control; 7 RNR retries, SRQ
		505400fffe262d00
		736572`, wire.AttrConnectReply,
		&wire.CMRep{CMIDs: wire.CMIDs{Local: 0xac2c25d3, Remote: 0x40a19519}, LocalQKey: 0x01234567, LocalQPN: 0x63, VendorID: 0x123456,
			LocalEECN: 1, StartingPSN: 0xac750a, ResponderResources: 3, InitiatorDepth: 2, TargetAckDelay: 15, FailoverAccepted: 2,
			FlowControl: true, RNRRetryCount: 7, SRQ: true, LocalCAGUID: 0x505400fffe262d00, Private: private(wire.CMRepPrivateSize, 's', 'e', 'r')}},
	{"RTU", `00000001 00000002 aabb`, wire.AttrReadyToUse,
		&wire.CMRTU{CMIDs: wire.CMIDs{Local: 1, Remote: 2}, Private: private(wire.CMRTUPrivateSize, 0xaa, 0xbb)}},
	{"DREQ", `00000001 00000002 123456 00 aabb`, wire.AttrDisconnectRequest,
		&wire.CMDReq{CMIDs: wire.CMIDs{Local: 1, Remote: 2}, RemoteQPN: 0x123456, Private: private(wire.CMDReqPrivateSize, 0xaa, 0xbb)}},
	{"DREP", `00000001 00000002 aabb`, wire.AttrDisconnectReply,
		&wire.CMDRep{CMIDs: wire.CMIDs{Local: 1, Remote: 2}, Private: private(wire.CMDRepPrivateSize, 0xaa, 0xbb)}},
	{"SIDR_REQ", `
		47a19519 ffff 0000          # request; PKey
		0000000001111c06            # service ID: UDP's port 7174
		0040e451`, wire.AttrServiceIDResReq,
		&wire.CMSIDRReq{RequestID: 0x47a19519, PKey: 0xffff, ServiceID: 0x01111c06, Private: private(wire.CMSIDRReqPrivateSize, 0, 0x40, 0xe4, 0x51)}},
	{"SIDR_REP", `
		47a19519
		02 03 1234                  # status, bytes of information, vendor
		000068 56                   # QPN, vendor
		0000000001111c06
		01234567                    # QKey
		010203` + zeros(69) + `
		aabb`, wire.AttrServiceIDResReqResp,
		&wire.CMSIDRRep{RequestID: 0x47a19519, Status: 2, VendorID: 0x123456, QPN: 0x68, ServiceID: 0x01111c06, QKey: 0x01234567, Info: []byte{1, 2, 3},
			Private: private(wire.CMSIDRRepPrivateSize, 0xaa, 0xbb)}},
	{"LAP", `
		00000001 00000002 00000000
		123456 a0                   # QPN; response within 20
		00000000
		0001 0002 00000000000000000000ffff0a4d0001 00000000000000000000ffff0a4d0002
		22af8 0 11 40 3f            # flow label, traffic class, hop limit, rate
		38 98                       # SL 3, subnet local; ACK timeout 19
		aabb`, wire.AttrLoadAlternatePath,
		&wire.CMLap{CMIDs: wire.CMIDs{Local: 1, Remote: 2}, RemoteQPN: 0x123456, RemoteRespTimeout: 20,
			Alternate: wire.CMPath{LocalLID: 1, RemoteLID: 2, LocalGID: gidA, RemoteGID: gidB, FlowLabel: 0x22af8, PacketRate: 63,
				TrafficClass: 0x11, HopLimit: 64, SL: 3, SubnetLocal: true, LocalAckTimeout: 19},
			Private: private(wire.CMLapPrivateSize, 0xaa, 0xbb)}},
	{"APR", `
		00000001 00000002
		03 02 0000                  # bytes of information, status
		010203` + zeros(69) + `
		aabb`, wire.AttrAlternatePathResp,
		&wire.CMApr{CMIDs: wire.CMIDs{Local: 1, Remote: 2}, Status: wire.CMAprUnsupported, Info: []byte{1, 2, 3},
			Private: private(wire.CMAprPrivateSize, 0xaa, 0xbb)}},
}

func private(n int, b ...byte) []byte { return append(b, make([]byte, n-len(b))...) }

func zeros(n int) string { return string(bytes.Repeat([]byte("00"), n)) }

// cmOf makes a MAD of a message's bytes.
func cmOf(t testing.TB, a wire.Attribute, text string) wire.MAD {
	m := make(wire.MAD, wire.MADSize)
	m.PutCM(a, 0x2_1995a140, 0)
	copy(m[wire.MADHeaderSize:], golden(t, text))
	return m
}

func TestCM(t *testing.T) {
	for _, g := range goldensCM {
		m := cmOf(t, g.attr, g.bytes)
		fields, again, err := reencodeCM(m)
		if err != nil || !reflect.DeepEqual(fields, g.fields) {
			t.Errorf("%s: %v\n%+v, want\n%+v", g.name, err, fields, g.fields)
		}
		if !bytes.Equal(again, m) {
			t.Errorf("%s:\n%x, want\n%x", g.name, again, m)
		}
		if m[1] != 7 || m[2] != 2 || m[3] != 3 {
			t.Errorf("%s: header %x", g.name, m[:4])
		}
	}
}

// TestCMReserved: of a message of ones all bits come back but those that the specification reserves.
func TestCMReserved(t *testing.T) {
	type gap struct {
		at   int
		bits byte
	}
	gaps := func(from, to int) (all []gap) {
		for at := from; at < to; at++ {
			all = append(all, gap{at, 0xff})
		}
		return all
	}
	want := map[wire.Attribute][]gap{
		wire.AttrConnectRequest: append(append([]gap{{4, 0xff}}, gaps(24, 28)...), gap{90, 0x0f}, gap{91, 0xc0}, gap{94, 0x07}, gap{95, 0x07},
			gap{134, 0x0f}, gap{135, 0xc0}, gap{138, 0x07}, gap{139, 0x03}),
		wire.AttrMsgRcptAck:          {{8, 0x3f}, {9, 0x07}},
		wire.AttrConnectReject:       {{8, 0x3f}, {9, 0x01}},
		wire.AttrConnectReply:        {{27, 0x0f}},
		wire.AttrDisconnectRequest:   {{11, 0xff}},
		wire.AttrServiceIDResReq:     gaps(6, 8),
		wire.AttrServiceIDResReqResp: nil,
		wire.AttrLoadAlternatePath:   append(append(gaps(8, 12), gap{15, 0x07}), append(gaps(16, 20), gap{58, 0x0f}, gap{61, 0xc0}, gap{62, 0x07}, gap{63, 0x07})...),
		wire.AttrAlternatePathResp:   gaps(10, 12),
	}
	for _, g := range goldensCM {
		m := make(wire.MAD, wire.MADSize)
		m.PutCM(g.attr, 1, 2)
		d := m.Data()
		copy(d, bytes.Repeat([]byte{0xff}, len(d)))
		switch g.attr { // as long as there is room
		case wire.AttrConnectReject:
			d[9] = 72<<1 | 1
		case wire.AttrServiceIDResReqResp:
			d[5] = 72
		case wire.AttrAlternatePathResp:
			d[8] = 72
		}
		_, again, err := reencodeCM(m)
		if err != nil {
			t.Errorf("%s: %v", g.name, err)
		}
		var lost []gap
		for i, b := range again.Data() {
			if b != d[i] {
				lost = append(lost, gap{i, b ^ d[i]})
			}
		}
		if !reflect.DeepEqual(lost, want[g.attr]) {
			t.Errorf("%s: lost %x, want %x", g.name, lost, want[g.attr])
		}
	}
}

// TestCMErrors: information that is longer than its field.
func TestCMErrors(t *testing.T) {
	for a, at := range map[wire.Attribute]int{wire.AttrConnectReject: 9, wire.AttrServiceIDResReqResp: 5, wire.AttrAlternatePathResp: 8} {
		m := make(wire.MAD, wire.MADSize)
		m.PutCM(a, 1, 0)
		if m.Data()[at] = 73; a == wire.AttrConnectReject {
			m.Data()[at] = 73 << 1
		}
		if _, _, err := reencodeCM(m); !errors.Is(err, wire.ErrLength) {
			t.Errorf("%#x with 73 bytes of information: %v", a, err)
		}
	}
}

// TestCMCut: what is too long for its field is cut, and disturbs no other.
func TestCMCut(t *testing.T) {
	ones := bytes.Repeat([]byte{0xff}, 300)
	m := make(wire.MAD, wire.MADSize)
	(&wire.CMRej{Info: ones}).Put(m)
	if want := append(append([]byte{0, 72 << 1, 0, 0}, ones[:72]...), make([]byte, 148)...); !bytes.Equal(m.Data()[8:], want) {
		t.Errorf("REJ %x", m.Data())
	}
	(&wire.CMReq{LocalQPN: 1 << 31, PathMTU: 0x10, RetryCount: 8, TransportService: 4, Primary: wire.CMPath{FlowLabel: 1 << 20, PacketRate: 64}}).Put(m)
	if !bytes.Equal(m.Data(), make([]byte, 232)) {
		t.Errorf("REQ %x", m.Data())
	}
}

// TestCapturedCM parses every CM message of the captures, and writes it as the kernel did.
func TestCapturedCM(t *testing.T) {
	seen := 0
	captures(t, "cm_*", func(name string, i int, p captured) {
		var h wire.Header
		payload, err := wire.Parse(p.bth, &h)
		if err != nil || h.DestQP != wire.QP1 {
			return
		}
		m, err := wire.ParseMAD(payload)
		if err != nil {
			t.Fatalf("%s packet %d: %v", name, i, err)
		}
		fields, again, err := reencodeCM(m)
		if err != nil || !bytes.Equal(again, m) {
			t.Errorf("%s packet %d: %v\n%+v\n%x, want\n%x", name, i, err, fields, again, m)
		}
		seen++
	})
	if seen < 40 {
		t.Errorf("%d messages", seen)
	}
}

func TestCMAllocs(t *testing.T) {
	m := cmOf(t, wire.AttrConnectRequest, goldensCM[0].bytes)
	if n := testing.AllocsPerRun(100, func() {
		var q wire.CMReq
		q.Parse(m)
		q.Put(m)
		var j wire.CMRej
		_ = j.Parse(m)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzCM: no message panics, and what is parsed and written is parsed and written as the same.
func FuzzCM(f *testing.F) {
	for _, g := range goldensCM {
		f.Add([]byte(cmOf(f, g.attr, g.bytes)))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := wire.ParseMAD(b)
		if err != nil {
			return
		}
		first, once, err := reencodeCM(m)
		if err != nil {
			return
		}
		second, twice, err := reencodeCM(once)
		if err != nil || !reflect.DeepEqual(first, second) || !bytes.Equal(once, twice) {
			t.Fatalf("%v\n%+v\n%+v", err, first, second)
		}
	})
}
