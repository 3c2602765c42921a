// Package etcd opens the cluster's store: an etcd inside this process, with its data in a directory, or an
// existing etcd cluster over the network. What is stored is package orchestrator's.
//
// An etcd inside the process listens nowhere: its only client is the one that Embed returns, by function
// calls. So there is nothing on the host that a container or another user could reach, and no port to choose.
// A directory belongs to one process at a time (a lock on a file in it, the kernel's, gone with the process).
package etcd
