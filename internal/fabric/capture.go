package fabric

import (
	"github.com/freeflow-rdma/freeflow/internal/fabric/udp"
	"github.com/freeflow-rdma/freeflow/internal/pcap"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
	"github.com/freeflow-rdma/freeflow/internal/wire"
)

// What a capture shows is what the containers' NICs send and receive: the packets inside Geneve, and those of plain RoCEv2 with the headers
// that the kernel puts before them. A datagram to a multicast group is one packet, however many hosts it goes to: package local
// shows it.

// showSent shows a packet that has been made. rest is the BTH and what follows it, up to the payload.
func (l *lane) showSent(w *way, qp *verbs.QP, pk *udp.Packet, ip, u, rest []byte) {
	if w.gid != (verbs.GID{}) {
		l.c.Tap.Packet(&pcap.Parts{QPN: uint32(qp.Num), IP: ip, UDP: u, BTH: rest, Payload: pk.Payload, Trailer: pk.Trailer})
	}
}

// showTaken shows a packet that has come and is believed.
func (in *inlet) showTaken(p *packet) {
	in.c.Tap.Packet(&pcap.Parts{QPN: in.flow.qpn, IP: p.ip, UDP: p.udp, BTH: p.rest})
}

// showPlain is showTaken for a packet whose IP and UDP headers the kernel has taken off.
func (in *inlet) showPlain(p *packet, srcPort uint16) {
	var ip [wire.IPv6Size]byte
	var u [wire.UDPSize]byte
	p.ip, p.udp = headers(&ip, &u, p, srcPort)
	in.showTaken(p)
}

// headers makes up the IP and UDP headers of a packet from a peer that is no router.
func headers(ip *[wire.IPv6Size]byte, u *[wire.UDPSize]byte, p *packet, srcPort uint16) (ipHeader, udpHeader []byte) {
	length := wire.UDPSize + len(p.rest)
	wire.UDP(u[:]).Put(srcPort, RoCEPort, uint16(length))
	av := verbs.AHAttr{TrafficClass: p.trafficCls}
	if isIPv4(&p.src) {
		putIPv4(ip[:], &p.src, &p.dst, &av, length)
		wire.IPv4(ip[:wire.IPv4Size]).SetLength(uint16(wire.IPv4Size+length), p.id)
		return ip[:wire.IPv4Size], u[:]
	}
	putIPv6(ip[:], &p.src, &p.dst, &av, length)
	return ip[:], u[:]
}
