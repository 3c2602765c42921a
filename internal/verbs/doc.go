// Package verbs holds the objects of the virtual NIC: PD, MR, MW, CQ, QP, SRQ, AH and the contexts that own them.
//
// What lives here: the objects, their states and transitions, handle and key tables, and every check that the InfiniBand
// specification or the kernel's uverbs layer makes of a command. What does not: the encoding of commands (package
// uapi), sockets and sessions (package router), the moving of messages (package fabric/local), the workers that do
// it (package engine).
//
// Ownership and threads. A Context's methods are its control path: any goroutine may call them, they
// serialise on the context's lock and may sleep. The data path runs on engine workers; it reaches objects through
// atomic pointers in index tables and never takes a context's lock. An object that the control path removes is first unlinked from its
// tables, then the control path waits until every worker has passed a quiescent point (Device.Quiesce),
// and only then are its rings and memory given back.
package verbs
