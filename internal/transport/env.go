package transport

import (
	"github.com/freeflow-rdma/freeflow/internal/mem"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
	"github.com/freeflow-rdma/freeflow/internal/wire"
)

// Path is what the fabric knows of the way to a peer. It does not change once it is given out. A nil *Path is no way: nothing can be
// sent now, and the retries run.
type Path struct {
	MTU  uint32 // bytes of payload that a packet may have; the queue pair's PathMTU bounds it too
	SACK bool   // the peer is a router that understands wire.OpFFAck
	Gone bool   // the peer's host is gone
	Tag  any    // the fabric's addressing
}

// Output takes the packets of one worker.
type Output interface {
	// Packet queues one packet of qp: headers and n bytes of payload. Header and span list are the caller's again on return. The memory
	// that the spans name is read before the worker's turn ends, or at once if copyNow says so. Pad and ICRC are the output's to add.
	Packet(p *Path, qp *verbs.QP, h *wire.Header, payload []mem.Span, n int, copyNow bool)
	// Room is the number of packets that may be queued now. At 0 senders stop and come again in their next turn.
	Room() int
}

// Env is what a worker lends the state machines. It is one worker's and lives as long.
type Env struct {
	Now     int64 // ns, monotonic; set before each call
	Out     Output
	Scratch *mem.Scratch
	Host    *Host
	Began   int // work requests that Run has begun; the caller sets it back
	Used    int // of Run's budget; the caller sets it back

	h    wire.Header // of the packet that is being made
	cut  [mem.MaxSpans]mem.Span
	mark [1]mem.Span // a payload that came in
}

// Host is what all queue pairs of a host share: counters, and the room for packets that wait.
type Host struct {
	Counters Counters
	pool     pool
}

// NewHost makes the shared part with the usual bound on memory for packets that wait.
func NewHost() *Host { return &Host{pool: pool{limit: poolLimit}} }

// Arrived is a packet that came in: its headers as wire.Parse left them, with FECN set also if the IP header had a congestion mark, and its
// payload without pad, valid during the call. The payload does not end where its allocation ends (an ICRC follows it).
type Arrived struct {
	H       wire.Header
	Payload []byte
}
