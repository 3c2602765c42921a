package fabric

import (
	"net/netip"

	"github.com/freeflow-rdma/freeflow/internal/engine"
	"github.com/freeflow-rdma/freeflow/internal/fabric/udp"
	"github.com/freeflow-rdma/freeflow/internal/transport"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
	"github.com/freeflow-rdma/freeflow/internal/wire"
)

// inlet takes packets from one socket, on the worker of the core that they arrive at (engine.Source). Packets in succession for one
// queue pair are handed over together.
type inlet struct {
	c     *Carrier
	dev   *verbs.Device
	fd    int
	rx    *udp.Receiver
	plain bool
	home  int   // the core that its packets arrive at
	lane  *lane // of the worker

	flow  flow
	table *Table // as it is in this turn
	n     int    // packets that wait in batch
	from  uint8  // where the last of them would have what is sent to it (wire.Steer)
	batch [maxBatch]transport.Arrived
	mad   MAD // that is handed over
}

// maxBatch is as many packets as a run may have.
const maxBatch = 64

// flow is where a packet comes from and goes to: what is checked once for packets in succession.
type flow struct {
	outer    netip.Addr
	vni      uint32
	src, dst verbs.GID
	qpn      uint32

	qp    *verbs.QP // nil: not believed
	path  *transport.Path
	group bool             // to a multicast group
	plain bool             // of the underlay's, not of a network's
	mad   bool             // to QP 1
	cont  *verbs.Container // whose QP 1; nil: the host's own
}

// Ready is engine.Source's: it receives once and hands everything over.
func (in *inlet) Ready(w *engine.Worker) (bytes int) {
	in.begin(w)
	in.rx.Poll()
	var a udp.Arrival
	for in.rx.Next(&a) {
		bytes += len(a.Bytes)
		if in.plain {
			in.takePlain(w, &a, in.c.underlay)
		} else {
			in.takeTunnel(w, &a)
		}
	}
	in.hand(w)
	return bytes
}

// begin is before all else in a turn.
func (in *inlet) begin(w *engine.Worker) {
	in.lane = in.c.laneOf(w)
	in.flow.qp = nil // nothing is remembered from one turn to the next: queue pairs go away between them
	in.table = in.c.table.Load()
}

// hand gives the packets that wait to their queue pair.
func (in *inlet) hand(w *engine.Worker) {
	if in.n == 0 {
		return
	}
	qp := in.flow.qp
	if !in.flow.plain {
		in.steer(w, qp)
	}
	if linkOf(qp).conn.Receive(&in.lane.env, in.flow.path, in.batch[:in.n]) {
		w.Schedule(&qp.Item)
	}
	in.n = 0
}

// packet is one packet's IP addresses and what follows its UDP header.
type packet struct {
	src, dst   verbs.GID
	ip, udp    []byte
	rest       []byte // BTH to ICRC
	ecn        uint8
	trafficCls uint8
	id         uint16 // plain: the IPv4 identification
	rider      wire.Rider
	from       uint8 // wire.Steer's
}

// takeTunnel takes a packet from another router.
func (in *inlet) takeTunnel(w *engine.Worker, a *udp.Arrival) {
	cnt := &in.c.Counters
	g, inner, err := wire.ParseGeneve(a.Bytes)
	var p packet
	if err != nil || !p.parse(g.Protocol(), inner) {
		cnt.Malformed.Add(1)
		return
	}
	sum := p.rest[len(p.rest)-wire.ICRCSize:]
	rest := p.rest[:len(p.rest)-wire.ICRCSize]
	qpn := uint32(rest[5])<<16 | uint32(rest[6])<<8 | uint32(rest[7])
	f := &in.flow
	if f.qp == nil || f.vni != g.VNI() || f.qpn != qpn || f.src != p.src || f.dst != p.dst || f.outer != a.Src.Addr() {
		in.hand(w)
		*f = flow{outer: a.Src.Addr(), vni: g.VNI(), src: p.src, dst: p.dst, qpn: qpn}
		if !in.believe(f) {
			f.qp = nil
			return
		}
	}
	if wire.ICRC(p.ip, p.udp, rest) != wire.GetICRC(sum) {
		cnt.BadICRC.Add(1)
		return
	}
	if in.c.Tap.Active() {
		in.showTaken(&p)
	}
	p.ecn |= a.TOS & udp.ECNMask
	p.rider, p.from = g.Rider(), g.Steer().From
	in.accept(w, &p, rest)
}

