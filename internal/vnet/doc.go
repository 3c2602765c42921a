// Package vnet gives containers their ordinary IP network: one kernel bridge per FreeFlow network, and
// for each container a veth pair whose far end is eth0 in the container's own network namespace, with
// the container's virtual IP and a MAC address made from it.
//
//	container netns            router's netns                     container netns
//	 eth0 10.77.0.1 ───── fv… ┐                         ┌ fv… ───── eth0 10.77.0.2
//	                          ├── fb… (bridge, no IP) ──┤
//
// The bridges that a network has on several hosts are joined by kernel VXLAN, one tunnel device (fx…) for
// each network and host, a port of the bridge. Which container is on which host is told (SetRemotes), never
// learned:
//
//	eth0 10.77.0.1 ── fv… ┬ fb… ┬ fx… ══ underlay, UDP 4789 ══ fx… ┬ fb… ┬ fv… ── eth0 10.77.0.3
//
// What lives here: namespaces, links, addresses, and the names and addresses that follow from each
// other. What does not: who gets which address (package container), and RDMA, which takes no notice of
// these links.
//
// Ownership. Everything that is made belongs to a network namespace and dies with it: the container's
// namespace has no name, so when its last process ends the kernel removes eth0 and with it the veth.
// Bridge and tunnel live in the router's namespace until Host.Close; a router that was killed leaves them,
// and the next router on the same run directory finds them under the same names and goes on with them, with
// the containers that are still alive attached and the remote ones still reached. Names carry a hash of the run directory, so routers that
// share a namespace do not meet.
//
// All functions may be called from any goroutine, except where a thread is mentioned.
package vnet
