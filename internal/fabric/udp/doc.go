// Package udp is the software NIC's port to the underlay: UDP sockets, one a worker, and batches of packets in and out of them.
//
// It knows bytes, addresses and segments. What the bytes mean (package wire), whose they are (verbs, transport) and which
// encapsulation goes where (package fabric) it does not know.
//
// Words. A packet is one UDP datagram: a header, a payload and a trailer (RoCE's ICRC and pad). A run is one or more packets in
// succession to one destination, all of one length but the last, which may be shorter: the kernel takes it as one message
// (UDP_SEGMENT) and cuts it, or the network card does, or nobody, where sender and receiver are on one machine. A batch is the
// runs that one sendmmsg takes. The other way round, a message is what recvmmsg gives: with UDP_GRO it holds the packets of a run.
//
//	Queue ──▶ runs of iovecs ──Flush: sendmmsg──▶ kernel ┄┄▶ kernel ──Poll: recvmmsg──▶ messages ──Next──▶ packets
//
// A Port is one local address and UDP port: 6081 for Geneve (RFC 8926), 4791 for plain RoCEv2 (IBTA annex A17). It has a
// Socket for each worker. They share address and port (SO_REUSEPORT), and a packet goes to the socket of the core that it arrives
// on, so the worker there handles it without waking another core. Each Socket has a Batch and a Receiver.
//
//	port, err := udp.Open(udp.Config{Addr: netip.MustParseAddrPort("192.0.2.1:6081"), CPUs: []int{0, 1}})
//	dst, err := udp.NewDest(netip.MustParseAddrPort("192.0.2.2:6081"))
//
//	// sending, in a worker's turn
//	b := port.Socket(i).Batch
//	p, err := b.Queue(dst, udp.Shape{Header: 68, Payload: n, Trailer: 4}, spans)
//	h.Put(p.Header)                    // the caller writes header and trailer in place;
//	for _, part := range p.Payload { } // the payload is there for the ICRC;
//	copy(p.Trailer, icrc)              // p.Segment tells the IPv4 identification that the packet will have
//	b.Flush()                          // at the end of the turn
//
//	// receiving, when the socket is readable (FD, level triggered)
//	r := port.Socket(i).Receiver
//	messages, more := r.Poll()
//	for r.Next(&arrival) { }
//
// Nothing is copied on the way out but by the kernel: iovecs point into registered memory. Memory of a process that is
// not mapped here is read when it is queued.
//
// Losing packets is allowed. A full socket buffer drops packets, as a full queue of a NIC or switch does; transports send them
// again. Every such loss is counted (Counters). The kernel's features are tried once, when a port opens, and a feature that
// fails later is done without from then on (Features).
//
// The source port of all packets is the Port's own. RFC 8926 would have it vary with the flow, so that a network with
// many paths uses them all; a socket has but one, and a socket a flow would undo the batches.
//
// Threads. A Batch and a Receiver belong to one worker, which alone calls their methods; both may be used within the
// same turn. Open, Close and the reading of Features and Counters: any goroutine, Close only after the workers have stopped using
// the Port. A worker that has no Socket sends from another's by a Batch of its own (Port.NewBatch). A Dest is immutable.
package udp
