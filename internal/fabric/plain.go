package fabric

import (
	"encoding/binary"
	"net/netip"

	"github.com/freeflow-rdma/freeflow/internal/engine"
	"github.com/freeflow-rdma/freeflow/internal/fabric/udp"
	"github.com/freeflow-rdma/freeflow/internal/mem"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
	"github.com/freeflow-rdma/freeflow/internal/wire"
)

// sendPlain leaves a packet to a peer that is no router. The kernel writes the IP and UDP headers; they are made up here for the ICRC, as the
// kernel will write them: the socket's addresses and ports, and an identification that counts the packets of a run.
func (l *lane) sendPlain(w *way, num uint32, h *wire.Header, payload []mem.Span, n int, copyNow bool) {
	if l.plain == nil {
		return
	}
	h.Pad = wire.PadFor(n)
	size := h.Size()
	shape := udp.Shape{Header: size, Payload: n, Trailer: int(h.Pad) + wire.ICRCSize, Copy: copyNow}
	pk, err := l.plain.Queue(w.dest, shape, payload)
	if err != nil {
		l.c.Counters.SendFaults.Add(1)
		return
	}
	h.Put(pk.Header)
	var m madeUp
	ip, u := m.put(verbs.GIDOf(l.c.underlay), w.gid, RoCEPort, size+n+int(h.Pad)+wire.ICRCSize)
	identify(ip, pk.Segment)
	seal(pk, ip, u, pk.Header, int(h.Pad))
	if l.c.Tap.Active() {
		l.showSent(w, num, pk, ip, u, pk.Header)
	}
}

// madeUp is room for the IP and UDP headers of a packet to or from a peer that is no router, which the kernel puts on and takes off.
type madeUp struct {
	trafficClass uint8 // which the ICRC does not cover
	ip           [wire.IPv6Size]byte
	udp          [wire.UDPSize]byte
}

// put writes them for n bytes from the BTH on, with an identification of 0.
func (m *madeUp) put(src, dst verbs.GID, srcPort uint16, n int) (ip, u []byte) {
	ip, u = m.ip[:], m.udp[:]
	if isIPv4(&src) && isIPv4(&dst) {
		ip = ip[:wire.IPv4Size]
	}
	putIP(ip, &src, &dst, &verbs.AHAttr{TrafficClass: m.trafficClass}, wire.UDPSize+n)
	wire.UDP(u).Put(srcPort, RoCEPort, uint16(wire.UDPSize+n))
	return ip, u
}

// identify gives an IPv4 header its identification; IPv6 has none.
func identify(ip []byte, id uint16) {
	if len(ip) == wire.IPv4Size {
		wire.IPv4(ip).SetLength(uint16(wire.IPv4(ip).Length()), id)
	}
}

// takePlain takes a packet from a peer that is no router to an address of ours, or to a group. What the kernel has taken off is made up
// again for the ICRC; the identification is not known and is found (wire.FindID).
func (in *inlet) takePlain(w *engine.Worker, a *udp.Arrival, to netip.Addr) {
	cnt := &in.c.Counters
	cnt.ReceivedPlain.Add(1)
	if len(a.Bytes) < wire.BTHSize+wire.ICRCSize {
		cnt.Malformed.Add(1)
		return
	}
	p := packet{src: verbs.GIDOf(a.Src.Addr()), dst: verbs.GIDOf(to), rest: a.Bytes, ecn: a.TOS & udp.ECNMask, trafficCls: a.TOS}
	rest := p.rest[:len(p.rest)-wire.ICRCSize]
	f := &in.flow
	qpn := binary.BigEndian.Uint32(rest[4:]) & 0xffffff
	if f.qp == nil || f.qpn != qpn || f.src != p.src || f.dst != p.dst {
		in.hand(w)
		*f = flow{src: p.src, dst: p.dst, qpn: qpn}
		if !in.believePlain(f) {
			f.qp = nil
			return
		}
	}
	if !intact(&p, a.Src.Port(), rest) {
		cnt.BadICRC.Add(1)
		return
	}
	if in.c.Tap.Active() {
		in.showPlain(&p, a.Src.Port())
	}
	in.accept(w, &p, rest)
}

// believePlain checks that the queue pair speaks to peers that are no routers, and to this one if it is connected.
func (in *inlet) believePlain(f *flow) bool {
	cnt := &in.c.Counters
	if f.dst.IsMulticast() {
		return in.believePlainGroup(f)
	}
	if f.qpn == wire.QP1 {
		return in.believePlainMAD(f)
	}
	qp := in.dev.QP(verbs.QPN(f.qpn))
	if qp == nil || qp.Container().HostGID == 0 {
		cnt.UnknownQP.Add(1)
		return false
	}
	f.qp = qp
	if qp.Type == verbs.TypeUD {
		if f.path = in.table.outside(f.src); f.path == nil {
			cnt.UnknownHost.Add(1)
		}
		return f.path != nil
	}
	if in.c.isHere(qp) {
		cnt.Forged.Add(1)
		return false
	}
	if f.path = in.c.current(qp).path; f.path == nil || !f.path.Tag.(*way).plain || f.path.Tag.(*way).gid != f.src {
		cnt.Forged.Add(1)
		return false
	}
	return true
}

// intact checks the ICRC of a packet whose IP and UDP headers are gone.
func intact(p *packet, srcPort uint16, rest []byte) bool {
	var m madeUp
	ip, u := m.put(p.src, p.dst, srcPort, len(p.rest))
	got, want := wire.ICRC(ip, u, rest), wire.GetICRC(p.rest[len(rest):])
	if len(ip) != wire.IPv4Size {
		return got == want
	}
	var ok bool
	p.id, ok = wire.FindID(got, want, len(rest))
	return ok
}
