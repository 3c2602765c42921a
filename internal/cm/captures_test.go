package cm

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/bits"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/gopacket/gopacket/pcapgo"

	"github.com/freeflow-rdma/freeflow/internal/wire"
)

// captured is a CM message that a kernel sent to another.
type captured struct {
	at   int64
	from int // 10.77.0.1 is 0, 10.77.0.2 is 1
	mad  wire.MAD
}

func readCapture(t testing.TB, name string) (all []captured) {
	t.Helper()
	file, err := os.Open(filepath.Join("..", "wire", "testdata", "captures", name+".pcap"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	r, err := pcapgo.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	for {
		b, info, err := r.ReadPacketData()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		ip, b, err := wire.ParseIPv4(b[14:])
		if err != nil || ip.Protocol() != wire.ProtocolUDP {
			continue
		}
		udp, b, err := wire.ParseUDP(b)
		if err != nil || udp.DstPort() != 4791 {
			continue
		}
		var h wire.Header
		if payload, err := wire.Parse(b[:len(b)-wire.ICRCSize], &h); err == nil && h.DestQP == wire.QP1 {
			all = append(all, captured{info.Timestamp.UnixNano(), int(ip.Src().As4()[3]) - 1, payload})
		}
	}
}

// replay is a machine in the place of one of the two kernels of a capture: it is given what the other one sent, and told to do what this
// one did; what it sends is compared.
type replay struct {
	testing.TB
	side int
	all  []captured
	m    *Machine
	sent []wire.MAD
	got  int // of sent, that have been compared
	guid uint64
	last map[ID]Kind
}

func newReplay(t testing.TB, name string, side int) *replay {
	p := &replay{TB: t, side: side, all: readCapture(t, name), last: map[ID]Kind{}}
	p.m = New(Config{
		Rand:    func() uint32 { return 0 },
		GUID:    func(Party) uint64 { return p.guid },
		Foreign: func(Route) bool { return true },
		Send:    func(_ Route, mad []byte) { p.sent = append(p.sent, bytes.Clone(mad)) },
		Emit:    func(ev *Event) { p.last[ev.ID] = ev.Kind },
	})
	return p
}

func (p *replay) run() {
	for i, c := range p.all {
		if c.from != p.side {
			p.name(i)
			p.m.Receive(c.at, toPeer(p.side), c.mad)
			continue
		}
		if p.got == len(p.sent) {
			p.act(i)
		}
		if p.got == len(p.sent) { // it was sent because its time was over
			due, _ := p.m.Next()
			p.m.Tick(due)
		}
		if p.got == len(p.sent) {
			p.Fatalf("message %d, %s, is not sent", i, describe(c.mad))
		}
		p.compare(i, p.sent[p.got])
		p.got++
	}
	if p.got != len(p.sent) {
		p.Errorf("%d messages more than the kernel's, first %s", len(p.sent)-p.got, describe(p.sent[p.got]))
	}
}

// name has the ID that a REQ gets be the kernel's: it is in the next message of this side that goes to the REQ's ID.
func (p *replay) name(i int) {
	for _, c := range p.all[i:] {
		if c.from == p.side && c.mad.RemoteCommID() == p.all[i].mad.LocalCommID() {
			p.m.next = c.mad.LocalCommID()
			return
		}
	}
}

// act does what the kernel or its program did for message i.
func (p *replay) act(i int) {
	c := p.all[i]
	id := ID(c.mad.LocalCommID())
	var err error
	switch c.mad.Attribute() {
	case wire.AttrConnectRequest:
		p.connect(c)
	case wire.AttrConnectReply:
		err = p.reply(c)
	case wire.AttrReadyToUse:
		err = errors.Join(p.m.Extend(c.at, id, 24|Later), p.m.Ready(c.at, id, nil))
	case wire.AttrConnectReject:
		err = p.reject(c)
	case wire.AttrDisconnectRequest, wire.AttrDisconnectReply:
		err = p.m.Disconnect(c.at, id)
	case wire.AttrServiceIDResReq:
		var q wire.CMSIDRReq
		q.Parse(c.mad)
		p.m.next = q.RequestID
		p.m.Resolve(c.at, toPeer(p.side), &SIDRReq{ServiceID: q.ServiceID, PKey: q.PKey, Private: q.Private})
	case wire.AttrServiceIDResReqResp:
		var r wire.CMSIDRRep
		_ = r.Parse(c.mad)
		for id := range p.m.conns {
			err = p.m.ReplySIDR(c.at, id, &SIDRRep{Status: r.Status, QPN: r.QPN, QKey: r.QKey, Info: r.Info, Private: r.Private})
		}
	}
	if err != nil {
		p.Fatalf("message %d, %s: %v", i, describe(c.mad), err)
	}
}

func (p *replay) connect(c captured) {
	var q wire.CMReq
	q.Parse(c.mad)
	if p.m.conns[ID(q.LocalCommID)] != nil {
		return // again
	}
	p.guid, p.m.next = q.LocalCAGUID, q.LocalCommID
	p.m.Connect(c.at, toPeer(p.side), reqOf(c.mad, &q))
}

func (p *replay) reply(c captured) error {
	var f wire.CMRep
	f.Parse(c.mad)
	if p.m.conns[ID(f.Local)].state == repSent {
		return nil // again
	}
	p.guid = f.LocalCAGUID
	return errors.Join(p.m.Extend(c.at, ID(f.Local), 24|Later), p.m.Reply(c.at, ID(f.Local), repOf(c.mad, &f)))
}

func (p *replay) reject(c captured) error {
	var j wire.CMRej
	_ = j.Parse(c.mad)
	rej := &Rej{Reason: j.Reason, Info: j.Info, Private: j.Private}
	if j.Local != 0 { // the program did it, later
		return errors.Join(p.m.Extend(c.at, ID(j.Local), 24|Later), p.m.Reject(c.at, ID(j.Local), rej))
	}
	for id := range p.m.conns {
		return p.m.Reject(c.at, id, rej)
	}
	return ErrUnknown
}

// compare holds a message against the kernel's. A kernel's transactions are numbered by its ID in the other byte order, ours by our ID.
func (p *replay) compare(i int, got wire.MAD) {
	want := p.all[i].mad
	if got.TID() == p.m.tidHigh|uint64(want.LocalCommID()) && uint32(want.TID()) == bits.ReverseBytes32(want.LocalCommID()) {
		got = bytes.Clone(got)
		copy(got[8:16], want[8:16])
	}
	if !bytes.Equal(got, want) {
		p.Errorf("message %d:\n%s\n%x, want %s\n%x", i, describe(got), got, describe(want), want)
	}
}

// TestCaptures puts a machine into the place of either kernel.
func TestCaptures(t *testing.T) {
	for _, x := range []struct {
		name  string
		count int
		last  [2][]Kind // that each side's user hears of each connection
	}{
		{"cm_connect_disconnect", 5, [2][]Kind{{Disconnected}, {DisconnectRequested}}},
		{"cm_reject_by_app", 2, [2][]Kind{{Rejected}, {Requested}}},
		{"cm_reject_no_listener", 2, [2][]Kind{{Rejected}, {Requested}}},
		{"cm_rep_lost", 6, [2][]Kind{{Disconnected}, {DisconnectRequested}}},
		{"cm_req_lost", 6, [2][]Kind{{Disconnected}, {DisconnectRequested}}},
		{"cm_udaddy_sidr", 2, [2][]Kind{{SIDRReplied}, {SIDRRequested}}},
		{"cm_server_killed", 5, [2][]Kind{{DisconnectRequested}, {Disconnected}}},
		{"cm_ucmatose", 5, [2][]Kind{{DisconnectRequested}, {Disconnected}}},
		{"cm_rping", 5, [2][]Kind{{Disconnected}, {DisconnectRequested}}},
		{"cm_rstream_rsocket", 5, [2][]Kind{{Disconnected}, {DisconnectRequested}}},
		{"cm_rstream_rsocket_big", 5, [2][]Kind{{Disconnected}, {DisconnectRequested}}},
		{"cm_ib_send_bw_R", 13, [2][]Kind{{DisconnectRequested, Disconnected}}},
	} {
		for side := range 2 {
			if x.last[side] == nil {
				continue // its DREQs cross, and the capture is in the order of the other side
			}
			t.Run(fmt.Sprintf("%s/%d", x.name, side), func(t *testing.T) {
				p := newReplay(t, x.name, side)
				p.run()
				if len(p.all) != x.count {
					t.Errorf("%d messages", len(p.all))
				}
				var last []Kind
				for _, id := range slices.Sorted(maps.Keys(p.last)) {
					last = append(last, p.last[id])
				}
				if !slices.Equal(last, x.last[side]) {
					t.Errorf("ends with %v", last)
				}
				if err := p.m.check(); err != nil {
					t.Error(err)
				}
			})
		}
	}
}
