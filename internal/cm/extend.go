package cm

import "github.com/freeflow-rdma/freeflow/internal/wire"

// Later, or'ed to Extend's timeout, has the MRA sent only if the peer asks again, as the kernel's RDMA-CM does.
const Later uint8 = 0x80

// Extend asks the peer for more time after Requested or Replied: it sends an MRA. The peer waits for 4.096 µs × 2^timeout, and
// sends nothing meanwhile.
func (m *Machine) Extend(_ int64, id ID, timeout uint8) error {
	c := m.get(id)
	if c == nil {
		return ErrUnknown
	}
	f := &wire.CMMRA{CMIDs: c.ids(), ServiceTimeout: timeout &^ Later}
	switch c.state {
	case reqReceived:
		f.Message = wire.CMMessageREQ
		m.become(c, mraReqSent)
	case repReceived:
		f.Message = wire.CMMessageREP
		m.become(c, mraRepSent)
	default:
		return ErrState
	}
	c.msg = compose(wire.AttrMsgRcptAck, c.tid, f)
	if timeout&Later == 0 {
		m.transmit(c.route, c.msg)
	}
	return nil
}

// receiveMRA is patient for longer with the answer to a REQ or REP (12.9.8.2): its time stands still while the peer says it will need. Once a
// message; so the peer cannot make us wait for ever.
func (m *Machine) receiveMRA(now int64, r Route, x wire.MAD) {
	var a wire.CMMRA
	a.Parse(x)
	c := m.lookup(r, a.Remote)
	switch {
	case c == nil:
	case c.state == reqSent && a.Message == wire.CMMessageREQ:
		m.extended(now, c, mraReqReceived, a.ServiceTimeout)
	case c.state == repSent && a.Message == wire.CMMessageREP && c.is(a.CMIDs):
		m.extended(now, c, mraRepReceived, a.ServiceTimeout)
	case c.state == mraReqReceived || c.state == mraRepReceived:
		m.duplicate(c, x, 0)
	default:
		m.counters.Unexpected++
	}
}

func (m *Machine) extended(now int64, c *conn, s state, timeout uint8) {
	d := wait(timeout) + c.life // there and back, too
	m.become(c, s)
	c.deadline += d
	m.fromTheBeginning(c)
	if m.asksAfterMRA(c) {
		d = min(d, askAfterMRA)
	}
	m.arm(c, min(now+d, c.deadline))
}

// askAfterMRA is between REPs, in ns, to a router that wants more time. What its program says then, an RTU, is said once: if that is lost
// nobody would miss it for as long as the MRA says, which is 69 s.
const askAfterMRA = 500_000_000

func (m *Machine) asksAfterMRA(c *conn) bool { return c.state == mraRepReceived && m.eager(c.route) }
