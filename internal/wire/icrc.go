package wire

import "encoding/binary"

// ICRCSize is the bytes of the invariant CRC, which ends every packet.
const ICRCSize = 4

// CRC is an invariant CRC in the making (A17.3.3, 7.8.1): CRC-32 over eight bytes of ones (where InfiniBand has its LRH), the IP
// and UDP headers, and the packet from its BTH on. What routers and switches may change counts as ones: IPv4 type of service, time to
// live and checksum; IPv6 traffic class, flow label and hop limit; UDP checksum; FECN, BECN and the reserved bits beside them in the BTH.
//
// Everything else counts, also the IPv4 identification and the lengths: the headers must be given as they will be on the wire (see FindID
// for who does not know them). A CRC is a value: a copy may go another way from where it was made.
type CRC struct{ sum uint32 }

// prefixRoom is what Begin takes in one pass: ones, IP, UDP, and from the BTH on as much as makes a message of 64 bytes one pass. It is whole
// blocks of 16 bytes, which are what a CPU's carry-less multiplication takes at once.
const prefixRoom = 11 * 16

// Begin starts an ICRC with the headers. ip is the IP header alone (20 bytes of IPv4, or 40 of IPv6, told apart by the
// version in it), udp the 8 bytes of UDP, rest what follows: the BTH, at least, and as much more as stands in one piece with it.
// Headers of other sizes give a sum that no packet has. The arguments are only read.
func Begin(ip, udp, rest []byte) CRC {
	var buf [prefixRoom]byte
	binary.LittleEndian.PutUint64(buf[:], 1<<64-1)
	n := 8
	if len(ip) >= IPv6Size && ip[0]>>4 == 6 {
		n += maskIPv6(buf[n:], ip)
	} else {
		n += maskIPv4(buf[n:], ip)
	}
	at := n
	n += copy(buf[n:], udp[:min(len(udp), UDPSize)])
	buf[at+6], buf[at+7] = 0xff, 0xff
	at = n
	short := copy(buf[n:], rest)
	n += short
	buf[at+4] = 0xff
	c := CRC{sum: crcUpdate(0, buf[:n])}
	c.Update(rest[short:])
	return c
}

func maskIPv4(to, ip []byte) int {
	n := copy(to, ip[:min(len(ip), IPv4Size)])
	to[1], to[8], to[10], to[11] = 0xff, 0xff, 0xff, 0xff
	return n
}

func maskIPv6(to, ip []byte) int {
	n := copy(to, ip[:IPv6Size])
	binary.BigEndian.PutUint32(to, 0x6fff_ffff)
	to[7] = 0xff
	return n
}

// Update goes on with b: the next piece of headers, payload or padding. CRC-32 is fastest over pieces of 64 bytes and more.
func (c *CRC) Update(b []byte) { c.sum = crcUpdate(c.sum, b) }

// Sum returns the ICRC of everything given so far. PutICRC writes it to a packet.
func (c *CRC) Sum() uint32 { return c.sum }

// ICRC returns the ICRC of a packet in one piece: Begin with rest from the BTH up to, not including, the ICRC.
func ICRC(ip, udp, rest []byte) uint32 {
	c := Begin(ip, udp, rest)
	return c.Sum()
}

// PutICRC writes an ICRC to the first 4 bytes of b. The CRC's bits go out in the order that makes it little-endian in memory.
func PutICRC(b []byte, sum uint32) { binary.LittleEndian.PutUint32(b, sum) }

// GetICRC reads what PutICRC wrote.
func GetICRC(b []byte) uint32 { return binary.LittleEndian.Uint32(b) }
