// Package fabric is what carries the messages of queue pairs: it decides for each where its peer is, and takes packets to other hosts and
// back.
//
//	                     ┌ local       the peer is on this host: one copy, no packets (package local)
//	queue pair ─ Carrier ┤
//	                     └ transport ─ lane ┬ geneve   to another router: RoCEv2 with the containers' addresses inside Geneve
//	                                        └ plain    to a peer that is no router: RoCEv2 from the host's own address
//
// Words. A Table says where the containers of other hosts are; the router makes a new one for each change and hands it over with
// SetTable. A way is the addressing of one peer, behind a transport.Path. A lane is what one worker sends and receives with: it
// belongs to that worker.
//
// A packet that comes in is believed in this order: the outer source is a host that the table knows, the network number is one that
// it knows, the source address is a container's that this host has, the destination address is that of the queue pair's
// container, the ICRC is right, and the source is the peer that the queue pair is connected to. What fails is counted (Counters) and
// dropped.
//
// Management datagrams (MADs), which queue pair 1 of each container sends and takes, go the same ways and are believed for the same
// reasons; there is no queue pair: SendMAD queues them for a worker, and SetMADHandler says who takes them. Way tells how an address is
// reached, by the same tables.
//
// A datagram to a multicast group goes to every host of its network, in Geneve, and there to the members; one from the host's own address goes
// to the group on the underlay, of which the host is a member as long as queue pairs of containers with that address are (groups).
//
// What does not live here: sockets and batches (package udp), packets' formats (package wire), sequence and retries (package
// transport), what management datagrams say (package cm), who knows the containers (packages cluster and router).
//
// Threads. Run, Ready and the MAD handler are called by workers; SetTable, SendMAD, Way, Counters: any goroutine. Start before there are
// queue pairs.
package fabric
