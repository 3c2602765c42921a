package cm

import "github.com/freeflow-rdma/freeflow/internal/wire"

// Counters say what a Machine did. They are numbers of messages unless told otherwise. Per message they are indexed by the
// attribute less wire.AttrConnectRequest.
type Counters struct {
	Sent, Received [Messages]uint64
	Retried        [Messages]uint64 // of Sent: again, because no answer came
	Duplicate      [Messages]uint64 // of Received: seen before

	Malformed  uint64 // not a MAD of this class and version, or with impossible fields
	Unknown    uint64 // about a connection that is not there
	Forged     uint64 // about a connection of another route
	Unexpected uint64 // not in this state
	Limited    uint64 // REQs and SIDR_REQs refused or dropped, and calls refused, because a party has too many

	Connections, TimeWait int // how many there are now
}

// Messages is how many kinds of message the class has.
const Messages = int(wire.AttrAlternatePathResp-wire.AttrConnectRequest) + 1

// MessageNames are the names of the messages, in the order of Counters.
var MessageNames = [Messages]string{"REQ", "MRA", "REJ", "REP", "RTU", "DREQ", "DREP", "SIDR_REQ", "SIDR_REP", "LAP", "APR"}

// messageIndex is a message's place in Counters; -1: it is none.
func messageIndex(a wire.Attribute) int {
	if i := int(a) - int(wire.AttrConnectRequest); i >= 0 && i < Messages {
		return i
	}
	return -1
}
