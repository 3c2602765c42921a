package metrics

import (
	"time"

	pb "github.com/freeflow-rdma/freeflow/api/freeflow/v1"
)

// Source tells what the router's containers do.
type Source interface {
	// Snapshot is everything there is now. The caller may keep and change it.
	Snapshot() Snapshot
	// Details are the parts of one container; nil if it is not here. Asked for only while somebody looks at that container.
	Details(network, container string) *pb.ContainerDetails
}

// Snapshot is a router at one moment.
type Snapshot struct {
	Containers []Container
	Refusals   []*pb.Refusal // counted since the router's start
	Counters   []Counter     // of the router as a whole: the rows of `freeflow get counters`
}

// Container is one run of a container.
type Container struct {
	Network, Name, Tenant string
	Instance              string // of this run; a container that starts again has another
	Started               time.Time
	Counters              *pb.Counters      // since the run began, or since the router did; they do not go back
	Objects               map[string]uint64 // what there is now, by resource; the names are those of quotas: "qps", "mrs", "mrBytes", ...
	Quota                 map[string]uint64 // the most there may be; a resource without a quota is not in it
	Limit                 string            // the rate limits in force, for people: "egress 5Gbit"; empty: none
	Class, Mode           string
	// Peers is what was exchanged with each peer. Source is left empty. A peer that is not in the list any more has not lost what was counted.
	Peers []*pb.PairUsage
}

// Counter is something that the router counts beside containers.
type Counter struct {
	Group, Name string // "transport", "retransmits"; "worker core0", "turns"
	Value       uint64
}
