package cm

import (
	"bytes"

	"github.com/freeflow-rdma/freeflow/internal/wire"
)

// Reject refuses what was Requested or Replied, or gives up what was not answered yet: it sends a REJ. Nothing follows, unless a REP
// had been sent: then TimewaitExit.
func (m *Machine) Reject(now int64, id ID, rej *Rej) error {
	c := m.get(id)
	switch {
	case c == nil:
		return ErrUnknown
	case len(rej.Info) > MaxRejInfo || len(rej.Private) > MaxRejPrivate:
		return ErrPrivate
	}
	switch c.state {
	case reqSent, mraReqReceived:
		m.reject(c, rej)
		m.remove(c)
	case reqReceived, mraReqSent, repReceived, mraRepSent:
		m.remember(now, c, timewait, m.reject(c, rej))
	case repSent, mraRepReceived:
		m.revoke(now, c, rej)
	default:
		return ErrState
	}
	return nil
}

// revoke rejects a connection whose REP the peer may have seen.
func (m *Machine) revoke(now int64, c *conn, rej *Rej) {
	c.msg = m.reject(c, rej)
	m.enterTimewait(now, c)
	m.insist(now, c)
}

// rejectedMessages are what a REJ is about, as events tell it.
var rejectedMessages = [4]wire.Attribute{wire.CMMessageREQ: wire.AttrConnectRequest, wire.CMMessageREP: wire.AttrConnectReply}

// receiveREJ ends a connection that the peer does not want (any more).
func (m *Machine) receiveREJ(now int64, r Route, x wire.MAD) {
	var j wire.CMRej
	if j.Parse(x) != nil {
		m.counters.Malformed++
		return
	}
	c := m.rejected(r, &j)
	if c == nil {
		return
	}
	switch c.state {
	case reqSent, mraReqReceived, repSent, mraRepReceived, reqReceived, mraReqSent:
		if j.Reason == RejStaleConn {
			m.enterTimewait(now, c)
		} else {
			m.remove(c)
		}
	case dreqSent, repReceived, mraRepSent, established:
		m.enterTimewait(now, c)
	default:
		m.duplicate(c, x, 0)
		return
	}
	m.emit(c, &Event{Kind: Rejected, Msg: rejectedMessages[j.Message],
		Rej: &Rej{Reason: j.Reason, Info: bytes.Clone(j.Info), Private: bytes.Clone(j.Private)}})
}

// rejected finds what a REJ is about. Who gave up waiting may not know our ID, and then tells only its own.
func (m *Machine) rejected(r Route, j *wire.CMRej) *conn {
	if j.Reason == RejTimeout {
		if c := m.remotes[remoteKeyOf(r, j.Local)]; c != nil && (j.Remote == 0 || j.Remote == uint32(c.id)) {
			return c
		}
	}
	c := m.lookup(r, j.Remote)
	if c != nil && c.known && !c.is(j.CMIDs) { // also a REJ of a REQ whose duplicate has been replied to
		m.counters.Unknown++
		return nil
	}
	if c != nil && (c.state == sidrReqSent || c.state == sidrReqReceived || c.state == sidrReplied) {
		m.counters.Unexpected++
		return nil
	}
	return c
}