// accept parses the transport headers and queues the packet for its queue pair.
func (in *inlet) accept(w *engine.Worker, p *packet, rest []byte) {
	f := &in.flow
	if in.n == maxBatch {
		in.hand(w)
	}
	x := &in.batch[in.n]
	payload, err := wire.Parse(rest, &x.H)
	if err != nil {
		in.c.Counters.Malformed.Add(1)
		return
	}
	x.Payload = payload
	x.H.FECN, x.H.Rider = x.H.FECN || p.ecn == udp.CE, p.rider
	switch {
	case f.mad:
		in.takeMAD(p, x)
	case f.group:
		in.toGroup(w, p, x)
	case f.qp.Type == verbs.TypeUD:
		in.datagram(w, f.qp, p, x)
	default:
		in.from = p.from
		in.n++
	}
}

// datagram gives a UD queue pair one packet.
func (in *inlet) datagram(w *engine.Worker, qp *verbs.QP, p *packet, x *transport.Arrived) {
	var grh verbs.GRH
	grh.Put(verbs.GRHFields{Src: p.src, Dst: p.dst, TrafficClass: p.trafficCls, HopLimit: 64, Length: len(p.rest)})
	if linkOf(qp).conn.ReceiveDatagram(&in.lane.env, in.flow.path, x, (*[verbs.GRHSize]byte)(&grh)) {
		w.Schedule(&qp.Item)
	}
}

// toGroup gives a datagram to the members of a multicast group on this host.
func (in *inlet) toGroup(w *engine.Worker, p *packet, x *transport.Arrived) {
	for _, qp := range in.members(p.dst) {
		in.datagram(w, qp, p, x)
	}
}

// parse takes IP and UDP apart. What is left holds at least a BTH and an ICRC.
func (p *packet) parse(protocol uint16, b []byte) bool {
	var payload []byte
	switch protocol {
	case wire.EtherTypeIPv4:
		ip, rest, err := wire.ParseIPv4(b)
		if err != nil || ip.Protocol() != wire.ProtocolUDP {
			return false
		}
		p.src[10], p.src[11], p.dst[10], p.dst[11] = 0xff, 0xff, 0xff, 0xff
		copy(p.src[12:], ip[12:16])
		copy(p.dst[12:], ip[16:20])
		p.ip, payload, p.trafficCls = ip, rest, ip.TOS()
	case wire.EtherTypeIPv6:
		ip, rest, err := wire.ParseIPv6(b)
		if err != nil || ip.NextHeader() != wire.ProtocolUDP {
			return false
		}
		copy(p.src[:], ip[8:24])
		copy(p.dst[:], ip[24:40])
		p.ip, payload, p.trafficCls = ip, rest, ip.TrafficClass()
	default:
		return false
	}
	p.ecn = p.trafficCls & udp.ECNMask
	u, rest, err := wire.ParseUDP(payload)
	if err != nil || u.DstPort() != RoCEPort || len(rest) < wire.BTHSize+wire.ICRCSize {
		return false
	}
	p.udp, p.rest = u, rest
	return true
}

// believe checks who sends and to whom, and finds the queue pair.
func (in *inlet) believe(f *flow) bool {
	cnt := &in.c.Counters
	if in.table.dests[f.outer] == nil {
		cnt.UnknownHost.Add(1)
		return false
	}
	n := in.table.networks[f.vni]
	if n == nil {
		cnt.UnknownVNI.Add(1)
		return false
	}
	from := n.byGID[f.src]
	if from == nil || from.Tag.(*way).host != f.outer {
		cnt.Forged.Add(1)
		return false
	}
	f.path = from
	if f.qpn == wire.QP1 {
		return in.believeMAD(f, n.name)
	}
	if f.group = f.dst.IsMulticast(); f.group {
		f.qp = groupQP
		return true
	}
	qp := in.dev.QP(verbs.QPN(f.qpn))
	if qp == nil || qp.Container().VNI != f.vni {
		cnt.UnknownQP.Add(1)
		return false
	}
	if !qp.Container().HasGID(f.dst) {
		cnt.WrongAddress.Add(1)
		return false
	}
	f.qp = qp
	if qp.Type == verbs.TypeUD {
		return true
	}
	if in.c.isHere(qp) || !leadsTo(in.c.current(qp).path, f.src, f.outer) {
		cnt.Forged.Add(1)
		return false
	}
	return true
}

// leadsTo says whether a path is that to a container at a host.
func leadsTo(p *transport.Path, g verbs.GID, host netip.Addr) bool {
	if p == nil {
		return false
	}
	w := p.Tag.(*way)
	return !w.plain && w.gid == g && w.host == host
}

// groupQP stands for "the members of a group" in a flow.
var groupQP = &verbs.QP{}
