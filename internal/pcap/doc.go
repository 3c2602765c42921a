// Package pcap shows what virtual NICs send and receive, as packets that Wireshark and tcpdump read: Ethernet, IP, UDP 4791
// and RoCEv2, between the containers' own addresses, whatever carries them in truth.
//
//	workers ── Tap.Packet, Tap.Message ──▶ ring ──▶ Serve ── HTTP on the admin socket ──▶ Open ──▶ file or text
//
// A Tap is off until somebody asks: then its only cost is one atomic load (Active). While it is on, workers copy packets into a ring
// of fixed size and never wait: what the reader does not keep up with is counted and left out. Messages within a host never
// are packets; Tap.Message makes those that two NICs with a wire between them would have sent, answers and ICRC included.
//
// What lives here: the ring, the filter, the making of frames, the file format (classic pcap with nanoseconds), and both ends of
// the stream. What does not: who calls the Tap (package fabric), who may ask (package admin), and names of containers (the command).
//
// Threads. Tap.Active, Packet and Message: any worker. One capture runs at a time, read by one goroutine (Serve's).
package pcap
