package cm

import (
	"bytes"
	"maps"
	"slices"

	"github.com/freeflow-rdma/freeflow/internal/wire"
)

// Disconnect ends a connection: it sends a DREQ (Disconnected follows, then TimewaitExit), or, after DisconnectRequested, a DREP
// (TimewaitExit follows).
func (m *Machine) Disconnect(now int64, id ID) error {
	c := m.get(id)
	if c == nil {
		return ErrUnknown
	}
	switch c.state {
	case established:
		m.requestRelease(now, c)
	case dreqReceived:
		m.release(now, c)
	default:
		return ErrState
	}
	return nil
}

func (m *Machine) requestRelease(now int64, c *conn) {
	c.tid = m.tid(c)
	c.msg = compose(wire.AttrDisconnectRequest, c.tid, &wire.CMDReq{CMIDs: c.ids(), RemoteQPN: c.remoteQPN})
	m.become(c, dreqSent)
	m.await(now, c)
}

func (m *Machine) release(now int64, c *conn) {
	c.msg = nil
	m.once(c.route, wire.AttrDisconnectReply, c.tid, &wire.CMDRep{CMIDs: c.ids()})
	m.enterTimewait(now, c)
}

// stale ends a connection whose peer has shown that it forgot it (12.9.8.3.1). The user hears of it when the peer answers, or does not.
func (m *Machine) stale(now int64, c *conn) {
	if c.state == established {
		m.requestRelease(now, c)
	}
}

// PeersGone ends the connections whose peer is known to be gone for good, as if it had sent a DREQ: one that was killed with thousands of
// connections, or whose host died, may not have come to send them. gone is asked about the route of each.
func (m *Machine) PeersGone(now int64, gone func(Route) bool) {
	for _, id := range slices.Sorted(maps.Keys(m.conns)) { // in an order that does not change from run to run
		c := m.conns[id]
		switch c.state {
		case repSent, mraRepReceived, established, dreqSent:
		default:
			continue
		}
		if !gone(c.route) {
			continue
		}
		m.disarm(c)
		c.msg = nil
		if c.orphan {
			m.enterTimewait(now, c)
			continue
		}
		m.become(c, dreqReceived)
		m.emit(c, &Event{Kind: DisconnectRequested})
	}
}

// receiveDREQ takes the peer's wish to disconnect. Of a connection that is not there it may well believe that it is: it is told, as the
// kernel does.
func (m *Machine) receiveDREQ(now int64, r Route, x wire.MAD) {
	var q wire.CMDReq
	q.Parse(x)
	c := m.exactly(r, q.CMIDs)
	if c == nil {
		m.once(r, wire.AttrDisconnectReply, x.TID(), &wire.CMDRep{CMIDs: wire.CMIDs{Local: q.Remote, Remote: q.Local}})
		return
	}
	if c.localQPN != q.RemoteQPN {
		m.counters.Unexpected++
		return
	}
	switch c.state {
	case repSent, mraRepReceived, established, dreqSent:
		m.disarm(c)
		c.tid, c.msg = x.TID(), nil
		m.become(c, dreqReceived)
		if c.orphan {
			m.release(now, c)
			return
		}
		m.emit(c, &Event{Kind: DisconnectRequested, Private: bytes.Clone(q.Private)})
	case timewait:
		m.duplicate(c, x, 0)
		m.once(r, wire.AttrDisconnectReply, x.TID(), &wire.CMDRep{CMIDs: c.ids()})
	case dreqReceived:
		m.duplicate(c, x, 0)
	default:
		m.counters.Unexpected++
	}
}

// receiveDREP ends a connection. After DREQs that crossed it may come before the user's answer to the peer's.
func (m *Machine) receiveDREP(now int64, r Route, x wire.MAD) {
	var p wire.CMDRep
	p.Parse(x)
	c := m.exactly(r, p.CMIDs)
	switch {
	case c == nil:
	case c.state == dreqSent || c.state == dreqReceived:
		c.msg = nil
		m.enterTimewait(now, c)
		m.emit(c, &Event{Kind: Disconnected, Private: bytes.Clone(p.Private)})
	case c.state == timewait:
		m.duplicate(c, x, 0)
	default:
		m.counters.Unexpected++
	}
}
