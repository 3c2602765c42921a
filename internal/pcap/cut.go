package pcap

import (
	"net/netip"

	"github.com/freeflow-rdma/freeflow/internal/mem"
	"github.com/freeflow-rdma/freeflow/internal/wire"
)

// cutter makes the packets of one message.
type cutter struct {
	ring  *ring
	m     *Message
	src   netip.Addr
	dst   netip.Addr
	mtu   int
	left  [mem.MaxSpans]mem.Span // payload that is not in a packet yet
	spans int
	from  int      // the first of left that has bytes
	psn   wire.PSN // of the last packet
}

// stream emits a message in as many packets as it needs, from the responder if back. When the ring is full the rest is left out at
// once: it may be a gigabyte, and the worker has other things to do.
func (c *cutter) stream(p packets, back bool) {
	n := c.m.Length
	last := max(n-1, 0) / c.mtu
	if c.m.Service == wire.ServiceUD {
		last = 0
	}
	for i := 0; i <= last; i++ {
		op := p.middle
		switch {
		case last == 0:
			op = p.only
		case i == 0:
			op = p.first
		case i == last:
			op = p.last
		}
		c.psn = c.m.PSN.Add(i)
		size := min(n, c.mtu)
		if !c.emit(op, size, back) {
			c.ring.dropped.Add(uint64(last - i))
			c.psn = c.m.PSN.Add(last)
			return
		}
		n -= size
	}
}

// request emits a request of one packet, whose payload (of an atomic WRITE only) is all there is.
func (c *cutter) request(op wire.Opcode) {
	c.psn = c.m.PSN
	n := 0
	if op == wire.OpRCAtomicWrite {
		n = min(c.m.Length, 8)
	}
	c.emit(op, n, false)
}

// answer emits the responder's answer to the last packet.
func (c *cutter) answer(op wire.Opcode) { c.emit(op, 0, true) }

// emit makes one packet with the next n bytes of payload; false if the ring is full.
func (c *cutter) emit(op wire.Opcode, n int, back bool) bool {
	s := c.ring.claim()
	if s == nil {
		return false
	}
	h := c.header(op)
	h.Pad = wire.PadFor(n)
	src, dst := c.src, c.dst
	if back {
		src, dst, h.DestQP = dst, src, c.m.SrcQP
	}
	size := h.Size()
	putEthernet(s.frame[:], src, dst)
	ip, udp, b := c.putIP(s.frame[etherSize:], src, dst, size+n+int(h.Pad)+wire.ICRCSize)
	h.Put(b)
	c.read(b[size : size+n])
	end := size + n + int(h.Pad)
	clear(b[size+n : end])
	wire.PutICRC(b[end:], wire.ICRC(ip, udp, b[:end]))
	if len(ip) == wire.IPv6Size { // where a sum of 0 means an error; the ICRC does not cover it
		wire.UDP(udp).SetChecksum(src, dst, b[:end+wire.ICRCSize])
	}
	s.n = etherSize + len(ip) + len(udp) + end + wire.ICRCSize
	s.length = s.n
	s.publish()
	return true
}

// header is what a packet of the message says. Put takes what the opcode has.
func (c *cutter) header(op wire.Opcode) wire.Header {
	m := c.m
	info := op.Info()
	h := wire.Header{
		Opcode: op, PKey: 0xffff, DestQP: m.DestQP, PSN: c.psn,
		Solicited: m.Solicited && info.Request && info.Last,
		AckReq:    (info.Service == wire.ServiceRC || m.DestQP == wire.QP1) && info.Request && info.Last, // Linux sets it in MADs too
		VA:        m.VA, RKey: m.RKey, Length: uint32(m.Length),
		SwapAdd: m.SwapAdd, Compare: m.Compare, AtomicAck: m.Original,
		Syndrome: m.NAK, MSN: m.MSN, QKey: m.QKey, SrcQP: m.SrcQP, Imm: m.Imm, InvRKey: m.InvRKey,
	}
	if h.Syndrome == 0 {
		h.Syndrome = wire.SyndromeAck
	}
	return h
}

// putIP writes IP and UDP headers for n bytes, and says where these begin.
func (c *cutter) putIP(b []byte, src, dst netip.Addr, n int) (ip, udp, rest []byte) {
	const hops = 64
	n += wire.UDPSize
	size := wire.IPv4Size
	if src.Is4() && dst.Is4() {
		wire.IPv4(b[:size]).Put(&wire.IPv4Fields{
			TOS: c.m.TrafficClass, TTL: hops, Protocol: wire.ProtocolUDP, Length: uint16(size + n), Src: src, Dst: dst,
		})
	} else {
		size = wire.IPv6Size
		wire.IPv6(b[:size]).Put(&wire.IPv6Fields{
			TrafficClass: c.m.TrafficClass, NextHeader: wire.ProtocolUDP, HopLimit: hops, Length: uint16(n), Src: src, Dst: dst,
		})
	}
	udp = b[size : size+wire.UDPSize]
	wire.UDP(udp).Put(wire.FlowPort(c.m.SrcQP, c.m.DestQP), wire.PortRoCE, uint16(n))
	return b[:size], udp, b[size+wire.UDPSize:]
}

// read takes the next len(to) bytes of the payload.
func (c *cutter) read(to []byte) {
	var dst, src [1]mem.Span
	for len(to) > 0 && c.from < c.spans {
		s := &c.left[c.from]
		n := min(s.N, len(to))
		src[0], dst[0] = *s, mem.Mapped(to[:n])
		src[0].N = n
		if s.P == nil && s.Proc == nil {
			clear(to[:n])
		} else if _, err := mem.Copy(dst[:], src[:], nil); err != nil {
			clear(to[:n])
		}
		if n == s.N {
			c.from++
		} else {
			skip(s, n)
		}
		to = to[n:]
	}
	clear(to)
}
