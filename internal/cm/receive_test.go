package cm

import (
	"testing"

	"github.com/freeflow-rdma/freeflow/internal/wire"
)

// TestMalformed: what is no CM message is counted, and no more.
func TestMalformed(t *testing.T) {
	m, sent := alone(func(*Event) { t.Error("an event") })
	good := reqFor(1, 1, 1)
	change := func(at int, b byte) wire.MAD {
		x := append(wire.MAD(nil), good...)
		x[at] = b
		return x
	}
	long := compose(wire.AttrConnectReject, 1, &wire.CMRej{})
	long[wire.MADHeaderSize+9] = 73 << 1
	longSIDR := compose(wire.AttrServiceIDResReqResp, 1, &wire.CMSIDRRep{})
	longSIDR[wire.MADHeaderSize+5] = 73
	for i, x := range [][]byte{nil, good[:255], append(change(0, 1), 0), change(0, 2), change(1, 3), change(2, 1), change(3, 1), change(17, 0x0f),
		change(17, 0x1b), long, longSIDR} {
		if m.Receive(0, toPeer(1), x); m.counters.Malformed != uint64(i+1) {
			t.Errorf("%d is not malformed", i)
		}
	}
	if m.Receive(0, Route{}, good); m.counters.Malformed != 12 {
		t.Error("a message for nobody")
	}
	if len(*sent) != 0 {
		t.Errorf("%s is sent", describe((*sent)[0]))
	}
	empty(t, m)
}

// TestCounters: each message is counted where it belongs.
func TestCounters(t *testing.T) {
	w := newWorld(t)
	var fate int
	w.fate = func(int, wire.MAD) (int, int64, string) { fate++; return fate - 1, 0, "" } // the first is lost, the second comes once, the third twice
	w.event = func(side int, ev *Event) {
		if ev.Kind == Requested {
			_ = w.m[side].Extend(w.now, ev.ID, 24|Later)
		}
	}
	w.m[0].Connect(0, toPeer(0), &Req{PathMTU: 1, RemoteResponseTimeout: 20, MaxCMRetries: 3, LocalAckTimeout: 10})
	w.run(350_000_000)
	a, b := w.m[0].Counters(), w.m[1].Counters()
	req, mra := messageIndex(wire.AttrConnectRequest), messageIndex(wire.AttrMsgRcptAck)
	// REQ lost; REQ at 100 ms; REQ at 300 ms, twice, of which each is answered by an MRA: three and four times.
	if a.Sent[req] != 3 || a.Retried[req] != 2 || b.Received[req] != 3 || b.Duplicate[req] != 2 || b.Sent[mra] != 2 || a.Received[mra] != 7 || a.Duplicate[mra] != 6 {
		t.Errorf("%+v\n%+v", a, b)
	}
	if a.Connections != 1 || b.Connections != 1 {
		t.Errorf("%d and %d connections", a.Connections, b.Connections)
	}
}

// TestSelf: a party connects to itself.
func TestSelf(t *testing.T) {
	var m *Machine
	var queue [][]byte
	var events []Kind
	r := Route{Local: 1, Src: gids[0], Dst: gids[0]}
	m = New(Config{Rand: func() uint32 { return 3 }, GUID: func(Party) uint64 { return 1 },
		Send: func(_ Route, mad []byte) { queue = append(queue, append([]byte(nil), mad...)) },
		Emit: func(ev *Event) { events = append(events, ev.Kind) }})
	deliver := func() {
		for len(queue) > 0 {
			x := queue[0]
			queue = queue[1:]
			m.Receive(0, r, x)
		}
	}
	active := m.Connect(0, r, &Req{QPN: 0x11, PathMTU: 1})
	deliver()
	var passive ID
	for id := range m.conns {
		if id != active {
			passive = id
		}
	}
	for _, do := range []func() error{
		func() error { return m.Reply(0, passive, &Rep{QPN: 0x12}) },
		func() error { return m.Ready(0, active, nil) },
		func() error { return m.Disconnect(0, active) },
		func() error { return m.Disconnect(0, passive) },
	} {
		if err := do(); err != nil {
			t.Fatal(err)
		}
		deliver()
	}
	want := []Kind{Requested, Replied, Established, DisconnectRequested, Disconnected}
	if len(events) != len(want) {
		t.Fatalf("events %v", events)
	}
	for i := range want {
		if events[i] != want[i] {
			t.Fatalf("events %v", events)
		}
	}
	m.Tick(1 << 60)
	empty(t, m)
}

