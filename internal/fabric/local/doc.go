// Package local carries messages between queue pairs of one host: one copy, from the sender's registered memory into the
// receiver's, in order, with no packets.
//
// It plays the requester and the responder of IBTA chapter 9 at once. A step carries one slice of the work
// request at the head of a send queue; big messages take several steps, between which other queue pairs have their turns, and in each of which keys are
// looked up anew, so that a key revoked in the middle of a message ends it there. Since a step does the responder's part
// before the requester's completes, messages are ordered, READ and atomics are never outstanding, and a fence
// has nothing to wait for.
//
// What a network would do by packets is done by waiting: no receive posted (RNR) is looked for every pollEvery until
// the RNR retries would be used up; a peer that is not there, or not ready, until the transport retries would be.
//
// All of it runs on engine workers: the requester's state belongs to the worker that runs the queue pair, the responder's is under the
// peer's Resp lock.
package local
