// Package admin is the router's local management interface: HTTP with JSON bodies over the Unix socket
// admin.sock in the run directory, the server that answers there and the client that `freeflow run`,
// `freeflow get`, `freeflow top` and `freeflow doctor` use.
//
//	GET    /v1/status              Status
//	GET    /v1/KIND                {"items": [...]}: containers, qps, mrs, cm-ids, networks, hosts, counters
//	GET    /v1/capture             packets, as package pcap has it, until the client or the router ends it
//	POST   /v1/containers          ContainerSpec in, ContainerInfo out; the response stays open: the lease
//	DELETE /v1/containers/ID       ends that lease; answers when the container's network is gone
//
// A container lives as long as the connection that registered it. When that connection ends, for whatever
// reason, the container is gone; only the router's own end leaves containers alive, and they register
// again with the router that comes next.
//
// Trust. The socket has mode 0600, and every connection's credentials are taken from the kernel: only uid 0
// and the router's own uid are served. Which network namespace a container has is not in the request at
// all: it is the namespace that the connecting process (its main thread) is in, by the kernel's word.
//
// What does not live here: what the answers say. That is the Backend, which package router implements.
package admin
