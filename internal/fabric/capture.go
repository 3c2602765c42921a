package fabric

import (
	"github.com/freeflow-rdma/freeflow/internal/fabric/udp"
	"github.com/freeflow-rdma/freeflow/internal/pcap"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
)

// What a capture shows is what the containers' NICs send and receive: the packets inside Geneve, and those of plain RoCEv2 with the headers
// that the kernel puts before them. A datagram to a multicast group is one packet, however many hosts it goes to: package local
// shows it.

// showSent shows a packet of a queue pair that has been made. rest is the BTH and what follows it, up to the payload.
func (l *lane) showSent(w *way, num uint32, pk *udp.Packet, ip, u, rest []byte) {
	if w.gid != (verbs.GID{}) {
		l.c.Tap.Packet(&pcap.Parts{QPN: num, IP: ip, UDP: u, BTH: rest, Payload: pk.Payload, Trailer: pk.Trailer})
	}
}

// showTaken shows a packet that has come and is believed.
func (in *inlet) showTaken(p *packet) {
	in.c.Tap.Packet(&pcap.Parts{QPN: in.flow.qpn, IP: p.ip, UDP: p.udp, BTH: p.rest})
}

// showPlain is showTaken for a packet whose IP and UDP headers the kernel has taken off.
func (in *inlet) showPlain(p *packet, srcPort uint16) {
	m := madeUp{trafficClass: p.trafficCls}
	p.ip, p.udp = m.put(p.src, p.dst, srcPort, len(p.rest))
	identify(p.ip, p.id)
	in.showTaken(p)
}
