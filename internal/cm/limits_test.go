package cm

import (
	"testing"

	"github.com/freeflow-rdma/freeflow/internal/wire"
)

// alone is a machine whose messages go nowhere.
func alone(emit func(ev *Event)) (m *Machine, sent *[]wire.MAD) {
	n := uint32(0)
	sent = &[]wire.MAD{}
	return New(Config{
		Rand: func() uint32 { n++; return n },
		GUID: func(Party) uint64 { return 1 },
		Send: func(_ Route, mad []byte) { *sent = append(*sent, append(wire.MAD(nil), mad...)) },
		Emit: emit,
	}), sent
}

// reqFor is a REQ that a side receives, with these numbers.
func reqFor(to int, id, qpn uint32) wire.MAD {
	r := toPeer(to)
	return compose(wire.AttrConnectRequest, uint64(id), &wire.CMReq{LocalCommID: id, LocalQPN: qpn, PathMTU: 3, LocalRespTimeout: 20, MaxCMRetries: 15,
		Primary: wire.CMPath{LocalGID: r.Dst, RemoteGID: r.Src, LocalAckTimeout: 19}})
}

func lastOf(t *testing.T, sent *[]wire.MAD) wire.MAD {
	t.Helper()
	if len(*sent) == 0 {
		t.Fatal("nothing is sent")
	}
	return (*sent)[len(*sent)-1]
}

// TestUnansweredRequests: of REQs and SIDR_REQs that a program does not answer, so many are kept for it; other parties are not touched.
func TestUnansweredRequests(t *testing.T) {
	var ids []ID
	m, sent := alone(func(ev *Event) { ids = append(ids, ev.ID) })
	r := toPeer(1)
	for i := range uint32(MaxRequests + 10) {
		if i%2 == 0 {
			m.Receive(0, r, reqFor(1, 1+i, 1+i))
		} else {
			m.Receive(0, r, compose(wire.AttrServiceIDResReq, 1, &wire.CMSIDRReq{RequestID: 1 + i}))
		}
	}
	if len(ids) != MaxRequests || m.counters.Limited != 10 || len(*sent) != 0 || m.counters.Connections != MaxRequests {
		t.Errorf("%d requests, %d limited, %d answers, %d connections", len(ids), m.counters.Limited, len(*sent), m.counters.Connections)
	}
	if err := m.check(); err != nil {
		t.Error(err)
	}
	other := r
	other.Local, other.Src[15] = 77, 9
	q := reqFor(1, 1, 1)
	copy(q[wire.MADHeaderSize+72:], other.Src[:])
	if m.Receive(0, other, q); len(ids) != MaxRequests+1 {
		t.Error("another party gets nothing")
	}
	// An answer makes room.
	if err := m.Reply(0, ids[0], &Rep{QPN: 5}); err != nil {
		t.Fatal(err)
	}
	if m.Receive(0, r, reqFor(1, 1_000_000, 1_000_000)); len(ids) != MaxRequests+2 {
		t.Error("no room after an answer")
	}
	for _, id := range ids {
		m.Destroy(1, id)
	}
	m.Tick(1 << 60)
	empty(t, m)
}

// TestConnections: one more is not made, and its REQ is rejected for want of resources.
func TestConnections(t *testing.T) {
	m, sent := alone(func(*Event) {})
	r := toPeer(0)
	for i := range uint32(MaxConnections) {
		if m.Connect(0, r, &Req{QPN: i}) == 0 {
			t.Fatalf("connection %d is refused", i)
		}
	}
	if m.Connect(0, r, &Req{}) != 0 || m.Resolve(0, r, &SIDRReq{}) != 0 {
		t.Error("one more is made")
	}
	*sent = nil
	m.Receive(0, r, reqFor(0, 7, 7))
	var j wire.CMRej
	if x := lastOf(t, sent); x.Attribute() != wire.AttrConnectReject || j.Parse(x) != nil || j.Reason != RejNoResources || j.Remote != 7 {
		t.Errorf("answer %s", describe(x))
	}
	*sent = nil
	m.Receive(0, r, compose(wire.AttrServiceIDResReq, 1, &wire.CMSIDRReq{RequestID: 1}))
	if len(*sent) != 0 || m.counters.Limited != 4 {
		t.Errorf("%d answers, %d limited", len(*sent), m.counters.Limited)
	}
	m.RemoveParty(r.Local)
	m.RemoveParty(99)
	if len(*sent) != 0 {
		t.Error("the removal of a party is told")
	}
	empty(t, m)
}

