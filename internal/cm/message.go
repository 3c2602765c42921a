package cm

import (
	"encoding/binary"

	"github.com/freeflow-rdma/freeflow/internal/wire"
)

// message is what the structs of package wire are.
type message interface{ Put(m wire.MAD) }

// compose makes a message that can be kept.
func compose(a wire.Attribute, tid uint64, f message) wire.MAD {
	mad := make(wire.MAD, wire.MADSize)
	mad.PutCM(a, tid, 0)
	f.Put(mad)
	return mad
}

// composeECE is compose for messages with options of enhanced connection establishment, which are the modifier.
func composeECE(a wire.Attribute, tid uint64, options uint32, f message) wire.MAD {
	mad := compose(a, tid, f)
	mad.PutCM(a, tid, options)
	return mad
}

// once sends a message that is not kept.
func (m *Machine) once(r Route, a wire.Attribute, tid uint64, f message) {
	m.scratch.PutCM(a, tid, 0)
	f.Put(m.scratch)
	m.transmit(r, m.scratch)
}

func (m *Machine) transmit(r Route, mad wire.MAD) {
	m.counters.Sent[messageIndex(mad.Attribute())]++
	m.conf.Send(r, mad)
}

// tid is the transaction of what c begins.
func (m *Machine) tid(c *conn) uint64 { return m.tidHigh | uint64(c.id) }

// reject sends a REJ about c, and returns it.
func (m *Machine) reject(c *conn, j *Rej) wire.MAD {
	f := wire.CMRej{CMIDs: c.ids(), Message: wire.CMMessageOther, Reason: j.Reason, Info: j.Info, Private: j.Private}
	switch c.state {
	case reqReceived:
		f.Local, f.Message = 0, wire.CMMessageREQ // no message told the peer our ID yet
	case mraReqSent:
		f.Message = wire.CMMessageREQ
	case repReceived, mraRepSent:
		f.Message = wire.CMMessageREP
	}
	mad := compose(wire.AttrConnectReject, c.tid, &f)
	m.transmit(c.route, mad)
	return mad
}

// rejectTimeout tells the peer that its answer to c's message did not come (12.6.7.2, reason 4). As the peer's ID may not be known, the
// peer finds the connection by ours and the node GUID.
func (m *Machine) rejectTimeout(c *conn) wire.MAD {
	return m.reject(c, &Rej{Reason: RejTimeout, Info: binary.BigEndian.AppendUint64(nil, m.conf.GUID(c.route.Local))})
}

// refuse sends a REJ about a message that makes no connection, or is about one that is not there.
func (m *Machine) refuse(r Route, mad wire.MAD, which wire.CMMessage, reason uint16) {
	f := wire.CMRej{CMIDs: wire.CMIDs{Local: mad.RemoteCommID(), Remote: mad.LocalCommID()}, Message: which, Reason: reason}
	if mad.Attribute() == wire.AttrConnectRequest {
		f.Local = 0 // a REQ has something else there
	}
	m.once(r, wire.AttrConnectReject, mad.TID(), &f)
}
