// Package cm speaks the communication management protocol (InfiniBand Architecture Specification, volume 1, chapter 12; class
// version 2): REQ, REP, RTU, REJ, MRA, DREQ, DREP, SIDR_REQ and SIDR_REP, and it refuses LAP. It also holds the header that the
// RDMA-CM puts into private data (annex A11). Peer-to-peer connections, where two REQs make one, are not supported: two REQs make
// two connections.
//
// A Machine has the connections of all parties (virtual NICs) of one host. It is pure: no sockets, clocks or goroutines. The time
// is an argument in nanoseconds, of any origin, that never goes back; messages leave by Config.Send, and what happens is told by
// Config.Emit. It knows no queue pairs, ports, listeners or programs: who wants a REQ is decided by whoever takes the event.
//
// A Machine is not safe for concurrent use: the caller serializes. Send and Emit are called while a method of the Machine runs, on
// the same thread, and must not call the Machine: they put what they get where it waits. The bytes and structs that they are given
// are theirs: Send's only during the call, Emit's for good.
//
// What Receive is given comes from the network and is hostile: it is checked whole before it is used, it is believed only if it
// came by the connection's own route (party, our address, the peer's), and what a peer can make us keep is bounded (limits.go).
package cm
