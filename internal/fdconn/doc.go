// Package fdconn is the router's side of the socket that it shares with the library: SEQPACKET Unix connections that
// carry one datagram a message and descriptors outwards (listener.go, conn.go), who is at the other end by the kernel's
// word (peer.go), and the messages of docs/abi.md as bytes (message.go, message_cm.go, pure).
//
// The other end is hostile. A Conn never accepts a descriptor: it gives the kernel no room for any, so the kernel drops them
// before they become the router's. A datagram that is too long, or that carried descriptors, ends the connection. Sending has
// a deadline, so a client that does not read holds up nobody but itself, and not for long.
//
// One goroutine owns a Conn for Receive and Send; Close may come from any other. What was received is valid until the
// next Receive.
package fdconn