// TestMemories: the answers to requests that are over are kept, but not without end.
func TestMemories(t *testing.T) {
	var last ID
	m, sent := alone(func(ev *Event) { last = ev.ID })
	for i := range uint32(maxMemories + 100) {
		m.Receive(0, toPeer(1), reqFor(1, 1+i, 1+i))
		if err := m.Reject(0, last, &Rej{Reason: RejConsumerDefined}); err != nil {
			t.Fatal(err)
		}
	}
	if len(m.conns) != maxMemories || m.counters.Connections != 0 {
		t.Errorf("%d memories, %d connections", len(m.conns), m.counters.Connections)
	}
	*sent = nil
	if m.Receive(0, toPeer(1), reqFor(1, 1, 1)); len(*sent) != 1 {
		t.Error("a duplicate of the first is not answered")
	}
	if err := m.check(); err != nil {
		t.Error(err)
	}
	m.Tick(1 << 60)
	empty(t, m)
}

// TestPatienceIsBounded: what a peer asks for may be hours; what it gets is minutes, and no storm.
func TestPatienceIsBounded(t *testing.T) {
	var id ID
	for _, timeout := range []uint8{0, 31} {
		m, sent := alone(func(ev *Event) { id = ev.ID })
		q := reqFor(1, 7, 7)
		q[wire.MADHeaderSize+47] = timeout << 3
		q[wire.MADHeaderSize+95] = timeout << 3
		m.Receive(0, toPeer(1), q)
		if err := m.Reply(0, id, &Rep{QPN: 5}); err != nil {
			t.Fatal(err)
		}
		m.Receive(0, toPeer(1), compose(wire.AttrMsgRcptAck, 7, &wire.CMMRA{CMIDs: wire.CMIDs{Local: 7, Remote: uint32(id)}, Message: wire.CMMessageREP, ServiceTimeout: 31}))
		now, ok := m.Next()
		for ; ok; now, ok = m.Next() {
			m.Tick(now)
		}
		end := now
		for at, ok := m.Next(); ok; at, ok = m.Next() {
			end = at
		}
		if len(*sent) > 160 || end > 30*60*1_000_000_000 {
			t.Errorf("timeout %d: %d messages, until %d s", timeout, len(*sent), end/1_000_000_000)
		}
		empty(t, m)
	}
}

// TestPrivateData: what does not fit is refused, and changes nothing.
func TestPrivateData(t *testing.T) {
	w := newWorld(t)
	big := make([]byte, 256)
	a, b := w.m[0], w.m[1]
	if a.Connect(0, toPeer(0), &Req{Private: big[:93]}) != 0 || a.Resolve(0, toPeer(0), &SIDRReq{Private: big[:217]}) != 0 {
		t.Error("too much is sent")
	}
	id := a.Connect(0, toPeer(0), &Req{Private: big[:92], PathMTU: 1, RemoteResponseTimeout: 20, LocalResponseTimeout: 20})
	w.run(delay)
	const passive = 0xb000_0001
	for _, err := range []error{b.Reply(0, passive, &Rep{Private: big[:197]}), b.Reject(0, passive, &Rej{Private: big[:149]}), b.Reject(0, passive, &Rej{Info: big[:73]})} {
		if err != ErrPrivate {
			t.Error(err)
		}
	}
	if err := b.Reply(0, passive, &Rep{Private: big[:196], QPN: 5}); err != nil {
		t.Error(err)
	}
	w.run(delay)
	if err := a.Ready(0, id, big[:225]); err != ErrPrivate {
		t.Error(err)
	}
	if err := a.Ready(0, id, big[:224]); err != nil {
		t.Error(err)
	}
}

// TestIDs: they are not used again while they are taken, and never 0.
func TestIDs(t *testing.T) {
	m, _ := alone(func(*Event) {})
	m.next, m.mask = 5, 5
	first := m.Connect(0, toPeer(0), &Req{})
	m.next = 6
	second := m.Connect(0, toPeer(0), &Req{})
	m.next = 6
	third := m.Connect(0, toPeer(0), &Req{})
	if first == 0 || second == third || second == 0 || third == 0 {
		t.Errorf("%d, %d, %d", first, second, third)
	}
}

// empty: nothing is left of what a machine had.
func empty(t *testing.T, m *Machine) {
	t.Helper()
	if len(m.conns)+len(m.remotes)+len(m.qpns)+len(m.parties)+len(m.timers)+m.counters.Connections+m.counters.TimeWait != 0 {
		t.Errorf("%d connections, %d names, %d QPNs, %d parties, %d timers are left", len(m.conns), len(m.remotes), len(m.qpns), len(m.parties), len(m.timers))
	}
	if at, ok := m.Next(); ok {
		t.Errorf("something is due at %d", at)
	}
}