// FuzzReceive gives a machine in the midst of things messages that were changed on the way: it does not panic, its tables stay
// right, and all of it can be destroyed.
func FuzzReceive(f *testing.F) {
	for i, name := range []string{"cm_connect_disconnect", "cm_reject_by_app", "cm_rep_lost", "cm_udaddy_sidr", "cm_ib_send_bw_R"} {
		for j, c := range readCapture(f, name) {
			f.Add(uint8(i), uint16(j), []byte(c.mad), uint8(j), uint8(j), uint8(3*j))
		}
	}
	for _, a := range []wire.Attribute{wire.AttrMsgRcptAck, wire.AttrLoadAlternatePath, wire.AttrAlternatePathResp} {
		f.Add(uint8(1), uint16(2), []byte(compose(a, 1, &wire.CMRTU{CMIDs: wire.CMIDs{Local: 0xb000_0001, Remote: 0xa000_0001}})), uint8(1), uint8(2), uint8(3))
	}
	f.Fuzz(func(t *testing.T, stage uint8, at uint16, mad []byte, local, remote, way uint8) {
		w := newWorld(t)
		progress(w, int(stage%12))
		to := int(way & 1)
		r := toPeer(to)
		if way&2 != 0 {
			r.Dst[15] = 9
		}
		if len(mad) == wire.MADSize { // otherwise no message would ever be about a connection
			if way&4 == 0 {
				name(mad[wire.MADHeaderSize:], 1-to, local)
			}
			if way&8 == 0 {
				name(mad[wire.MADHeaderSize+4:], to, remote)
			}
			if way&16 == 0 {
				copy(mad[wire.MADHeaderSize+56:], r.Dst[:])
				copy(mad[wire.MADHeaderSize+72:], r.Src[:])
			}
		}
		for range 2 {
			w.m[to].Receive(w.now, r, mad)
			w.run(int64(at) * 1_000_000)
			if err := w.m[to].check(); err != nil {
				t.Fatal(err)
			}
		}
		for _, m := range w.m {
			for id := range m.conns {
				m.Destroy(w.now, id)
			}
		}
		w.run(3600 * 1_000_000_000)
		empty(t, w.m[0])
		empty(t, w.m[1])
	})
}

func name(b []byte, side int, id uint8) {
	copy(b, []byte{0xa0 + byte(side)<<4, 0, 0, id % 4})
}

// progress makes a connection, so far: requested, extended, replied, extended, established, disconnecting, disconnected.
func progress(w *world, stage int) {
	const a, b = 0xa000_0001, 0xb000_0001
	for i, do := range []func() error{
		func() error {
			w.m[0].Connect(w.now, toPeer(0), &Req{QPN: 0x63, PathMTU: 1, LocalAckTimeout: 10, RemoteResponseTimeout: 14, LocalResponseTimeout: 14, MaxCMRetries: 15})
			return nil
		},
		func() error { w.m[0].Resolve(w.now, toPeer(0), &SIDRReq{}); return nil },
		func() error { return w.m[1].Extend(w.now, b, 10) },
		func() error { return w.m[1].Reply(w.now, b, &Rep{QPN: 0x63}) },
		func() error { return w.m[0].Extend(w.now, a, 10) },
		func() error { return w.m[0].Ready(w.now, a, nil) },
		func() error { return w.m[1].ReplySIDR(w.now, b+1, &SIDRRep{}) },
		func() error { return w.m[0].Disconnect(w.now, a) },
		func() error { return w.m[1].Disconnect(w.now, b) },
		func() error { w.m[0].Destroy(w.now, a); return nil },
		func() error { w.m[1].Destroy(w.now, b); return nil },
	} {
		if i >= stage {
			return
		}
		if err := do(); err != nil {
			w.Fatalf("step %d: %v", i, err)
		}
		w.run(delay)
	}
}

// TestProgress: each step does what it should, so that FuzzReceive meets all states.
func TestProgress(t *testing.T) {
	seen := map[state]bool{}
	for stage := range 12 {
		w := newWorld(t)
		progress(w, stage)
		for _, m := range w.m {
			for _, c := range m.conns {
				seen[c.state] = true
			}
		}
	}
	for s := reqSent; s <= sidrReplied; s++ {
		if !seen[s] {
			t.Errorf("never %v", s)
		}
	}
}
