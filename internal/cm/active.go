package cm

import (
	"bytes"

	"github.com/freeflow-rdma/freeflow/internal/wire"
)

// Connect sends a REQ. Replied, Rejected or Unreachable follows. The result is 0, and nothing is sent, if the party has too many
// connections already or the private data is too long.
func (m *Machine) Connect(now int64, r Route, q *Req) ID {
	if len(q.Private) > MaxReqPrivate {
		return 0
	}
	c := m.add(r, reqSent)
	if c == nil {
		return 0
	}
	c.tid, c.serviceID, c.localQPN = m.tid(c), q.ServiceID, q.QPN&0xff_ffff
	c.msg = composeECE(wire.AttrConnectRequest, c.tid, q.ECE.Options, m.fieldsOfREQ(c, q))
	c.life = wait(q.LocalAckTimeout)
	c.try = max(wait(q.LocalAckTimeout)+wait(q.RemoteResponseTimeout), shortest) // there, answer, and back
	c.retries = int64(min(q.MaxCMRetries, 15))
	m.await(now, c)
	return c.id
}

func (m *Machine) fieldsOfREQ(c *conn, q *Req) *wire.CMReq {
	f := &wire.CMReq{LocalCommID: uint32(c.id), VendorID: q.ECE.VendorID, ServiceID: q.ServiceID, LocalCAGUID: m.conf.GUID(c.route.Local),
		LocalQKey: q.QKey, LocalQPN: q.QPN, StartingPSN: q.StartPSN, TransportService: uint8(q.QPType),
		ResponderResources: q.ResponderResources, InitiatorDepth: q.InitiatorDepth,
		RetryCount: q.RetryCount, RNRRetryCount: q.RNRRetryCount, PathMTU: q.PathMTU,
		RemoteRespTimeout: q.RemoteResponseTimeout, LocalRespTimeout: q.LocalResponseTimeout, MaxCMRetries: min(q.MaxCMRetries, 15),
		SRQ: q.SRQ, FlowControl: q.FlowControl, PKey: pkey(q.PKey), Private: q.Private,
		Primary: wire.CMPath{LocalLID: wire.CMAnyLID, RemoteLID: wire.CMAnyLID, LocalGID: c.route.Src, RemoteGID: c.route.Dst,
			FlowLabel: q.FlowLabel, PacketRate: q.PacketRate, TrafficClass: q.TrafficClass, HopLimit: q.HopLimit, SL: q.SL,
			LocalAckTimeout: q.LocalAckTimeout}}
	if q.HopLimit == 0 {
		f.Primary.HopLimit = 64
	}
	return f
}

func pkey(p uint16) uint16 {
	if p == 0 {
		return 0xffff
	}
	return p
}

// receiveREP takes the answer to our REQ.
func (m *Machine) receiveREP(now int64, r Route, x wire.MAD) {
	var p wire.CMRep
	p.Parse(x)
	c := m.lookup(r, p.Remote)
	if c == nil || c.known && c.remote != p.Local {
		m.refuse(r, x, wire.CMMessageREP, RejInvalidCommID) // the kernel is silent; so the peer need not wait
		return
	}
	switch c.state {
	case reqSent, mraReqReceived:
		m.replied(now, c, x, &p)
	case mraRepSent:
		m.duplicate(c, x, wire.AttrMsgRcptAck)
	case established:
		m.duplicate(c, x, wire.AttrReadyToUse)
	case timewait:
		m.duplicate(c, x, wire.AttrConnectReject)
	case repReceived, dreqSent, dreqReceived:
		m.duplicate(c, x, 0)
	default:
		m.counters.Unexpected++
	}
}

func (m *Machine) replied(now int64, c *conn, x wire.MAD, p *wire.CMRep) {
	r := c.route
	k := remoteKeyOf(r, p.Local)
	if m.remotes[k] != nil {
		m.counters.Unexpected++ // the peer has another connection of this name
		return
	}
	if old := m.qpns[qpnKeyOf(r, p.LocalQPN)]; old != nil {
		m.refuse(r, x, wire.CMMessageREP, RejStaleConn)
		m.remove(c)
		m.emit(c, &Event{Kind: Rejected, Rej: &Rej{Reason: RejStaleConn}, Msg: wire.AttrConnectReply})
		m.stale(now, old)
		return
	}
	m.disarm(c)
	m.name(c, k)
	m.occupy(c, p.LocalQPN)
	c.remoteQPN = p.LocalQPN
	c.life += wait(p.TargetAckDelay)
	m.become(c, repReceived)
	m.emit(c, &Event{Kind: Replied, Rep: repOf(x, p)})
}

func repOf(x wire.MAD, p *wire.CMRep) *Rep {
	return &Rep{RemoteGUID: p.LocalCAGUID, QPN: p.LocalQPN, StartPSN: p.StartingPSN, QKey: p.LocalQKey, TargetAckDelay: p.TargetAckDelay,
		RNRRetryCount: p.RNRRetryCount, ResponderResources: p.ResponderResources, InitiatorDepth: p.InitiatorDepth,
		SRQ: p.SRQ, FlowControl: p.FlowControl, ECE: ECE{p.VendorID, x.Modifier()}, Private: bytes.Clone(p.Private)}
}

// Ready ends the active side's handshake after Replied: it sends an RTU, with at most MaxRTUPrivate bytes of private data.
func (m *Machine) Ready(_ int64, id ID, private []byte) error {
	c := m.get(id)
	switch {
	case c == nil:
		return ErrUnknown
	case c.state != repReceived && c.state != mraRepSent:
		return ErrState
	case len(private) > MaxRTUPrivate:
		return ErrPrivate
	}
	c.msg = compose(wire.AttrReadyToUse, c.tid, &wire.CMRTU{CMIDs: c.ids(), Private: private})
	m.become(c, established)
	m.transmit(c.route, c.msg)
	return nil
}
