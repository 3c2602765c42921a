package wire

import "encoding/binary"

// Sizes of management datagrams, which are UD messages to and from QP 1.
const (
	MADSize       = 256 // of every MAD that is not segmented
	MADHeaderSize = 24
)

// QP1 is the queue pair of the general services, and its QKey, which everybody knows (10.2.5).
const (
	QP1     = 1
	QKeyQP1 = 0x8001_0000
)

// Classes of management (13.4.4, table 111).
const (
	ClassSA uint8 = 0x03 // subnet administration
	ClassCM uint8 = 0x07 // communication management
)

// ClassVersionCM is the version of the communication management class (12.6).
const ClassVersionCM uint8 = 2

// Methods (13.4.5). A response has the highest bit.
const (
	MethodGet      uint8 = 0x01
	MethodSet      uint8 = 0x02
	MethodSend     uint8 = 0x03 // the only one of communication management
	MethodGetResp  uint8 = 0x81
	MethodResponse uint8 = 0x80
)

// Attribute is what a MAD is about. Its meaning depends on the class.
type Attribute uint16

// Messages of communication management (12.6.1).
const (
	AttrConnectRequest      Attribute = 0x10 // REQ
	AttrMsgRcptAck          Attribute = 0x11 // MRA
	AttrConnectReject       Attribute = 0x12 // REJ
	AttrConnectReply        Attribute = 0x13 // REP
	AttrReadyToUse          Attribute = 0x14 // RTU
	AttrDisconnectRequest   Attribute = 0x15 // DREQ
	AttrDisconnectReply     Attribute = 0x16 // DREP
	AttrServiceIDResReq     Attribute = 0x17 // SIDR_REQ
	AttrServiceIDResReqResp Attribute = 0x18 // SIDR_REP
	AttrLoadAlternatePath   Attribute = 0x19 // LAP
	AttrAlternatePathResp   Attribute = 0x1a // APR
)

// MAD is a management datagram of 256 bytes; this is its common header (13.4.3), and what follows belongs to the class:
//
//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+---------------+---------------+---------------+---------------+
//	| base version  |     class     | class version |R|   method    |
//	+---------------+---------------+---------------+---------------+
//	|            status             |        class specific         |
//	+-------------------------------+-------------------------------+
//	|                        transaction ID                         |
//	|                                                               |
//	+-------------------------------+-------------------------------+
//	|           attribute           |           reserved            |
//	+-------------------------------+-------------------------------+
//	|                      attribute modifier                       |
//	+---------------------------------------------------------------+
type MAD []byte

// MADFields is what a common header says.
type MADFields struct {
	Class, ClassVersion, Method uint8
	Status                      uint16
	TID                         uint64
	Attribute                   Attribute
	Modifier                    uint32
}

// ParseMAD takes the payload of a packet for QP 1. The result aliases it. What class and method make of the rest, and whether they
// are known at all, is for the caller to see.
//
// Errors: ErrShort, ErrLength (more than a MAD), ErrVersion (the base version is not 1).
func ParseMAD(b []byte) (MAD, error) {
	switch {
	case len(b) < MADSize:
		return nil, ErrShort
	case len(b) > MADSize:
		return nil, ErrLength
	case b[0] != 1:
		return nil, ErrVersion
	}
	return MAD(b), nil
}

// Class returns the management class.
func (m MAD) Class() uint8 { return m[1] }

// ClassVersion returns the version of the class.
func (m MAD) ClassVersion() uint8 { return m[2] }

// Method returns the method, with the bit of a response.
func (m MAD) Method() uint8 { return m[3] }

// Status returns the status: 0 is success.
func (m MAD) Status() uint16 { return binary.BigEndian.Uint16(m[4:]) }

// TID returns the transaction: a response has that of the request.
func (m MAD) TID() uint64 { return binary.BigEndian.Uint64(m[8:]) }

// Attribute returns what the MAD is about.
func (m MAD) Attribute() Attribute { return Attribute(binary.BigEndian.Uint16(m[16:])) }

// Modifier returns the attribute's modifier.
func (m MAD) Modifier() uint32 { return binary.BigEndian.Uint32(m[20:]) }

// Data returns the 232 bytes that belong to the class.
func (m MAD) Data() []byte { return m[MADHeaderSize:MADSize] }

// LocalCommID returns the first word of every CM message: the sender's name for the communication (12.6).
func (m MAD) LocalCommID() uint32 { return binary.BigEndian.Uint32(m[MADHeaderSize:]) }

// RemoteCommID returns the second word of a CM message: the receiver's name for the communication. A REQ and the two messages of
// SIDR have something else there.
func (m MAD) RemoteCommID() uint32 { return binary.BigEndian.Uint32(m[MADHeaderSize+4:]) }

// Put writes the common header, and leaves the class's data alone.
func (m MAD) Put(f *MADFields) {
	_ = m[MADHeaderSize-1]
	m[0], m[1], m[2], m[3] = 1, f.Class, f.ClassVersion, f.Method
	binary.BigEndian.PutUint16(m[4:], f.Status)
	binary.BigEndian.PutUint16(m[6:], 0)
	binary.BigEndian.PutUint64(m[8:], f.TID)
	binary.BigEndian.PutUint32(m[16:], uint32(f.Attribute)<<16)
	binary.BigEndian.PutUint32(m[20:], f.Modifier)
}
