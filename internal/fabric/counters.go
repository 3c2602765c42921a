package fabric

import "sync/atomic"

// Counters count the packets that were not believed, by reason, and those that could not be made. Any goroutine may load them.
type Counters struct {
	Malformed     atomic.Uint64 // headers that make no sense
	UnknownHost   atomic.Uint64 // outer source is no host of ours
	UnknownVNI    atomic.Uint64 // a network that this host does not know
	Forged        atomic.Uint64 // inner source that is not at this host, or not the queue pair's peer
	WrongAddress  atomic.Uint64 // destination address that is not the queue pair's container's
	UnknownQP     atomic.Uint64 // no such queue pair in this network
	BadICRC       atomic.Uint64 // changed on the way
	SendFaults    atomic.Uint64 // payload that could not be read
	ReceivedPlain atomic.Uint64 // packets from peers that are no routers

	MADsSent       atomic.Uint64 // management datagrams that have left, or went to a container of this host
	MADsReceived   atomic.Uint64 // those that came and were believed
	MADsUnsent     atomic.Uint64 // too many at a time
	MADsUnroutable atomic.Uint64 // nobody has the address, as far as this host knows
	BadMAD         atomic.Uint64 // packets to QP 1 that are no management datagrams

	GroupsRefused atomic.Uint64 // multicast groups of the underlay that could not be joined: there are too many, or the kernel would not
}

// Each calls f with every counter's name and value.
func (c *Counters) Each(f func(name string, value uint64)) {
	for _, x := range []struct {
		name string
		v    *atomic.Uint64
	}{
		{"drop_malformed", &c.Malformed}, {"drop_unknown_host", &c.UnknownHost}, {"drop_unknown_vni", &c.UnknownVNI}, {"drop_forged", &c.Forged},
		{"drop_wrong_address", &c.WrongAddress}, {"drop_unknown_qp", &c.UnknownQP}, {"drop_icrc", &c.BadICRC}, {"send_faults", &c.SendFaults},
		{"received_plain", &c.ReceivedPlain}, {"mads_sent", &c.MADsSent}, {"mads_received", &c.MADsReceived}, {"mads_unsent", &c.MADsUnsent},
		{"mads_unroutable", &c.MADsUnroutable}, {"drop_mad", &c.BadMAD}, {"groups_refused", &c.GroupsRefused},
	} {
		f(x.name, x.v.Load())
	}
}
