package wire

import "encoding/binary"

// CMPath is a path between two ports, as REQ and LAP tell it; local is the sender of the message.
type CMPath struct {
	LocalLID, RemoteLID uint16
	LocalGID, RemoteGID [16]byte
	FlowLabel           uint32 // 20 bits
	PacketRate          uint8  // 6 bits
	TrafficClass        uint8
	HopLimit            uint8
	SL                  uint8 // 4 bits
	SubnetLocal         bool
	LocalAckTimeout     uint8 // 5 bits
}

// ends reads LIDs and GIDs, which stand alike in REQ and LAP.
func (p *CMPath) ends(d []byte) {
	p.LocalLID, p.RemoteLID = binary.BigEndian.Uint16(d), binary.BigEndian.Uint16(d[2:])
	copy(p.LocalGID[:], d[4:])
	copy(p.RemoteGID[:], d[20:])
	p.FlowLabel = get24(d[36:]) >> 4
	p.SL, p.SubnetLocal = d[42]>>4, d[42]&8 != 0
	p.LocalAckTimeout = d[43] >> 3
}

func (p *CMPath) putEnds(d []byte) {
	binary.BigEndian.PutUint16(d, p.LocalLID)
	binary.BigEndian.PutUint16(d[2:], p.RemoteLID)
	copy(d[4:20], p.LocalGID[:])
	copy(d[20:36], p.RemoteGID[:])
	put24(d[36:], p.FlowLabel<<4)
	d[42] = p.SL<<4 | flag(p.SubnetLocal, 3)
	d[43] = p.LocalAckTimeout << 3
}

// parseREQ reads the 44 bytes of a path in a REQ (12.6.5):
//
//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+-------------------------------+-------------------------------+
//	|        local port LID         |        remote port LID        |
//	+-------------------------------+-------------------------------+
//	|                   local port GID (16 bytes)                   |
//	+---------------------------------------------------------------+
//	|                  remote port GID (16 bytes)                   |
//	+---------------------------------------+-----------+-----------+
//	|              flow label               | reserved  |packet rate|
//	+---------------+---------------+-------+-+-----+---+-----+-----+
//	| traffic class |   hop limit   |  SL   |L| rsv |ack time |     |
//	+---------------+---------------+-------+-+-----+---------+-----+
//
// L: subnet local. In the alternate path the first of the last three bits is the REQ's SAP Supported.
func (p *CMPath) parseREQ(d []byte) {
	p.ends(d)
	p.PacketRate, p.TrafficClass, p.HopLimit = d[39]&0x3f, d[40], d[41]
}

func (p *CMPath) putREQ(d []byte) {
	p.putEnds(d)
	d[39], d[40], d[41] = p.PacketRate&0x3f, p.TrafficClass, p.HopLimit
}

// parseLAP reads the 44 bytes of a path in a LAP (12.8.1). It has the last fields of a REQ's path in another order: flow label, 4
// bits reserved, traffic class; hop limit, 2 bits reserved, packet rate, then as in REQ.
func (p *CMPath) parseLAP(d []byte) {
	p.ends(d)
	p.TrafficClass, p.HopLimit, p.PacketRate = d[39], d[40], d[41]&0x3f
}

func (p *CMPath) putLAP(d []byte) {
	p.putEnds(d)
	d[39], d[40], d[41] = p.TrafficClass, p.HopLimit, p.PacketRate&0x3f
}
