package transport

import "sync/atomic"

// Counters count what is out of the ordinary, over all queue pairs of a host. Any goroutine may load them.
type Counters struct {
	DropState, DropPSN, DropOpcode, DropLength, DropKey, DropQKey atomic.Uint64 // packets that were ignored, by reason
	DropNoRecv, DropNoRoom                                        atomic.Uint64 // UC, UD: no receive posted; no room to keep a packet
	Retransmits, Timeouts, GoBacks                                atomic.Uint64 // packets sent again; timers that ran out; NAKs that took us back
	NAKsSent, NAKsReceived, RNRsSent, RNRsReceived                atomic.Uint64
	Duplicates, Reordered, Parked                                 atomic.Uint64 // packets had before; early; that waited for a receive
	CNPsSent, CNPsReceived                                        atomic.Uint64
	BadResponses                                                  atomic.Uint64 // acknowledgements and responses that fit nothing
}

// Each calls f with every counter's name and value.
func (c *Counters) Each(f func(name string, value uint64)) {
	for _, x := range []struct {
		name string
		v    *atomic.Uint64
	}{
		{"drop_state", &c.DropState}, {"drop_psn", &c.DropPSN}, {"drop_opcode", &c.DropOpcode}, {"drop_length", &c.DropLength},
		{"drop_key", &c.DropKey}, {"drop_qkey", &c.DropQKey}, {"drop_no_receive", &c.DropNoRecv}, {"drop_no_room", &c.DropNoRoom},
		{"retransmits", &c.Retransmits}, {"timeouts", &c.Timeouts}, {"go_backs", &c.GoBacks},
		{"naks_sent", &c.NAKsSent}, {"naks_received", &c.NAKsReceived}, {"rnrs_sent", &c.RNRsSent}, {"rnrs_received", &c.RNRsReceived},
		{"duplicates", &c.Duplicates}, {"reordered", &c.Reordered}, {"parked", &c.Parked},
		{"cnps_sent", &c.CNPsSent}, {"cnps_received", &c.CNPsReceived}, {"bad_responses", &c.BadResponses},
	} {
		f(x.name, x.v.Load())
	}
}
