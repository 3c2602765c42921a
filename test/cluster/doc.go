// Package cluster runs programs in containers of several hosts, on one machine, and does to hosts, orchestrators and the wire between them what
// happens to such things: they lose and change packets, they are killed, they come back, they are lied to.
//
//	namespace of the underlay            namespace of host 1          namespaces of its containers
//	  orchestrator(s), etcd ── bridge ══ router, bridge, VXLAN ══════ eth0, program
//	                             ║
//	                             ╚══════ host 2 ...
//
// See package host for what makes the hosts, and package relay for the bad wire. Tests say how long things took where issue and documentation
// promise a time, but hold the product only to a multiple of it: the machine may be busy.
//
// The tests need root, gcc, libibverbs-dev, ibverbs-utils, perftest, iperf3 and etcd-server; one that misses something fails and says what
// to install. `go test -count=1 ./test/cluster` takes about five minutes on two cores, with -short less.
package cluster
