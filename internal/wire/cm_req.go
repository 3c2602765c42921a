package wire

import "encoding/binary"

// CMReqPrivateSize is the bytes of private data in a REQ.
const CMReqPrivateSize = 92

// Transport services of a REQ. Three means that ExtendedType says which.
const (
	CMTransportRC       uint8 = 0
	CMTransportUC       uint8 = 1
	CMTransportRD       uint8 = 2
	CMTransportExtended uint8 = 3 // ExtendedType 1 is XRC
)

// CMReq is a REQ, Request for Communication (12.6.5):
//
//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+---------------------------------------------------------------+
//	|                    local communication ID                     | 0
//	+---------------+-----------------------------------------------+
//	|   reserved    |                   vendor ID                   | 4
//	+---------------+-----------------------------------------------+
//	|                     service ID (8 bytes)                      | 8
//	+---------------------------------------------------------------+
//	|                    local CA GUID (8 bytes)                    | 16
//	+---------------------------------------------------------------+
//	|                           reserved                            | 24
//	+---------------------------------------------------------------+
//	|                          local QKey                           | 28
//	+-----------------------------------------------+---------------+
//	|                   local QPN                   |  resp. res.   | 32
//	+-----------------------------------------------+---------------+
//	|                  local EE context             | init. depth   | 36
//	+-----------------------------------------------+---------+---+-+
//	|                 remote EE context             |rem. time|TST|F| 40
//	+-----------------------------------------------+---------+---+-+
//	|                 starting PSN                  |loc. time|retry| 44
//	+-------------------------------+-------+-+-----+-------+-+-----+
//	|              PKey             |  MTU  |R| RNR |CM ret.|S| ext.| 48
//	+-------------------------------+-------+-+-----+-------+-+-----+
//	|                    primary path (44 bytes)                    | 52
//	+---------------------------------------------------------------+
//	|                   alternate path (44 bytes)                   | 96
//	+---------------------------------------------------------------+
//	|                   private data (92 bytes)                     | 140
//
// TST: transport service type; F: end-to-end flow control; R: RDC exists; S: SRQ.
type CMReq struct {
	LocalCommID        uint32
	VendorID           uint32 // 24 bits; enhanced connection establishment, whose options are the MAD's modifier
	ServiceID          uint64
	LocalCAGUID        uint64
	LocalQKey          uint32
	LocalQPN           uint32 // 24 bits, as those up to StartingPSN
	ResponderResources uint8  // RDMA reads and atomics that the sender takes at once
	LocalEECN          uint32
	InitiatorDepth     uint8 // that it sends at once
	RemoteEECN         uint32
	RemoteRespTimeout  uint8 // within which the receiver answers
	TransportService   uint8 // CMTransport...
	FlowControl        bool
	StartingPSN        uint32
	LocalRespTimeout   uint8 // within which the sender answers a REP
	RetryCount         uint8 // 3 bits
	PKey               uint16
	PathMTU            uint8 // 4 bits; 1 is 256 bytes, 5 is 4096
	RDCExists          bool
	RNRRetryCount      uint8 // 3 bits
	MaxCMRetries       uint8 // 4 bits
	SRQ                bool
	ExtendedType       uint8 // 3 bits
	Primary, Alternate CMPath
	SAPSupported       bool // suggested alternate path
	Private            []byte
}

// Parse fills q. Every MAD is some REQ; what its numbers make of it is for the caller to see.
func (q *CMReq) Parse(m MAD) {
	d := m.Data()
	*q = CMReq{
		LocalCommID: binary.BigEndian.Uint32(d), VendorID: get24(d[5:]),
		ServiceID: binary.BigEndian.Uint64(d[8:]), LocalCAGUID: binary.BigEndian.Uint64(d[16:]), LocalQKey: binary.BigEndian.Uint32(d[28:]),
		LocalQPN: get24(d[32:]), ResponderResources: d[35], LocalEECN: get24(d[36:]), InitiatorDepth: d[39],
		RemoteEECN: get24(d[40:]), RemoteRespTimeout: d[43] >> 3, TransportService: d[43] >> 1 & 3, FlowControl: d[43]&1 != 0,
		StartingPSN: get24(d[44:]), LocalRespTimeout: d[47] >> 3, RetryCount: d[47] & 7,
		PKey: binary.BigEndian.Uint16(d[48:]), PathMTU: d[50] >> 4, RDCExists: d[50]&8 != 0, RNRRetryCount: d[50] & 7,
		MaxCMRetries: d[51] >> 4, SRQ: d[51]&8 != 0, ExtendedType: d[51] & 7,
		SAPSupported: d[139]&4 != 0, Private: d[140:],
	}
	q.Primary.parseREQ(d[52:])
	q.Alternate.parseREQ(d[96:])
}

// Put writes q.
func (q *CMReq) Put(m MAD) {
	d := m.cmData()
	binary.BigEndian.PutUint32(d, q.LocalCommID)
	put24(d[5:], q.VendorID)
	binary.BigEndian.PutUint64(d[8:], q.ServiceID)
	binary.BigEndian.PutUint64(d[16:], q.LocalCAGUID)
	binary.BigEndian.PutUint32(d[28:], q.LocalQKey)
	put24(d[32:], q.LocalQPN)
	d[35] = q.ResponderResources
	put24(d[36:], q.LocalEECN)
	d[39] = q.InitiatorDepth
	put24(d[40:], q.RemoteEECN)
	d[43] = q.RemoteRespTimeout<<3 | q.TransportService&3<<1 | flag(q.FlowControl, 0)
	put24(d[44:], q.StartingPSN)
	d[47] = q.LocalRespTimeout<<3 | q.RetryCount&7
	binary.BigEndian.PutUint16(d[48:], q.PKey)
	d[50] = q.PathMTU<<4 | flag(q.RDCExists, 3) | q.RNRRetryCount&7
	d[51] = q.MaxCMRetries<<4 | flag(q.SRQ, 3) | q.ExtendedType&7
	q.Primary.putREQ(d[52:])
	q.Alternate.putREQ(d[96:])
	d[139] |= flag(q.SAPSupported, 2)
	copy(d[140:], q.Private)
}
