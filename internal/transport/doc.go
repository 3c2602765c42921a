// Package transport is the software NIC's side of the wire: RC and UC connections and UD datagrams as IBTA chapter 9 has them, as pure
// state machines. It has no sockets, clocks or goroutines: packets come in through Conn.Receive and ReceiveDatagram, go out through an Output,
// and the time is a number that the caller hands in.
//
// What lives here: packet sequences, acknowledgements, retries, what the responder checks, selective repeat, congestion control. What does
// not: the encoding of packets (package wire), the addresses and encapsulation of a peer (package fabric, in Path.Tag), and
// messages between queue pairs of one host (package fabric/local).
//
// # How a carrier uses it
//
//	Carrier.Open(qp)        qp.Ext = transport.Open(qp)                     every service type; a carrier's own struct may hold the Conn
//	Carrier.Reset(qp)       conn.Reset()
//	Carrier.Run(w, qp, n)   return conn.Run(env, path, n)                   RC, UC; for UD see SendDatagram
//	packets of one QP       if conn.Receive(env, path, arrived) { schedule qp.Item }
//	datagrams               if conn.ReceiveDatagram(env, &arrived, grh) { schedule qp.Item }
//
// The path handed in is the way to the connected peer. The caller has checked that a packet is for this network and comes from the
// queue pair's peer address. UD: the fabric takes the work request (verbs.QP.Next), finds the path of its AH, and calls SendDatagram;
// when a UD queue pair's Run has no work request left it returns conn.Datagrams(env), which keeps datagrams that wait for a receive.
//
// # Limits
//
// What the queue pair's container and tenant may send and receive (verbs.QP.Pay) is held to in pace.go, pace_reply.go and pace_arrive.go.
//
// # Threads and locks
//
// Run and Receive of one Conn may be called by different workers at the same time. The responder's state is under verbs.QP.Resp,
// the requester's, with its verbs calls, under the Conn's own mutex. Where both are needed the requester's comes first; no
// function takes it while it holds Resp. An Env is one worker's.
package transport
