package rdmacm

import "github.com/freeflow-rdma/freeflow/internal/cm"

// What a container can make the router keep.
const (
	maxIDs      = 1 << 16 // librdmacm itself has no room for numbers above 65535
	maxChannels = 1 << 14
	maxGroups   = 1 << 13
	maxWaiting  = 8       // unread events of one ID, requests and multicast joins apart: the oldest go first
	maxBacklog  = 1 << 10 // the kernel's default of net.rdma_ucm.max_backlog

	maxLine = 1 << 10 // requests beyond a listener's backlog

	incoming = 1 << 12 // messages from the network that wait for the Host
)

// Times, ns, and what the kernel's cma.c puts into requests.
const (
	millisecond = 1_000_000
	second      = 1000 * millisecond

	resolveFirst = 50 * millisecond // an address that is not known is looked for again
	resolveLast  = second

	// patience is what a peer is asked for if it asks again while the program has not answered: 69 s.
	patience = 24 | cm.Later

	responseTimeout = 20 // 4.3 s
	maxRetries      = 15
	packetLifeTime  = 18 // of RoCE, as the kernel takes it: 1.1 s
	hopLimit        = 64
)

// qkeyUDP is the QKey of the UDP and IB port spaces (RDMA_UDP_QKEY).
const qkeyUDP = 0x01234567

// pkeyDefault is the only PKey of RoCE.
const pkeyDefault = 0xffff
