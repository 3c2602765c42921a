package verbs

import "encoding/binary"

// GRHSize is the room for a global route header before a datagram in a receive's memory, in bytes.
const GRHSize = 40

// GRH is a global route header in its IPv6 form, which every consumer takes, also for IPv4 addresses (RoCEv2 has no GRH; the receiver's
// buffer has room for one all the same, IBTA A17.4.5.1).
type GRH [GRHSize]byte

// GRHFields is what a GRH says. Length is the bytes that follow it in a packet.
type GRHFields struct {
	Src, Dst     GID
	TrafficClass uint8
	FlowLabel    uint32 // 20 bits
	HopLimit     uint8  // 0: the usual one
	Length       int
}

// Put writes the whole header.
func (b *GRH) Put(f GRHFields) {
	const version, protocolUDP, usualHops = 6 << 28, 17, 64
	binary.BigEndian.PutUint32(b[0:], version|uint32(f.TrafficClass)<<20|f.FlowLabel&0xfffff)
	binary.BigEndian.PutUint16(b[4:], uint16(f.Length))
	b[6] = protocolUDP
	if b[7] = f.HopLimit; b[7] == 0 {
		b[7] = usualHops
	}
	copy(b[8:24], f.Src[:])
	copy(b[24:40], f.Dst[:])
}
