package router

import (
	"github.com/freeflow-rdma/freeflow/internal/admin"
	"github.com/freeflow-rdma/freeflow/internal/cm"
	"github.com/freeflow-rdma/freeflow/internal/fabric"
	"github.com/freeflow-rdma/freeflow/internal/fabric/udp"
	"github.com/freeflow-rdma/freeflow/internal/rdmacm"
)

// Counters lists what has been counted since the router started.
func (b *backend) Counters() []admin.CounterRow {
	var s sheet
	c := b.member.carrier
	s.under("fabric", c.Counters.Each)
	s.under("transport", c.Host.Counters.Each)
	for _, p := range c.Ports() {
		s.port(p)
	}
	s.connections(b.cm.Counters())
	b.eng.EachCounter(func(worker, name string, value uint64) {
		s.group = "worker " + worker
		s.add(name, value)
	})
	return s.rows
}

// sheet is a list of counters that is being written.
type sheet struct {
	rows  []admin.CounterRow
	group string // of the next
}

func (s *sheet) add(name string, value uint64) {
	s.rows = append(s.rows, admin.CounterRow{Group: s.group, Name: name, Value: value})
}

// under adds all that each gives to a group.
func (s *sheet) under(group string, each func(func(string, uint64))) {
	s.group = group
	each(s.add)
}

// port adds what an underlay port has counted, and what the kernel does for it.
func (s *sheet) port(p *udp.Port) {
	kind := "geneve "
	if p.Addr().Port() == fabric.RoCEPort {
		kind = "plain "
	}
	s.under(kind+p.Addr().String(), p.Counters().Each)
	f := p.Features()
	s.add("feature_segments", uint64(f.Segments))
	s.add("feature_gro", one(f.GRO))
	s.add("feature_steering", one(f.Steering == udp.SteerProgram || f.Steering == udp.SteerIncomingCPU))
	s.add("receive_buffer", uint64(f.ReceiveBuffer))
	s.add("send_buffer", uint64(f.SendBuffer))
}

// connections adds what the rdma_cm device has counted, and the messages of its protocol by kind.
func (s *sheet) connections(c rdmacm.Snapshot) {
	s.group = "rdma_cm"
	p := &c.Protocol
	for _, x := range []struct {
		name  string
		value uint64
	}{
		{"channels", uint64(c.Channels)}, {"ids", uint64(c.IDs)}, {"ports", uint64(c.Ports)}, {"groups", uint64(c.Groups)},
		{"connections", uint64(p.Connections)}, {"timewait", uint64(p.TimeWait)},
		{"failed_commands", c.Errors}, {"events_lost", c.EventsLost}, {"denied", c.Denied},
		{"no_listener", c.NoListener}, {"not_for_listener", c.NotForListener}, {"no_room", c.NoRoom},
		{"drop_malformed", c.Malformed + p.Malformed}, {"drop_overrun", c.Overrun}, {"drop_refused", c.Refused},
		{"drop_unknown", p.Unknown}, {"drop_forged", p.Forged}, {"drop_unexpected", p.Unexpected}, {"drop_limited", p.Limited},
	} {
		s.add(x.name, x.value)
	}
	for i, kind := range cm.MessageNames {
		s.group = "rdma_cm " + kind
		s.add("sent", p.Sent[i])
		s.add("received", p.Received[i])
		s.add("retried", p.Retried[i])
		s.add("repeated", p.Duplicate[i])
	}
}

func one(yes bool) uint64 {
	if yes {
		return 1
	}
	return 0
}
