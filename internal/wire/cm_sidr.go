package wire

import "encoding/binary"

// Bytes in the messages of service ID resolution.
const (
	CMSIDRReqPrivateSize = 216
	CMSIDRRepPrivateSize = 136
	CMSIDRRepInfoSize    = 72
)

// CMSIDRReq is a SIDR_REQ, Service ID Resolution Request (12.11.1):
//
//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+---------------------------------------------------------------+
//	|                          request ID                           | 0
//	+-------------------------------+-------------------------------+
//	|              PKey             |           reserved            | 4
//	+-------------------------------+-------------------------------+
//	|                     service ID (8 bytes)                      | 8
//	+---------------------------------------------------------------+
//	|                   private data (216 bytes)                    | 16
type CMSIDRReq struct {
	RequestID uint32
	PKey      uint16
	ServiceID uint64
	Private   []byte
}

// Parse fills q.
func (q *CMSIDRReq) Parse(m MAD) {
	d := m.Data()
	*q = CMSIDRReq{binary.BigEndian.Uint32(d), binary.BigEndian.Uint16(d[4:]), binary.BigEndian.Uint64(d[8:]), d[16:]}
}

// Put writes q.
func (q *CMSIDRReq) Put(m MAD) {
	d := m.cmData()
	binary.BigEndian.PutUint32(d, q.RequestID)
	binary.BigEndian.PutUint16(d[4:], q.PKey)
	binary.BigEndian.PutUint64(d[8:], q.ServiceID)
	copy(d[16:], q.Private)
}

// CMSIDRRep is a SIDR_REP, Service ID Resolution Response (12.11.2):
//
//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+---------------------------------------------------------------+
//	|                          request ID                           | 0
//	+---------------+---------------+-------------------------------+
//	|    status     |  info length  |           vendor 1            | 4
//	+---------------+---------------+---------------+---------------+
//	|                      QPN                      |   vendor 2    | 8
//	+-----------------------------------------------+---------------+
//	|                     service ID (8 bytes)                      | 12
//	+---------------------------------------------------------------+
//	|                             QKey                              | 20
//	+---------------------------------------------------------------+
//	|             additional information (72 bytes)                 | 24
//	+---------------------------------------------------------------+
//	|                   private data (136 bytes)                    | 96
type CMSIDRRep struct {
	RequestID uint32
	Status    uint8
	VendorID  uint32 // vendor 1 has the upper 16 bits of 24
	QPN       uint32 // 24 bits
	ServiceID uint64
	QKey      uint32
	Info      []byte // as long as the message says
	Private   []byte
}

// Parse fills p.
//
// Errors: ErrLength (more information than there is room for).
func (p *CMSIDRRep) Parse(m MAD) error {
	d := m.Data()
	n := int(d[5])
	if n > CMSIDRRepInfoSize {
		return ErrLength
	}
	*p = CMSIDRRep{binary.BigEndian.Uint32(d), d[4], uint32(binary.BigEndian.Uint16(d[6:]))<<8 | uint32(d[11]), get24(d[8:]),
		binary.BigEndian.Uint64(d[12:]), binary.BigEndian.Uint32(d[20:]), d[24 : 24+n : 96], d[96:]}
	return nil
}

// Put writes p.
func (p *CMSIDRRep) Put(m MAD) {
	d := m.cmData()
	binary.BigEndian.PutUint32(d, p.RequestID)
	d[4] = p.Status
	d[5] = uint8(copy(d[24:96], p.Info))
	binary.BigEndian.PutUint16(d[6:], uint16(p.VendorID>>8))
	put24(d[8:], p.QPN)
	d[11] = byte(p.VendorID)
	binary.BigEndian.PutUint64(d[12:], p.ServiceID)
	binary.BigEndian.PutUint32(d[20:], p.QKey)
	copy(d[96:], p.Private)
}
