// Package vnet gives containers their ordinary IP network: one kernel bridge per FreeFlow network, and
// for each container a veth pair whose far end is eth0 in the container's own network namespace, with
// the container's virtual IP and a MAC address made from it.
//
//	container netns            router's netns                     container netns
//	 eth0 10.77.0.1 ───── fv… ┐                         ┌ fv… ───── eth0 10.77.0.2
//	                          ├── fb… (bridge, no IP) ──┤
//
// What lives here: namespaces, links, addresses, and the names and addresses that follow from each
// other. What does not: who gets which address (package container), and RDMA, which takes no notice of
// these links.
//
// Ownership. Everything that is made belongs to a network namespace and dies with it: the container's
// namespace has no name, so when its last process ends the kernel removes eth0 and with it the veth.
// The bridge lives in the router's namespace until Host.Close; a router that was killed leaves it, and
// the next router on the same run directory finds it under the same name and goes on with it, with the
// containers that are still alive attached. Names carry a hash of the run directory, so routers that
// share a namespace do not meet.
//
// All functions may be called from any goroutine, except where a thread is mentioned.
package vnet
