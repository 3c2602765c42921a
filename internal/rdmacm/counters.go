package rdmacm

import (
	"sync/atomic"

	"github.com/freeflow-rdma/freeflow/internal/cm"
	"github.com/freeflow-rdma/freeflow/internal/uapi"
)

// Counters say what the device did since it was made.
type Counters struct {
	Commands [uapi.UCMJoinMcast + 1]atomic.Uint64 // by number
	Errors   atomic.Uint64                        // commands that failed

	Malformed  atomic.Uint64    // messages from the network that are no MADs
	Overrun    atomic.Uint64    // messages for which the queue had no room
	Refused    atomic.Uint64    // messages for a container or an address that is not there
	Untaken    [4]atomic.Uint64 // requests that nobody took: by verdict
	Denied     atomic.Uint64    // CONNECTs that Allow did not allow
	EventsLost atomic.Uint64    // events of IDs whose program does not read
}

// Snapshot is the counters, and those of the protocol, at one moment.
type Snapshot struct {
	Commands                             map[string]uint64
	Errors                               uint64
	Malformed, Overrun, Refused          uint64
	NoListener, NotForListener, NoRoom   uint64
	Denied, EventsLost                   uint64
	Channels, IDs, Groups, Ports, Timers int
	Protocol                             cm.Counters
}
