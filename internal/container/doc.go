// Package container keeps a router's containers: which exist, under which names and addresses
// (Registry, pure), the tree of virtual device files that a container's programs see instead of
// /sys/class/infiniband and /dev/infiniband (WriteTree), and Host, which joins the two with the network
// of package vnet.
//
// What does not live here: verbs objects and their owners (package router), and the program that runs in
// the container (package container/run).
//
// Ownership. The router makes one Host and closes it. A container exists from Host.Add to Host.Remove;
// between the two the Host holds its network namespace open, so that the namespace's identity, by which
// the router knows who speaks to it, cannot pass to another namespace.
package container
