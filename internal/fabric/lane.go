package fabric

import (
	"encoding/binary"
	"net/netip"
	"sync/atomic"

	"github.com/freeflow-rdma/freeflow/internal/fabric/udp"
	"github.com/freeflow-rdma/freeflow/internal/mem"
	"github.com/freeflow-rdma/freeflow/internal/transport"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
	"github.com/freeflow-rdma/freeflow/internal/wire"
)

// lane is what one worker sends with: it is the transport's Output and the engine's Egress.
type lane struct {
	c      *Carrier
	core   int  // of the worker; -1: of none
	bulk   bool // the queue pair that runs sends much
	env    transport.Env
	tunnel *udp.Batch    // nil before Start
	plain  *udp.Batch    // nil if there are no external peers
	av     *verbs.AHAttr // of the datagram that is being sent
	closed atomic.Bool   // the ports are closed
	even   even
	last   lastPath
}

// even makes packets of one length out of such as differ by a header, so that they go as one message: of the packets of a WRITE the first
// has a RETH, of a READ's responses the first and the last have an AETH. The shorter ones get an option of Geneve, which the peer skips.
type even struct {
	dest *udp.Dest
	size int // bytes of the packets to it
}

// mostPadding is the longest option worth it.
const mostPadding = 16 // RETH

// option says how many bytes of option a packet of size bytes gets. Only full packets are made longer: others end a run anyway.
func (e *even) option(d *udp.Dest, size int, full bool) int {
	if e.dest == d && full && e.size > size && e.size <= size+mostPadding {
		return e.size - size
	}
	if full {
		e.dest, e.size = d, size
	}
	return 0
}

// The inner IPv4 or IPv6, UDP and Geneve headers before the BTH.
const (
	overhead4 = wire.GeneveSize + wire.IPv4Size + wire.UDPSize
	overhead6 = wire.GeneveSize + wire.IPv6Size + wire.UDPSize
)

// pressedAt is the number of queued packets from which on they leave before the next turn.
const pressedAt = 192

// Pressed is engine.Egress's.
func (l *lane) Pressed() bool {
	return l.tunnel != nil && l.tunnel.Queued() >= pressedAt || l.plain != nil && l.plain.Queued() >= pressedAt
}

// Flush is engine.Egress's.
func (l *lane) Flush() {
	if l.closed.Load() {
		return
	}
	if l.tunnel != nil && l.tunnel.Queued() > 0 {
		l.tunnel.Flush()
	}
	if l.plain != nil && l.plain.Queued() > 0 {
		l.plain.Flush()
	}
}

// Room is transport.Output's.
func (l *lane) Room() int {
	if l.tunnel == nil || l.closed.Load() {
		return 1 // what is sent is lost
	}
	if l.plain != nil {
		return min(l.tunnel.Room(), l.plain.Room())
	}
	return l.tunnel.Room()
}

// Packet is transport.Output's: it encodes one packet and leaves it in the batch of its way.
func (l *lane) Packet(p *transport.Path, qp *verbs.QP, h *wire.Header, payload []mem.Span, n int, copyNow bool) {
	if p == nil || l.tunnel == nil || l.closed.Load() {
		return
	}
	w := p.Tag.(*way)
	o := origin{dst: &w.gid, num: uint32(qp.Num)}
	switch {
	case w.plain:
		l.sendPlain(w, o.num, h, payload, n, copyNow)
		return
	case qp.Type != verbs.TypeUD:
		r := linkOf(qp).route.Load()
		o.src, o.av = &r.src, &r.attr.AV
		o.full = verbs.MTUBytes(r.attr.PathMTU)
		if l.c.steers {
			s := &linkOf(qp).steer
			l.bulk = s.sent(l.env.Now, n, l.core) || l.bulk
			o.steer = s.says()
		}
	case h.Opcode == wire.OpCNP:
		o.src, o.av = answering(qp, &w.gid), &noAV
	default:
		o.src, o.dst, o.av = source(qp.Container(), int(l.av.SGIDIndex)), &l.av.DGID, l.av
	}
	l.sendTunnel(w, &o, h, payload, n, copyNow)
}

// origin says whose packet it is, whether a queue pair's or not: what the headers say of sender and receiver.
type origin struct {
	src, dst *verbs.GID
	av       *verbs.AHAttr // by which it is sent
	num      uint32        // the queue pair's
	full     uint32        // bytes of payload that its full packets have; 0: there are none
	steer    wire.Steer
}

