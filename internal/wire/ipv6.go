package wire

import (
	"encoding/binary"
	"net/netip"
)

// IPv6 is the fixed IPv6 header, 40 bytes (RFC 8200). Extension headers are not taken: they would be another protocol than UDP.
//
//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+-------+---------------+---------------------------------------+
//	|   6   | traffic class |              flow label               |
//	+-------+---------------+-------+---------------+---------------+
//	|         payload length        |  next header  |   hop limit   |
//	+-------------------------------+---------------+---------------+
//	|                  source address, 16 bytes                     |
//	+---------------------------------------------------------------+
//	|                destination address, 16 bytes                  |
//	+---------------------------------------------------------------+
type IPv6 []byte

// IPv6Fields is what an IPv6 header says.
type IPv6Fields struct {
	TrafficClass, NextHeader, HopLimit uint8
	FlowLabel                          uint32 // 20 bits
	Length                             uint16 // bytes of the payload alone
	Src, Dst                           netip.Addr
}

// ParseIPv6 takes the packet at the start of b apart, as ParseIPv4 does.
//
// Errors: ErrShort, ErrIPHeader, ErrLength.
func ParseIPv6(b []byte) (ip IPv6, payload []byte, err error) {
	if len(b) < IPv6Size {
		return nil, nil, ErrShort
	}
	ip = IPv6(b[:IPv6Size])
	switch {
	case b[0]>>4 != 6:
		return nil, nil, ErrIPHeader
	case IPv6Size+ip.Length() > len(b):
		return nil, nil, ErrLength
	}
	return ip, b[IPv6Size : IPv6Size+ip.Length()], nil
}

// TrafficClass returns DSCP in the upper six bits, ECN in the lower two.
func (ip IPv6) TrafficClass() uint8 { return uint8(binary.BigEndian.Uint16(ip) >> 4) }

// FlowLabel returns the flow label, 20 bits.
func (ip IPv6) FlowLabel() uint32 { return binary.BigEndian.Uint32(ip) & 0xfffff }

// Length returns the bytes of the payload.
func (ip IPv6) Length() int { return int(binary.BigEndian.Uint16(ip[4:])) }

// NextHeader returns what the payload is.
func (ip IPv6) NextHeader() uint8 { return ip[6] }

// HopLimit returns the hop limit.
func (ip IPv6) HopLimit() uint8 { return ip[7] }

// Src returns the source address.
func (ip IPv6) Src() netip.Addr { return netip.AddrFrom16([16]byte(ip[8:24])) }

// Dst returns the destination address.
func (ip IPv6) Dst() netip.Addr { return netip.AddrFrom16([16]byte(ip[24:40])) }

// Put writes the whole header. IPv4 addresses in it become IPv4-mapped ones.
func (ip IPv6) Put(f *IPv6Fields) {
	_ = ip[IPv6Size-1]
	binary.BigEndian.PutUint32(ip, 6<<28|uint32(f.TrafficClass)<<20|f.FlowLabel&0xfffff)
	binary.BigEndian.PutUint16(ip[4:], f.Length)
	ip[6], ip[7] = f.NextHeader, f.HopLimit
	src, dst := f.Src.As16(), f.Dst.As16()
	copy(ip[8:], src[:])
	copy(ip[24:], dst[:])
}

// SetLength changes the bytes of the payload.
func (ip IPv6) SetLength(length uint16) { binary.BigEndian.PutUint16(ip[4:], length) }
