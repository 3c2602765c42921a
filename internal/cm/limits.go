package cm

// What one party, or its peers, can make a Machine keep. Calls and messages over it are refused or dropped, and counted in
// Counters.Limited.
const (
	// MaxConnections are connections of a party, those in timewait and its own SIDR exchanges included.
	MaxConnections = 65536
	// MaxRequests are REQs and SIDR_REQs that came for a party and that it has not answered.
	MaxRequests = 4096
	// maxMemories are answers that are kept for duplicates of requests that are over. One more is not kept.
	maxMemories = 4096
)

// Times, in nanoseconds.
const (
	// early is when a message is sent again for the first time, if the peer is a router's; then after twice as long, and so on.
	early = 100_000_000
	// shortest is the least time between two of the same message, whatever the peer asked for.
	shortest = 1_000_000
	// memory is how long the answer to a request that was refused is kept at least.
	memory = 1_000_000_000
	// memorySIDR is how long a SIDR_REP is kept: longer than what a kernel waits before it asks again.
	memorySIDR = 5_000_000_000
	// longest is the greatest exponent of a timeout that is believed: 69 s, which is what the kernel's MRAs ask for. A peer could keep
	// a connection waiting for days otherwise.
	longest = 24
	// orphaned is how long a DREQ of a connection that nobody wants to hear of is sent again.
	orphaned = 60_000_000_000
	// repeats is how often a REJ is sent again that the peer does not ask for, as it may think that it is connected.
	repeats = 3
	// SIDR_REQs are sent with the patience of the kernel's RDMA-CM, as the message does not tell one.
	sidrTimeout = 20
	sidrRetries = 15
)

// wait is a timeout of the wire in nanoseconds: 4.096 µs × 2^n.
func wait(n uint8) int64 { return 4096 << min(n, longest) }

// population is how many of its things a party has.
type population struct{ connections, requests, memories int }
