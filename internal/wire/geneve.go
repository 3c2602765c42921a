package wire

import (
	"encoding/binary"
	"errors"
)

// GeneveSize is the bytes of a Geneve header without options, which is what Put writes.
const GeneveSize = 8

// What is inside a tunnel: EtherTypes of packets without an Ethernet header.
const (
	EtherTypeIPv4 = 0x0800
	EtherTypeIPv6 = 0x86dd
)

// Why bytes are no Geneve packet for us; also ErrShort and ErrVersion.
var (
	ErrGeneveCritical = errors.New("wire: Geneve option that must be understood")
	ErrGeneveControl  = errors.New("wire: Geneve control packet")
	ErrGeneveOption   = errors.New("wire: malformed Geneve options")
)

// Geneve is a Geneve header with its options (RFC 8926 section 3.4):
//
//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+---+-----------+-+-+-----------+-------------------------------+
//	|Ver|  Opt Len  |O|C|  reserved |         protocol type         |
//	+---+-----------+-+-+-----------+---------------+---------------+
//	|         virtual network identifier (VNI)      |    reserved   |
//	+-----------------------------------------------+---------------+
//	|                   options, 4·Opt Len bytes                    |
//
// O: control packet; C: an option must be understood by whoever takes the packet.
type Geneve []byte

// ParseGeneve takes the packet at the start of b (the payload of a UDP datagram) apart. Both results alias b. Options are walked over
// and ignored; one that says of itself that it must be understood is an error, since we understand none, and so is a header
// that says so without any such option.
//
// Errors: ErrShort, ErrVersion, ErrGeneveControl, ErrGeneveCritical, ErrGeneveOption.
func ParseGeneve(b []byte) (g Geneve, inner []byte, err error) {
	if len(b) < GeneveSize {
		return nil, nil, ErrShort
	}
	size := GeneveSize + int(b[0]&0x3f)*4
	switch {
	case b[0]>>6 != 0:
		return nil, nil, ErrVersion
	case len(b) < size:
		return nil, nil, ErrShort
	case b[1]&0x80 != 0:
		return nil, nil, ErrGeneveControl
	case b[1]&0x40 != 0:
		return nil, nil, ErrGeneveCritical
	}
	if size > GeneveSize {
		if err := checkOptions(b[GeneveSize:size]); err != nil {
			return nil, nil, err
		}
	}
	return Geneve(b[:size]), b[size:], nil
}

// checkOptions walks over options: class (2 bytes), type (1; the highest bit means critical), and 3 reserved bits before the length of
// the data in words.
func checkOptions(b []byte) error {
	for len(b) > 0 {
		n := 4 + int(b[3]&0x1f)*4 // b is whole words
		switch {
		case n > len(b):
			return ErrGeneveOption
		case b[2]&0x80 != 0:
			return ErrGeneveCritical
		}
		b = b[n:]
	}
	return nil
}

// Protocol returns the EtherType of what is inside.
func (g Geneve) Protocol() uint16 { return binary.BigEndian.Uint16(g[2:]) }

// VNI returns the number of the virtual network, 24 bits.
func (g Geneve) VNI() uint32 { return binary.BigEndian.Uint32(g[4:]) >> 8 }

// Put writes a header without options.
func (g Geneve) Put(vni uint32, protocol uint16) {
	_ = g[GeneveSize-1]
	g[0], g[1] = 0, 0
	binary.BigEndian.PutUint16(g[2:], protocol)
	binary.BigEndian.PutUint32(g[4:], vni<<8)
}

// PutOptions puts n bytes of options behind a header without any: s, if it says something, r, if there is one, and then one that says nothing and
// that everybody skips, for packets that are to be longer. n is whole words and at most 252, and not less than the two need; g must have room.
func (g Geneve) PutOptions(s Steer, r *Rider, n int) {
	g[0] = uint8(n / 4)
	o := g[GeneveSize : GeneveSize+n]
	if s.Some() {
		s.put(o[:SteerSize])
		o = o[SteerSize:]
	}
	if r.OK {
		r.put(o[:RiderSize])
		o = o[RiderSize:]
	}
	for len(o) > 0 {
		k := min(len(o), 4*32)
		clear(o[:k])
		binary.BigEndian.PutUint32(o, optionClass|uint32(k/4-1))
		o = o[k:]
	}
}
