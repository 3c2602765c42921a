package cm

// add makes a connection of a party, unless it has too many.
func (m *Machine) add(r Route, s state) *conn {
	p := m.parties[r.Local]
	if p == nil {
		p = &population{}
		m.parties[r.Local] = p
	}
	if p.connections >= MaxConnections {
		m.counters.Limited++
		return nil
	}
	c := &conn{id: m.newID(), route: r, state: s, timerIndex: -1}
	m.conns[c.id] = c
	m.account(c, 1)
	return c
}

func (m *Machine) newID() ID {
	for {
		id := ID(m.next ^ m.mask)
		m.next++
		if id != 0 && m.conns[id] == nil {
			return id
		}
	}
}

// account adds c to the numbers of its party, or takes it off. It stands around every change of what c counts as.
func (m *Machine) account(c *conn, n int) {
	p := m.parties[c.route.Local]
	if c.memory {
		p.memories += n
	} else {
		p.connections += n
		m.counters.Connections += n
	}
	if c.state.unanswered() {
		p.requests += n
	}
	if c.state == timewait {
		m.counters.TimeWait += n
	}
}

// become puts c into another state.
func (m *Machine) become(c *conn, s state) {
	m.account(c, -1)
	c.state = s
	m.account(c, 1)
}

// name makes c known by the peer's ID for it.
func (m *Machine) name(c *conn, k remoteKey) {
	c.known, c.remote, c.remoteKey = true, k.id, k
	m.remotes[k] = c
}

// occupy notes that c is connected, or about to be, to a queue pair of the peer.
func (m *Machine) occupy(c *conn, qpn uint32) {
	c.qpnKey, c.inQPNs = qpnKeyOf(c.route, qpn), true
	m.qpns[c.qpnKey] = c
}

func (m *Machine) vacate(c *conn) {
	if c.inQPNs {
		delete(m.qpns, c.qpnKey)
		c.inQPNs = false
	}
}

// remove forgets c.
func (m *Machine) remove(c *conn) {
	m.disarm(c)
	m.vacate(c)
	if c.known && m.remotes[c.remoteKey] == c {
		delete(m.remotes, c.remoteKey)
	}
	delete(m.conns, c.id)
	m.account(c, -1)
	if *m.parties[c.route.Local] == (population{}) {
		delete(m.parties, c.route.Local)
	}
}

// get finds a connection that the user may speak of.
func (m *Machine) get(id ID) *conn {
	if c := m.conns[id]; c != nil && !c.orphan {
		return c
	}
	return nil
}

// RemoveParty forgets everything of a party, and sends and tells nothing.
func (m *Machine) RemoveParty(p Party) {
	if m.parties[p] == nil {
		return
	}
	for _, c := range m.conns {
		if c.route.Local == p {
			m.remove(c)
		}
	}
}