// sendTunnel leaves a packet to another router. The rest is as for Packet; in a struct it would cost 10 ns a packet.
func (l *lane) sendTunnel(w *way, o *origin, h *wire.Header, payload []mem.Span, n int, copyNow bool) {
	h.Pad = wire.PadFor(n)
	v4 := isIPv4(o.src) && isIPv4(o.dst)
	over := overhead6
	if v4 {
		over = overhead4
	}
	size := h.Size()
	extra := 0
	if o.steer.Some() {
		extra = wire.SteerSize
	}
	if h.Rider.OK {
		extra += wire.RiderSize
	}
	option := extra + l.even.option(w.dest, extra+size+over+n, n >= evenFrom && uint32(n) == o.full)
	shape := udp.Shape{Header: option + over + size, Payload: n, Trailer: int(h.Pad) + wire.ICRCSize, Copy: copyNow}
	pk, err := l.tunnel.Queue(w.dest, shape, payload)
	if err != nil {
		l.c.Counters.SendFaults.Add(1)
		return
	}
	wire.Geneve(pk.Header).Put(w.vni, ether(v4))
	if option > 0 {
		wire.Geneve(pk.Header).PutOptions(o.steer, &h.Rider, option)
	}
	b := pk.Header[option:] // from here on as if there were no option
	ipLen := over - wire.GeneveSize - wire.UDPSize
	length := wire.UDPSize + size + n + int(h.Pad) + wire.ICRCSize
	ip := b[wire.GeneveSize:][:ipLen]
	putIP(ip, o.src, o.dst, o.av, length)
	u := wire.UDP(b[over-wire.UDPSize:][:wire.UDPSize])
	u.Put(wire.FlowPort(o.num, h.DestQP), RoCEPort, uint16(length))
	h.Put(b[over:])
	seal(pk, ip, u, b[over:over+size], int(h.Pad))
	if l.c.Tap.Active() {
		l.showSent(w, o.num, pk, ip, u, b[over:over+size])
	}
}

// evenFrom is the shortest payload worth an option, in bytes.
const evenFrom = 1024

func ether(v4 bool) uint16 {
	if v4 {
		return wire.EtherTypeIPv4
	}
	return wire.EtherTypeIPv6
}

// noAV is the address vector of what no program has sent.
var noAV verbs.AHAttr

// answering gives a container's address of the same kind as the one that is answered.
func answering(qp *verbs.QP, to *verbs.GID) *verbs.GID {
	gids := qp.Container().GIDs
	for i := range gids {
		if isIPv4(&gids[i]) == isIPv4(to) {
			return &gids[i]
		}
	}
	return &gids[0]
}

// isIPv4 says whether a GID is an IPv4 address.
func isIPv4(g *verbs.GID) bool {
	return binary.BigEndian.Uint64(g[:]) == 0 && binary.BigEndian.Uint32(g[8:]) == 0xffff
}

// hops is the time to live of a packet.
func hops(av *verbs.AHAttr) uint8 {
	if av.HopLimit == 0 {
		return 64
	}
	return av.HopLimit
}

// putIP writes the header of a packet with length bytes from the UDP header on, into the bytes of an IPv4 or of an IPv6 header. The
// identification is 0, as the packet may not be fragmented (RFC 6864).
func putIP(b []byte, src, dst *verbs.GID, av *verbs.AHAttr, length int) {
	if len(b) == wire.IPv4Size {
		wire.IPv4(b).Put(&wire.IPv4Fields{TOS: av.TrafficClass, TTL: hops(av), Protocol: wire.ProtocolUDP, Length: uint16(wire.IPv4Size + length),
			Src: src.Addr(), Dst: dst.Addr()})
		return
	}
	wire.IPv6(b).Put(&wire.IPv6Fields{TrafficClass: av.TrafficClass, NextHeader: wire.ProtocolUDP, HopLimit: hops(av), FlowLabel: av.FlowLabel & 0xfffff,
		Length: uint16(length), Src: netip.AddrFrom16(*src), Dst: netip.AddrFrom16(*dst)})
}

// seal writes pad and ICRC behind the payload.
func seal(pk *udp.Packet, ip, u, rest []byte, pad int) {
	crc := wire.Begin(ip, u, rest)
	for _, part := range pk.Payload {
		crc.Update(part)
	}
	clear(pk.Trailer[:pad])
	if pad > 0 {
		crc.Update(pk.Trailer[:pad])
	}
	wire.PutICRC(pk.Trailer[pad:], crc.Sum())
}
