// Package bench is `freeflow bench`: it measures FreeFlow with the programs that people measure RDMA with, unmodified, and
// TCP between the same two containers in the same run.
//
//	World (world.go)          a router of its own and containers in it, gone without trace when it is closed
//	Container (container.go)  a shell in `freeflow run` that starts programs and says how they ended
//	Cluster (cluster.go)      two Worlds as hosts: network namespaces on an underlay (underlay.go), an orchestrator between them
//	Distant (cluster.go)      a server on one of them and a client on the other
//	Cost (machine.go, cost.go) processor time of the whole machine for each gigabyte
//	perftest.go, tcp.go       perftest, iperf3 and qperf: how they are started and what they print
//	tools.go                  our own two programs (bench/tools): many pairs, and registration
//	figures                   throughput.go, latency.go, modes.go, cpu.go, pairs.go, registration.go, hosts.go: one figure each
//	Demo, Accept              tables for one host and for two; the bars that the project has set itself
//
// A comparison is a ratio in one run: each round measures FreeFlow and TCP one after the other, a figure is the median of the
// rounds, and what else the machine did meanwhile met both.
//
// Results go to CSV files, one a figure; bench/plot draws them. What does not live here: anything that the router needs.
//
// A World, a Cluster and what belongs to them are used by one goroutine, on a thread that lasts: what is started ends with that thread.
package bench
