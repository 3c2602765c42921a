package cm

import "github.com/freeflow-rdma/freeflow/internal/wire"

// Party is a local virtual NIC. Its owner gives the numbers; 0 is none.
type Party uint32

// Route says who talks to whom.
type Route struct {
	Local    Party
	Src, Dst [16]byte // GIDs: ours and the peer's
	SGID     int      // index of Src in the party's table
	TClass   uint8
}

// ID names a connection or a SIDR exchange, and is its communication ID on the wire. It is never 0, and not used again soon.
type ID uint32

// Config is what a Machine needs of the world.
type Config struct {
	Send func(r Route, mad []byte) // 256 bytes, valid during the call; may be lost
	Emit func(ev *Event)           // what happened; the receiver may keep it
	Rand func() uint32
	GUID func(Party) uint64 // node GID of a virtual NIC, for the REQs and REPs it sends

	// Foreign says that a peer is not a router's. Then messages are not sent again earlier than the specification's timeouts, as a
	// stranger may take a second SIDR_REQ for a new one. Nil: nobody is.
	Foreign func(Route) bool
}

// Machine has the connections of one host.
type Machine struct {
	conf     Config
	counters Counters

	conns   map[ID]*conn
	remotes map[remoteKey]*conn // those whose peer's ID is known
	qpns    map[qpnKey]*conn    // those that hold a queue pair of the peer: from REQ or REP on until timewait
	parties map[Party]*population
	timers  timers

	next, mask uint32 // IDs are a count, disguised
	tidHigh    uint64
	scratch    wire.MAD // for messages that are sent once
}

// New makes a Machine without connections.
func New(c Config) *Machine {
	return &Machine{conf: c, conns: map[ID]*conn{}, remotes: map[remoteKey]*conn{}, qpns: map[qpnKey]*conn{}, parties: map[Party]*population{},
		next: c.Rand(), mask: c.Rand(), tidHigh: uint64(c.Rand()) << 32, scratch: make(wire.MAD, wire.MADSize)}
}

// Counters returns the Machine's counters, which the caller may read when no method runs.
func (m *Machine) Counters() *Counters { return &m.counters }

// emit tells the user, if it still wants to know.
func (m *Machine) emit(c *conn, ev *Event) {
	if !c.orphan {
		ev.ID, ev.Route = c.id, c.route
		m.conf.Emit(ev)
	}
}
