package wire

import "encoding/binary"

// Bytes in a REJ.
const (
	CMRejInfoSize    = 72
	CMRejPrivateSize = 148
)

// CMRej is a REJ, Reject (12.6.7):
//
//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+---------------------------------------------------------------+
//	|                    local communication ID                     | 0
//	+---------------------------------------------------------------+
//	|                    remote communication ID                    | 4
//	+---+-----------+-------------+-+-------------------------------+
//	|msg| reserved  | info length | |            reason             | 8
//	+---+-----------+-------------+-+-------------------------------+
//	|          additional reject information (72 bytes)             | 12
//	+---------------------------------------------------------------+
//	|                   private data (148 bytes)                    | 84
type CMRej struct {
	CMIDs
	Message CMMessage
	Reason  uint16
	Info    []byte // as long as the message says
	Private []byte
}

// Parse fills j.
//
// Errors: ErrLength (more information than there is room for).
func (j *CMRej) Parse(m MAD) error {
	d := m.Data()
	n := int(d[9] >> 1)
	if n > CMRejInfoSize {
		return ErrLength
	}
	j.parse(d)
	j.Message, j.Reason = CMMessage(d[8]>>6), binary.BigEndian.Uint16(d[10:])
	j.Info, j.Private = d[12:12+n:84], d[84:]
	return nil
}

// Put writes j.
func (j *CMRej) Put(m MAD) {
	d := m.cmData()
	j.put(d)
	d[8] = uint8(j.Message) << 6
	d[9] = uint8(copy(d[12:84], j.Info)) << 1
	binary.BigEndian.PutUint16(d[10:], j.Reason)
	copy(d[84:], j.Private)
}
