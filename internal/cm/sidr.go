package cm

import (
	"bytes"

	"github.com/freeflow-rdma/freeflow/internal/wire"
)

// Resolve sends a SIDR_REQ. SIDRReplied or Unreachable follows. The result is 0 in the cases of Connect.
func (m *Machine) Resolve(now int64, r Route, q *SIDRReq) ID {
	if len(q.Private) > MaxSIDRReqPrivate {
		return 0
	}
	c := m.add(r, sidrReqSent)
	if c == nil {
		return 0
	}
	c.tid, c.serviceID = m.tid(c), q.ServiceID
	c.msg = compose(wire.AttrServiceIDResReq, c.tid, &wire.CMSIDRReq{RequestID: uint32(c.id), PKey: pkey(q.PKey), ServiceID: q.ServiceID,
		Private: q.Private})
	c.try, c.retries = wait(sidrTimeout), sidrRetries
	m.await(now, c)
	return c.id
}

// receiveSIDRReq takes a request to resolve a service ID (12.11).
func (m *Machine) receiveSIDRReq(r Route, x wire.MAD) {
	var q wire.CMSIDRReq
	q.Parse(x)
	k := remoteKeyOf(r, q.RequestID)
	k.sidr = true
	if c := m.remotes[k]; c != nil {
		if c.reqTID == x.TID() && c.serviceID == q.ServiceID {
			m.duplicate(c, x, wire.AttrServiceIDResReqResp)
			return
		}
		m.remove(c)
	}
	if p := m.parties[r.Local]; p != nil && p.requests >= MaxRequests {
		m.counters.Limited++
		return
	}
	c := m.add(r, sidrReqReceived)
	if c == nil {
		return // counted; the peer asks again
	}
	c.passive, c.tid, c.reqTID, c.serviceID = true, x.TID(), x.TID(), q.ServiceID
	m.name(c, k)
	m.emit(c, &Event{Kind: SIDRRequested, SIDRReq: &SIDRReq{ServiceID: q.ServiceID, PKey: q.PKey, Private: bytes.Clone(q.Private)}})
}

// ReplySIDR answers what was SIDRRequested. The exchange is over then; Destroy of it does nothing.
func (m *Machine) ReplySIDR(now int64, id ID, p *SIDRRep) error {
	c := m.get(id)
	switch {
	case c == nil:
		return ErrUnknown
	case c.state != sidrReqReceived:
		return ErrState
	case len(p.Info) > MaxSIDRRepInfo || len(p.Private) > MaxSIDRRepPrivate:
		return ErrPrivate
	}
	m.answerSIDR(now, c, p)
	return nil
}

func (m *Machine) answerSIDR(now int64, c *conn, p *SIDRRep) {
	mad := composeECE(wire.AttrServiceIDResReqResp, c.tid, p.ECE.Options, &wire.CMSIDRRep{RequestID: c.remote, Status: p.Status,
		VendorID: p.ECE.VendorID, QPN: p.QPN, ServiceID: c.serviceID, QKey: p.QKey, Info: p.Info, Private: p.Private})
	m.transmit(c.route, mad)
	m.remember(now, c, sidrReplied, mad)
}

// receiveSIDRRep takes the answer to our SIDR_REQ.
func (m *Machine) receiveSIDRRep(r Route, x wire.MAD) {
	var p wire.CMSIDRRep
	if p.Parse(x) != nil {
		m.counters.Malformed++
		return
	}
	c := m.lookup(r, p.RequestID)
	switch {
	case c == nil:
	case c.state != sidrReqSent:
		m.counters.Unexpected++
	default:
		m.remove(c)
		m.emit(c, &Event{Kind: SIDRReplied, SIDRRep: &SIDRRep{Status: p.Status, QPN: p.QPN, QKey: p.QKey, ServiceID: p.ServiceID,
			ECE: ECE{p.VendorID, x.Modifier()}, Info: bytes.Clone(p.Info), Private: bytes.Clone(p.Private)}})
	}
}
