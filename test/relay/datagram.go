package relay

import (
	"encoding/binary"
	"net/netip"

	"github.com/freeflow-rdma/freeflow/internal/wire"
)

// datagram is a UDP datagram in a frame, whole and in one packet. It aliases the frame.
type datagram struct {
	src, dst netip.Addr
	udp      wire.UDP
	payload  []byte
}

// datagramIn finds the datagram of an Ethernet frame; false if it has none.
func datagramIn(frame []byte) (d datagram, ok bool) {
	if len(frame) < etherSize {
		return d, false
	}
	var inner []byte
	var protocol uint8
	switch binary.BigEndian.Uint16(frame[12:]) {
	case typeIPv4:
		ip, rest, err := wire.ParseIPv4(frame[etherSize:])
		if err != nil {
			return d, false
		}
		d.src, d.dst, protocol, inner = ip.Src(), ip.Dst(), ip.Protocol(), rest
	case typeIPv6:
		ip, rest, err := wire.ParseIPv6(frame[etherSize:])
		if err != nil {
			return d, false
		}
		d.src, d.dst, protocol, inner = ip.Src(), ip.Dst(), ip.NextHeader(), rest
	}
	if protocol != protoUDP {
		return d, false
	}
	var err error
	d.udp, d.payload, err = wire.ParseUDP(inner)
	return d, err == nil
}

// resum makes the checksum agree with the payload, unless the datagram has none.
func (d *datagram) resum() {
	if d.udp.Checksum() != 0 {
		d.udp.SetChecksum(d.src, d.dst, d.payload)
	}
}
