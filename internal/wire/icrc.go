package wire

import (
	"encoding/binary"
	"hash/crc32"
)

// ICRCSize is the bytes of the invariant CRC, which ends every packet.
const ICRCSize = 4

// CRC is an invariant CRC in the making (A17.3.3, 7.8.1): CRC-32 over eight bytes of ones (where InfiniBand has its LRH), the IP
// and UDP headers, and the packet from its BTH on. What routers and switches may change counts as ones: IPv4 type of service, time to
// live and checksum; IPv6 traffic class, flow label and hop limit; UDP checksum; FECN, BECN and the reserved bits beside them in the BTH.
//
// Everything else counts, also the IPv4 identification and the lengths: the headers must be given as they will be on the wire (see FindID
// for who does not know them). A CRC is a value: a copy may go another way from where it was made.
type CRC struct{ sum uint32 }

// CRC-32 is computed by carry-less multiplication of blocks of 16 bytes, from 64 bytes up; what is not such a block costs several times
// as much a byte. So Begin makes the masked headers end at the end of blocks, and fills up in front, where zeros
// are without effect if one starts from the right register.
const (
	block     = 16
	blocksMin = 64
	restWhole = 128 // so much after the UDP header goes in with the headers: all of a message of 64 bytes
	restPart  = 32  // and of longer ones this, and what makes the remainder whole blocks
)

// starts[n] is the sum after which n zero bytes lead to that of the eight bytes of ones.
var starts = func() (t [blocksMin]uint32) {
	register := ^crc32.ChecksumIEEE([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	for n := range t {
		t[n] = ^register
		for range 8 {
			register = back1(register)
		}
	}
	return t
}()

// Begin starts an ICRC with the headers. ip is the IP header alone (20 bytes of IPv4, or 40 of IPv6, told apart by the
// version in it), udp the 8 bytes of UDP, rest what follows: the BTH, at least, and as much more as stands in one piece with it: a
// short message is cheapest in one piece. Headers of other sizes give a sum that no packet has. The arguments are only read.
func Begin(ip, udp, rest []byte) CRC {
	var buf [IPv6Size + UDPSize + restWhole]byte
	six := len(ip) >= IPv6Size && ip[0]>>4 == 6
	size := IPv4Size + UDPSize
	if six {
		size = IPv6Size + UDPSize
	}
	now := len(rest)
	if now > restWhole {
		now = restPart + now%block
	}
	fill := max(blocksMin-(size+now), -(size+now)&(block-1))
	b := buf[fill : fill+size+now]
	if six {
		maskIPv6(b, ip)
	} else {
		maskIPv4(b, ip)
	}
	copy(b[size-UDPSize:size], udp)
	b[size-2], b[size-1] = 0xff, 0xff
	copy(b[size:], rest)
	if now > 4 {
		b[size+4] = 0xff
	}
	c := CRC{sum: crcUpdate(starts[fill], buf[:fill+len(b)])}
	c.Update(rest[now:])
	return c
}

func maskIPv4(to, ip []byte) {
	copy(to[:IPv4Size], ip)
	to[1], to[8], to[10], to[11] = 0xff, 0xff, 0xff, 0xff
}

func maskIPv6(to, ip []byte) {
	copy(to[:IPv6Size], ip)
	binary.BigEndian.PutUint32(to, 0x6fff_ffff)
	to[7] = 0xff
}

// Update goes on with b: the next piece of payload or padding, of any length; pieces of less than 64 bytes cost more a byte.
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
