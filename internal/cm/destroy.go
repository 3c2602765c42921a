package cm

// Destroy forgets an ID, in any state: it sends what this means to the peer, and no event of it follows. What the protocol still
// owes the peer (a DREQ until it is answered, the answers of timewait) goes on inside. An ID that is not known is ignored.
func (m *Machine) Destroy(now int64, id ID) {
	c := m.get(id)
	if c == nil {
		return
	}
	c.orphan = true
	switch c.state {
	case reqSent, mraReqReceived:
		m.rejectTimeout(c)
		m.remove(c)
	case reqReceived, mraReqSent, repReceived, mraRepSent:
		m.remember(now, c, timewait, m.reject(c, &Rej{Reason: RejConsumerDefined}))
	case repSent, mraRepReceived:
		m.revoke(now, c, &Rej{Reason: RejConsumerDefined})
	case established:
		m.requestRelease(now, c)
		m.hurry(now, c)
	case dreqReceived:
		m.release(now, c)
	case sidrReqSent:
		m.remove(c)
	case sidrReqReceived:
		m.answerSIDR(now, c, &SIDRRep{Status: SIDRReject})
	case dreqSent:
		m.hurry(now, c)
	}
}

// hurry shortens the wait for the answer to a DREQ: the peer may never give it, and nobody waits any more.
func (m *Machine) hurry(now int64, c *conn) {
	c.deadline = min(c.deadline, now+orphaned)
	m.arm(c, min(c.due, c.deadline))
}
