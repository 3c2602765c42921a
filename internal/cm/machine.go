package cm

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
}

// Machine has the connections of one host.
type Machine struct {
	conf     Config
	counters Counters
}

// New makes a Machine without connections.
func New(c Config) *Machine { return &Machine{conf: c} }

// Connect sends a REQ. Replied, Rejected or Unreachable follows. The result is 0, and nothing is sent, if the party has too many
// connections already or the private data is too long.
func (m *Machine) Connect(now int64, r Route, q *Req) ID { return 0 }

// Reply accepts a connection that was Requested: it sends a REP. Established, Rejected or Unreachable follows.
func (m *Machine) Reply(now int64, id ID, p *Rep) error { return ErrUnknown }

// Ready ends the active side's handshake after Replied: it sends an RTU, with at most 224 bytes of private data.
func (m *Machine) Ready(now int64, id ID, private []byte) error { return ErrUnknown }

// Extend asks the peer for more time after Requested or Replied: it sends an MRA. The peer waits for 4.096 µs × 2^timeout.
func (m *Machine) Extend(now int64, id ID, timeout uint8) error { return ErrUnknown }

// Reject refuses what was Requested or Replied, or gives up what was not answered yet: it sends a REJ.
func (m *Machine) Reject(now int64, id ID, rej *Rej) error { return ErrUnknown }

// Disconnect ends a connection: it sends a DREQ (Disconnected follows, then TimewaitExit), or, after DisconnectRequested, a DREP
// (TimewaitExit follows).
func (m *Machine) Disconnect(now int64, id ID) error { return ErrUnknown }

// Resolve sends a SIDR_REQ. SIDRReplied or Unreachable follows. The result is 0 in the cases of Connect.
func (m *Machine) Resolve(now int64, r Route, q *SIDRReq) ID { return 0 }

// ReplySIDR answers what was SIDRRequested. The exchange is over then; Destroy of it does nothing.
func (m *Machine) ReplySIDR(now int64, id ID, p *SIDRRep) error { return ErrUnknown }

// Established tells the passive side's machine that data came before the RTU (IB_EVENT_COMM_EST): Established follows.
func (m *Machine) Established(now int64, id ID) error { return ErrUnknown }

// Destroy forgets an ID, in any state: it sends what this means to the peer, and no event of it follows. What the protocol still
// owes the peer (the answers of timewait) goes on inside. An ID that is not known is ignored.
func (m *Machine) Destroy(now int64, id ID) {}

// Receive takes a MAD that came for a party: r.Src is ours, r.Dst the peer's. The bytes are not kept.
func (m *Machine) Receive(now int64, r Route, mad []byte) {}

// Tick does what is due.
func (m *Machine) Tick(now int64) {}

// Next says when Tick must be called next; false if nothing waits.
func (m *Machine) Next() (at int64, ok bool) { return 0, false }

// Counters returns the Machine's counters, which the caller may read when no method runs.
func (m *Machine) Counters() *Counters { return &m.counters }
