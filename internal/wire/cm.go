package wire

import "encoding/binary"

// Communication management (12.6): each message has a struct of its fields, filled by its Parse from a MAD that ParseMAD took, and
// written by its Put into one. Neither looks at the common header but for PutCM. Put writes all 232 bytes of the class's data, the
// reserved bits as zeros. Slices that Parse fills alias the MAD and are as long as the message has room for, as nothing on the wire
// says how much private data was meant; Put takes shorter ones, fills up with zeros, and cuts longer
// ones; they must not lie in the MAD that is written.
//
// Timeouts are 5 bits and stand for 4.096 µs × 2^n.

// CMMessage says in MRA and REJ which message is meant (12.6.6, 12.6.7).
type CMMessage uint8

// Messages that are acknowledged or rejected.
const (
	CMMessageREQ   CMMessage = 0
	CMMessageREP   CMMessage = 1
	CMMessageOther CMMessage = 2 // in MRA: LAP
)

// CMAnyLID is the LID of paths that leave the subnet, and of all of RoCE.
const CMAnyLID uint16 = 0xffff

// PutCM writes the common header of a CM message (12.6). The modifier is zero but for enhanced connection establishment.
func (m MAD) PutCM(a Attribute, tid uint64, modifier uint32) {
	m.Put(&MADFields{Class: ClassCM, ClassVersion: ClassVersionCM, Method: MethodSend, TID: tid, Attribute: a, Modifier: modifier})
}

// cmData returns the class's data, zeroed.
func (m MAD) cmData() []byte {
	d := m[MADHeaderSize:MADSize]
	clear(d)
	return d
}

// CMIDs are the two communication IDs that most messages begin with: the sender's and the receiver's.
type CMIDs struct{ Local, Remote uint32 }

func (i *CMIDs) parse(d []byte) {
	i.Local, i.Remote = binary.BigEndian.Uint32(d), binary.BigEndian.Uint32(d[4:])
}

func (i *CMIDs) put(d []byte) {
	binary.BigEndian.PutUint32(d, i.Local)
	binary.BigEndian.PutUint32(d[4:], i.Remote)
}

// get24 and put24 are numbers of three bytes; put24 leaves the fourth alone.
func get24(b []byte) uint32 { return uint32(b[0])<<16 | uint32(b[1])<<8 | uint32(b[2]) }

func put24(b []byte, v uint32) { b[0], b[1], b[2] = byte(v>>16), byte(v>>8), byte(v) }

func flag(on bool, at uint) byte {
	if on {
		return 1 << at
	}
	return 0
}
