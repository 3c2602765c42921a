// Package wire is the format of packets: the transport headers of InfiniBand (BTH and its extensions) from one opcode table, packet
// sequence numbers, the invariant CRC, and what they travel in: IPv4, IPv6, UDP, Geneve, and management datagrams.
//
// It does no input or output, keeps no state, allocates nothing and knows no queue pair: what a packet means is told elsewhere. Any
// goroutine may call any function at any time.
//
// What is parsed comes from the network, so it is hostile: every decoder checks lengths before it looks, and returns a sentinel
// error, which the caller counts. A decoded slice aliases the packet. A packet must not lie in memory that a container can write,
// or else what was checked could change before it is used.
//
// Encoders write in place, into memory that the caller owns and made large enough: too little of it is a fault of the caller's and
// panics as any index out of range does. Fields wider on the host than on the wire (24 bits of a QPN) are cut.
//
// Sections named A9.x, 9.x and so on are those of the InfiniBand Architecture Specification, volume 1; A17 is its annex on RoCEv2.
package wire
