package cm

import "github.com/freeflow-rdma/freeflow/internal/wire"

// Receive takes a MAD that came for a party: r.Src is ours, r.Dst the peer's. The bytes are not kept.
func (m *Machine) Receive(now int64, r Route, mad []byte) {
	x, err := wire.ParseMAD(mad)
	if err != nil || x.Class() != wire.ClassCM || x.ClassVersion() != wire.ClassVersionCM || x.Method() != wire.MethodSend ||
		messageIndex(x.Attribute()) < 0 || r.Local == 0 {
		m.counters.Malformed++
		return
	}
	m.counters.Received[messageIndex(x.Attribute())]++
	m.dispatch(now, r, x)
}

func (m *Machine) dispatch(now int64, r Route, x wire.MAD) {
	switch x.Attribute() {
	case wire.AttrConnectRequest:
		m.receiveREQ(now, r, x)
	case wire.AttrMsgRcptAck:
		m.receiveMRA(now, r, x)
	case wire.AttrConnectReject:
		m.receiveREJ(now, r, x)
	case wire.AttrConnectReply:
		m.receiveREP(now, r, x)
	case wire.AttrReadyToUse:
		m.receiveRTU(r, x)
	case wire.AttrDisconnectRequest:
		m.receiveDREQ(now, r, x)
	case wire.AttrDisconnectReply:
		m.receiveDREP(now, r, x)
	case wire.AttrServiceIDResReq:
		m.receiveSIDRReq(r, x)
	case wire.AttrServiceIDResReqResp:
		m.receiveSIDRRep(r, x)
	case wire.AttrLoadAlternatePath:
		m.receiveLAP(r, x)
	default:
		m.counters.Unexpected++ // an APR: we send no LAP
	}
}

// lookup finds the connection that a message is about by our ID. A message that came by another route is about none, and nobody can
// tell from what we answer whether there is one.
func (m *Machine) lookup(r Route, id uint32) *conn {
	c := m.conns[ID(id)]
	switch {
	case c == nil:
		m.counters.Unknown++
	case !sameWay(c.route, r):
		m.counters.Forged++
		c = nil
	}
	return c
}

// exactly is lookup for a message that must have both IDs.
func (m *Machine) exactly(r Route, ids wire.CMIDs) *conn {
	c := m.lookup(r, ids.Remote)
	if c != nil && !c.is(ids) {
		m.counters.Unknown++
		c = nil
	}
	return c
}

// duplicate counts a message that came before, and answers it with what was answered, if that is of the kind a.
func (m *Machine) duplicate(c *conn, x wire.MAD, a wire.Attribute) {
	m.counters.Duplicate[messageIndex(x.Attribute())]++
	if c.msg != nil && c.msg.Attribute() == a {
		m.counters.Retried[messageIndex(a)]++
		m.transmit(c.route, c.msg)
	}
}

// receiveLAP refuses: there are no alternate paths. The kernel ignores LAP on RoCE; an answer is sooner over.
func (m *Machine) receiveLAP(r Route, x wire.MAD) {
	var l wire.CMLap
	l.Parse(x)
	f := wire.CMApr{CMIDs: wire.CMIDs{Local: l.Remote, Remote: l.Local}, Status: wire.CMAprUnsupported}
	if m.exactly(r, l.CMIDs) == nil {
		f.Status = wire.CMAprInvalidCommID
	}
	m.once(r, wire.AttrAlternatePathResp, x.TID(), &f)
}
