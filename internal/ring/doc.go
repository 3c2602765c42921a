// Package ring is the router's side of the queues that a program and the router share: send, receive and shared receive queues
// (the program produces) and completion queues (the router produces), laid out as in rdma/rdma_user_rxe.h.
//
// The program can write every byte of a queue, header included, at any time. So the router keeps the mask, the slot size and its own
// index to itself, reads the program's index once and masks it, and copies a work queue entry before it looks at it. The
// header's fields are written for the program's benefit only.
//
// A Ring has no lock: of each queue one goroutine at a time may be the consumer or the producer.
// Memory order stands in the methods' names.
package ring
