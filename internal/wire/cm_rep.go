package wire

import "encoding/binary"

// Bytes of private data in the answers to a REQ.
const (
	CMRepPrivateSize = 196
	CMRTUPrivateSize = 224
	CMMRAPrivateSize = 222
)

// CMRep is a REP, Reply to Request for Communication (12.6.8):
//
//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+---------------------------------------------------------------+
//	|                    local communication ID                     | 0
//	+---------------------------------------------------------------+
//	|                    remote communication ID                    | 4
//	+---------------------------------------------------------------+
//	|                          local QKey                           | 8
//	+-----------------------------------------------+---------------+
//	|                   local QPN                   |   vendor 1    | 12
//	+-----------------------------------------------+---------------+
//	|                local EE context               |   vendor 2    | 16
//	+-----------------------------------------------+---------------+
//	|                 starting PSN                  |   vendor 3    | 20
//	+---------------+---------------+---------+---+-+-----+-+-------+
//	|  resp. res.   |  init. depth  |ack delay|fov|F| RNR |S|  rsv  | 24
//	+---------------+---------------+---------+---+-+-----+-+-------+
//	|                    local CA GUID (8 bytes)                    | 28
//	+---------------------------------------------------------------+
//	|                   private data (196 bytes)                    | 36
//
// fov: failover accepted; F: end-to-end flow control; S: SRQ.
type CMRep struct {
	CMIDs
	LocalQKey          uint32
	LocalQPN           uint32 // 24 bits, as those up to StartingPSN
	VendorID           uint32 // vendor 1 is the most significant byte
	LocalEECN          uint32
	StartingPSN        uint32
	ResponderResources uint8
	InitiatorDepth     uint8
	TargetAckDelay     uint8 // 5 bits
	FailoverAccepted   uint8 // 2 bits: 0 accepted, 1 not supported, 2 rejected
	FlowControl        bool
	RNRRetryCount      uint8 // 3 bits
	SRQ                bool
	LocalCAGUID        uint64
	Private            []byte
}

// Parse fills p.
func (p *CMRep) Parse(m MAD) {
	d := m.Data()
	*p = CMRep{
		LocalQKey: binary.BigEndian.Uint32(d[8:]), LocalQPN: get24(d[12:]),
		VendorID: uint32(d[15])<<16 | uint32(d[19])<<8 | uint32(d[23]), LocalEECN: get24(d[16:]), StartingPSN: get24(d[20:]),
		ResponderResources: d[24], InitiatorDepth: d[25],
		TargetAckDelay: d[26] >> 3, FailoverAccepted: d[26] >> 1 & 3, FlowControl: d[26]&1 != 0,
		RNRRetryCount: d[27] >> 5, SRQ: d[27]&0x10 != 0,
		LocalCAGUID: binary.BigEndian.Uint64(d[28:]), Private: d[36:],
	}
	p.parse(d)
}

// Put writes p.
func (p *CMRep) Put(m MAD) {
	d := m.cmData()
	p.put(d)
	binary.BigEndian.PutUint32(d[8:], p.LocalQKey)
	put24(d[12:], p.LocalQPN)
	d[15], d[19], d[23] = byte(p.VendorID>>16), byte(p.VendorID>>8), byte(p.VendorID)
	put24(d[16:], p.LocalEECN)
	put24(d[20:], p.StartingPSN)
	d[24], d[25] = p.ResponderResources, p.InitiatorDepth
	d[26] = p.TargetAckDelay<<3 | p.FailoverAccepted&3<<1 | flag(p.FlowControl, 0)
	d[27] = p.RNRRetryCount<<5 | flag(p.SRQ, 4)
	binary.BigEndian.PutUint64(d[28:], p.LocalCAGUID)
	copy(d[36:], p.Private)
}

// CMRTU is an RTU, Ready To Use (12.6.9): two communication IDs, and private data from byte 8 on.
type CMRTU struct {
	CMIDs
	Private []byte
}

// Parse fills u.
func (u *CMRTU) Parse(m MAD) {
	u.parse(m.Data())
	u.Private = m.Data()[8:]
}

// Put writes u.
func (u *CMRTU) Put(m MAD) {
	d := m.cmData()
	u.put(d)
	copy(d[8:], u.Private)
}

// CMMRA is an MRA, Message Receipt Acknowledgment (12.6.6): two communication IDs; the message that came in the first 2 bits of byte
// 8, the time that its answer will take in the first 5 of byte 9; private data from byte 10 on.
type CMMRA struct {
	CMIDs
	Message        CMMessage
	ServiceTimeout uint8
	Private        []byte
}

// Parse fills a.
func (a *CMMRA) Parse(m MAD) {
	d := m.Data()
	a.parse(d)
	a.Message, a.ServiceTimeout, a.Private = CMMessage(d[8]>>6), d[9]>>3, d[10:]
}

// Put writes a.
func (a *CMMRA) Put(m MAD) {
	d := m.cmData()
	a.put(d)
	d[8], d[9] = uint8(a.Message)<<6, a.ServiceTimeout<<3
	copy(d[10:], a.Private)
}
