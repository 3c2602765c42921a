package cm

import (
	"bytes"

	"github.com/freeflow-rdma/freeflow/internal/wire"
)

// receiveREQ takes a request for a connection (12.9.8.3).
func (m *Machine) receiveREQ(now int64, r Route, x wire.MAD) {
	var q wire.CMReq
	q.Parse(x)
	k := remoteKeyOf(r, q.LocalCommID)
	old := m.remotes[k]
	switch {
	case old == nil:
		old = m.qpns[qpnKeyOf(r, q.LocalQPN)]
	case old.isOf(x, &q):
		m.duplicateREQ(old, x)
		return
	case old.state == timewait: // what is over is not in the way
		delete(m.remotes, k)
		old = m.qpns[qpnKeyOf(r, q.LocalQPN)]
	}
	if old != nil { // the peer began anew, with an ID or a queue pair that is in use here
		m.refuse(r, x, wire.CMMessageREQ, RejStaleConn)
		m.stale(now, old)
		return
	}
	if reason := whyNot(r, &q); reason != 0 {
		m.counters.Malformed++
		m.refuse(r, x, wire.CMMessageREQ, reason)
		return
	}
	m.requested(r, x, &q)
}

// isOf says that a REQ with c's ID is the one that made c, and not that of a peer that began to count again.
func (c *conn) isOf(x wire.MAD, q *wire.CMReq) bool {
	return c.passive && c.reqTID == x.TID() && c.serviceID == q.ServiceID && c.remoteQPN == q.LocalQPN && c.remotePSN == q.StartingPSN
}

// duplicateREQ answers a REQ that came before with what its answer was, if there is one.
func (m *Machine) duplicateREQ(c *conn, x wire.MAD) {
	switch c.state {
	case mraReqSent:
		m.duplicate(c, x, wire.AttrMsgRcptAck)
	case repSent, mraRepReceived:
		m.duplicate(c, x, wire.AttrConnectReply)
	case timewait:
		m.duplicate(c, x, wire.AttrConnectReject)
	default:
		m.duplicate(c, x, 0)
	}
}

// whyNot says why a REQ can make no connection; 0: it can.
func whyNot(r Route, q *wire.CMReq) uint16 {
	switch {
	case q.TransportService > wire.CMTransportUC:
		return RejInvalidTransport
	case q.PathMTU < 1 || q.PathMTU > 5:
		return RejInvalidMTU
	case q.Primary.LocalGID != r.Dst || q.Primary.RemoteGID != r.Src: // the connection is to run where its messages do
		return RejInvalidGID
	}
	return 0
}

func (m *Machine) requested(r Route, x wire.MAD, q *wire.CMReq) {
	if p := m.parties[r.Local]; p != nil && p.requests >= MaxRequests {
		m.counters.Limited++ // the peer asks again
		return
	}
	c := m.add(r, reqReceived)
	if c == nil {
		m.refuse(r, x, wire.CMMessageREQ, RejNoResources)
		return
	}
	c.passive, c.tid, c.reqTID = true, x.TID(), x.TID()
	c.serviceID, c.remoteQPN, c.remotePSN = q.ServiceID, q.LocalQPN, q.StartingPSN
	c.alternate = q.Alternate.LocalLID != 0 || q.Alternate.LocalGID != [16]byte{}
	c.life = wait(q.Primary.LocalAckTimeout)
	c.try, c.retries = max(wait(q.LocalRespTimeout), shortest), int64(q.MaxCMRetries)
	m.name(c, remoteKeyOf(r, q.LocalCommID))
	m.occupy(c, q.LocalQPN)
	m.emit(c, &Event{Kind: Requested, Req: reqOf(x, q)})
}

func reqOf(x wire.MAD, q *wire.CMReq) *Req {
	p := &q.Primary
	return &Req{ServiceID: q.ServiceID, RemoteGUID: q.LocalCAGUID, QPN: q.LocalQPN, StartPSN: q.StartingPSN, QKey: q.LocalQKey,
		QPType: QPType(q.TransportService), ResponderResources: q.ResponderResources, InitiatorDepth: q.InitiatorDepth,
		RetryCount: q.RetryCount, RNRRetryCount: q.RNRRetryCount, PathMTU: q.PathMTU, LocalAckTimeout: p.LocalAckTimeout,
		RemoteResponseTimeout: q.RemoteRespTimeout, LocalResponseTimeout: q.LocalRespTimeout, MaxCMRetries: q.MaxCMRetries,
		SRQ: q.SRQ, FlowControl: q.FlowControl, PKey: q.PKey, FlowLabel: p.FlowLabel, TrafficClass: p.TrafficClass,
		HopLimit: p.HopLimit, SL: p.SL, PacketRate: p.PacketRate, ECE: ECE{q.VendorID, x.Modifier()}, Private: bytes.Clone(q.Private)}
}

// Reply accepts a connection that was Requested: it sends a REP. Established, Rejected or Unreachable follows.
func (m *Machine) Reply(now int64, id ID, p *Rep) error {
	c := m.get(id)
	switch {
	case c == nil:
		return ErrUnknown
	case c.state != reqReceived && c.state != mraReqSent:
		return ErrState
	case len(p.Private) > MaxRepPrivate:
		return ErrPrivate
	}
	f := &wire.CMRep{CMIDs: c.ids(), LocalQKey: p.QKey, LocalQPN: p.QPN, VendorID: p.ECE.VendorID, StartingPSN: p.StartPSN,
		ResponderResources: p.ResponderResources, InitiatorDepth: p.InitiatorDepth, TargetAckDelay: p.TargetAckDelay,
		FlowControl: p.FlowControl, RNRRetryCount: p.RNRRetryCount, SRQ: p.SRQ, LocalCAGUID: m.conf.GUID(c.route.Local), Private: p.Private}
	if c.alternate {
		f.FailoverAccepted = 1 // not supported
	}
	c.localQPN = p.QPN & 0xff_ffff
	c.msg = composeECE(wire.AttrConnectReply, c.tid, p.ECE.Options, f)
	m.become(c, repSent)
	m.await(now, c)
	return nil
}

// receiveRTU ends the passive side's handshake.
func (m *Machine) receiveRTU(r Route, x wire.MAD) {
	var u wire.CMRTU
	u.Parse(x)
	c := m.exactly(r, u.CMIDs)
	if c == nil { // the kernel is silent; so the peer need not believe in what is over
		m.refuse(r, x, wire.CMMessageOther, RejInvalidCommID)
		return
	}
	switch c.state {
	case repSent, mraRepReceived:
		m.establish(c, bytes.Clone(u.Private))
	case timewait:
		m.duplicate(c, x, wire.AttrConnectReject)
	default:
		m.duplicate(c, x, 0)
	}
}

func (m *Machine) establish(c *conn, private []byte) {
	m.disarm(c)
	c.msg = nil
	m.become(c, established)
	m.emit(c, &Event{Kind: Established, Private: private})
}

// Established tells the passive side's machine that data came before the RTU (IB_EVENT_COMM_EST): Established follows. Of a
// connection that is established already nothing follows.
func (m *Machine) Established(_ int64, id ID) error {
	c := m.get(id)
	if c == nil {
		return ErrUnknown
	}
	switch c.state {
	case repSent, mraRepReceived:
		m.establish(c, nil)
		return nil
	case established:
		return nil
	}
	return ErrState
}
