package rdmacm

import (
	"net/netip"
	"strings"

	"github.com/freeflow-rdma/freeflow/internal/uapi"
)

// Row is an ID as operators see it.
type Row struct {
	Container, Network string
	ID                 uint32
	PortSpace          string // TCP, UDP, IB or IPOIB
	State              string
	Local, Remote      netip.AddrPort // not valid if it has none
	QPN                uint32
	Events             int // unread
}

var portSpaces = map[uint16]string{uapi.PortSpaceTCP: "TCP", uapi.PortSpaceUDP: "UDP", uapi.PortSpaceIB: "IB", uapi.PortSpaceIPoIB: "IPOIB"}

// Rows lists the IDs of all containers, in no order.
func (h *Host) Rows() []Row {
	h.enter()
	defer h.leave()
	var rows []Row
	for _, m := range h.members {
		for _, i := range m.ids.all() {
			rows = append(rows, Row{Container: m.c.Name, Network: m.c.Network, ID: i.num, PortSpace: portSpaces[i.ps], State: stateNames[i.state],
				Local: addrPort(i.src), Remote: addrPort(i.dst), QPN: i.qpn, Events: len(i.waiting)})
		}
	}
	return rows
}

func addrPort(a uapi.SockAddr) netip.AddrPort {
	if !a.Addr.IsValid() {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(a.Addr, a.Port)
}

// Counters tells the counters.
func (h *Host) Counters() Snapshot {
	h.enter()
	defer h.leave()
	c := &h.counters
	s := Snapshot{Commands: map[string]uint64{}, Errors: c.Errors.Load(), Malformed: c.Malformed.Load(), Overrun: c.Overrun.Load(),
		Refused: c.Refused.Load(), NoListener: c.Untaken[noService].Load(), NotForListener: c.Untaken[refused].Load(),
		NoRoom: c.Untaken[noRoom].Load(), Denied: c.Denied.Load(), EventsLost: c.EventsLost.Load(), Channels: len(h.channels),
		Timers: h.timers.Len(), Protocol: *h.machine.Counters()}
	for cmd := range c.Commands {
		if n := c.Commands[cmd].Load(); n > 0 {
			s.Commands[strings.ToLower(uapi.UCMCmd(cmd).String())] = n
		}
	}
	for _, m := range h.members {
		s.IDs += m.ids.count
		s.Groups += m.groups.count
		s.Ports += len(m.ports)
	}
	return s
}
