package wire

// Bytes in the messages of alternate paths.
const (
	CMLapPrivateSize = 168
	CMAprInfoSize    = 72
	CMAprPrivateSize = 148
)

// Statuses of an APR (12.8.2.1, table 117).
const (
	CMAprAccepted      uint8 = 0
	CMAprInvalidCommID uint8 = 1
	CMAprUnsupported   uint8 = 2 // alternate paths
	CMAprRejected      uint8 = 3
)

// CMLap is a LAP, Load Alternate Path (12.8.1):
//
//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+---------------------------------------------------------------+
//	|                    local communication ID                     | 0
//	+---------------------------------------------------------------+
//	|                    remote communication ID                    | 4
//	+---------------------------------------------------------------+
//	|                           reserved                            | 8
//	+-----------------------------------------------+---------+-----+
//	|                   remote QPN                  |rem. time| rsv | 12
//	+-----------------------------------------------+---------+-----+
//	|                           reserved                            | 16
//	+---------------------------------------------------------------+
//	|                   alternate path (44 bytes)                   | 20
//	+---------------------------------------------------------------+
//	|                   private data (168 bytes)                    | 64
type CMLap struct {
	CMIDs
	RemoteQPN         uint32
	RemoteRespTimeout uint8
	Alternate         CMPath
	Private           []byte
}

// Parse fills l.
func (l *CMLap) Parse(m MAD) {
	d := m.Data()
	l.parse(d)
	l.RemoteQPN, l.RemoteRespTimeout, l.Private = get24(d[12:]), d[15]>>3, d[64:]
	l.Alternate.parseLAP(d[20:])
}

// Put writes l.
func (l *CMLap) Put(m MAD) {
	d := m.cmData()
	l.put(d)
	put24(d[12:], l.RemoteQPN)
	d[15] = l.RemoteRespTimeout << 3
	l.Alternate.putLAP(d[20:])
	copy(d[64:], l.Private)
}

// CMApr is an APR, Alternate Path Response (12.8.2): two communication IDs; the information's length in byte 8, the status in byte 9;
// 72 bytes of information from byte 12 on, private data from byte 84 on.
type CMApr struct {
	CMIDs
	Status  uint8
	Info    []byte // as long as the message says
	Private []byte
}

// Parse fills r.
//
// Errors: ErrLength (more information than there is room for).
func (r *CMApr) Parse(m MAD) error {
	d := m.Data()
	n := int(d[8])
	if n > CMAprInfoSize {
		return ErrLength
	}
	r.parse(d)
	r.Status, r.Info, r.Private = d[9], d[12:12+n:84], d[84:]
	return nil
}

// Put writes r.
func (r *CMApr) Put(m MAD) {
	d := m.cmData()
	r.put(d)
	d[8] = uint8(copy(d[12:84], r.Info))
	d[9] = r.Status
	copy(d[84:], r.Private)
}
