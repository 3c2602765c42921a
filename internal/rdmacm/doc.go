// Package rdmacm is the rdma_cm device of one host: what the kernel's ucma.c and cma.c do for the programs of all its containers. It
// has the channels (open files of /dev/infiniband/rdma_cm), the IDs on them, ports, addresses, events, and it decides who takes a
// connection request.
//
// What does not live here: the protocol (package cm), how a message reaches its host (Net, which the fabric is), the bytes of
// commands (package uapi), sockets between library and router (package router).
//
// Words. A channel is an rdma_event_channel, an ID an rdma_cm_id. A member is a container that has channels, or that somebody sent a
// message to. A token is a byte in a channel's socket: one event waits here for the program. A party is what package cm calls a
// virtual NIC; the host's own address, which containers share towards peers that are no routers, is a party of its own.
//
// Threads. One lock (Host.mu) guards the Machine and all tables, and nothing blocks under it. Any goroutine may call any exported
// method. One goroutine takes incoming messages and timers, one waits for channels that hang up (watch.go). What a Machine tells is
// queued while it runs and acted upon right after (Host.leave).
//
// Lifetimes. A channel lives until its program's last descriptor is closed; then its IDs end, as the kernel has it when a file is
// released. An ID that has been made from a request belongs to the listener's channel. The container is the attacker: IDs, channels,
// groups and waiting events of each are bounded (limits.go), an ID is a number of its own container only, and nobody else's can be named.
package rdmacm
