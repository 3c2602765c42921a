package uapi

import "encoding/binary"

// UserPathRec is a path record as QUERY_ROUTE has it. DLID, SLID, FlowLabel and PKey are in network byte order.
type UserPathRec struct {
	_                      struct{} `c:"ib_user_path_rec"`
	DGID                   [16]byte `c:"dgid"`
	SGID                   [16]byte `c:"sgid"`
	DLID                   [2]byte  `c:"dlid"`
	SLID                   [2]byte  `c:"slid"`
	RawTraffic             uint32   `c:"raw_traffic"`
	FlowLabel              [4]byte  `c:"flow_label"`
	Reversible             uint32   `c:"reversible"`
	MTU                    uint32   `c:"mtu"`
	PKey                   [2]byte  `c:"pkey"`
	HopLimit               uint8    `c:"hop_limit"`
	TrafficClass           uint8    `c:"traffic_class"`
	NumbPath               uint8    `c:"numb_path"`
	SL                     uint8    `c:"sl"`
	MTUSelector            uint8    `c:"mtu_selector"`
	RateSelector           uint8    `c:"rate_selector"`
	Rate                   uint8    `c:"rate"`
	PacketLifeTimeSelector uint8    `c:"packet_life_time_selector"`
	PacketLifeTime         uint8    `c:"packet_life_time"`
	Preference             uint8    `c:"preference"`
}

// PathRec is what there is to say of a path between two GIDs of RoCE.
type PathRec struct {
	ServiceID      uint64
	DGID, SGID     [16]byte
	FlowLabel      uint32 // 20 bits
	HopLimit       uint8
	TrafficClass   uint8
	PKey           uint16
	MTU            uint8 // a code, 1 to 5
	PacketLifeTime uint8 // 4.096 µs × 2^n
}

// User gives a path as QUERY_ROUTE has it.
func (p *PathRec) User() UserPathRec {
	u := UserPathRec{DGID: p.DGID, SGID: p.SGID, Reversible: 1, MTU: uint32(p.MTU), HopLimit: p.HopLimit, TrafficClass: p.TrafficClass,
		MTUSelector: pathExactly, RateSelector: pathExactly, PacketLifeTimeSelector: pathExactly, PacketLifeTime: p.PacketLifeTime}
	binary.BigEndian.PutUint32(u.FlowLabel[:], p.FlowLabel)
	binary.BigEndian.PutUint16(u.PKey[:], p.PKey)
	return u
}

// pathExactly is the selector of a value that is neither an upper nor a lower bound (IBTA 15.2.5.16).
const pathExactly = 2

// PathData is a path as QUERY has it, and as RDMA_OPTION_IB_PATH sets it: struct ib_path_rec_data, a path record as on the wire after
// two words:
//
//	0   u32 flags        4  u32 reserved
//	8   u64 service ID   16 DGID   32 SGID        all from here in network byte order
//	48  u16 DLID         50 u16 SLID
//	52  u1 raw traffic, u3, u20 flow label, u8 hop limit
//	56  u8 traffic class 57 u1 reversible, u7 paths 58 u16 PKey
//	60  u16 QoS class, SL
//	62  u2 selector, u6 MTU      63 u2 selector, u6 rate
//	64  u2 selector, u6 packet life time   65 u8 preference   66 reserved
type PathData []byte

// PathDataSize is sizeof(struct ib_path_rec_data).
const PathDataSize = 72

// PathFlags are the flags of the one path that an ID has: IB_PATH_GMP, PRIMARY, OUTBOUND and INBOUND_REVERSE.
const PathFlags uint32 = 1<<0 | 1<<1 | 1<<3 | 1<<5

// AppendData appends the path as QUERY has it.
func (p *PathRec) AppendData(b []byte) []byte {
	b = append(b, make([]byte, PathDataSize)...)
	d := b[len(b)-PathDataSize:]
	binary.LittleEndian.PutUint32(d, PathFlags)
	binary.BigEndian.PutUint64(d[8:], p.ServiceID)
	copy(d[16:], p.DGID[:])
	copy(d[32:], p.SGID[:])
	binary.BigEndian.PutUint32(d[52:], p.FlowLabel<<8|uint32(p.HopLimit))
	d[56] = p.TrafficClass
	d[57] = 1 << 7
	binary.BigEndian.PutUint16(d[58:], p.PKey)
	d[62] = pathExactly<<6 | p.MTU
	d[63] = pathExactly << 6
	d[64] = pathExactly<<6 | p.PacketLifeTime
	return b
}

// Flags returns what the path is for.
func (d PathData) Flags() uint32 { return binary.LittleEndian.Uint32(d) }

// DGID returns the peer's GID.
func (d PathData) DGID() [16]byte { return [16]byte(d[16:32]) }

// SGID returns our GID.
func (d PathData) SGID() [16]byte { return [16]byte(d[32:48]) }
