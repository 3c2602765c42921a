package cluster

import (
	"hash/maphash"
	"iter"
	"net/netip"
	"time"

	pb "github.com/freeflow-rdma/freeflow/api/freeflow/v1"
	"github.com/freeflow-rdma/freeflow/internal/policy"
)

// Host is a machine of the cluster.
type Host struct {
	Name     string
	Underlay netip.Addr
	Features []string
	Version  string
	Ready    bool      // false: its lease has ended
	Since    time.Time // when Ready last changed, as far as known

	msg *pb.Host
}

// Has says whether the host's router announces a feature.
func (h *Host) Has(feature string) bool {
	for _, f := range h.Features {
		if f == feature {
			return true
		}
	}
	return false
}

// Network is a set of containers that can reach each other.
type Network struct {
	Name   string
	VNI    uint32
	Prefix netip.Prefix
	Tenant string
	MTU    int // 0: the router's choice

	msg *pb.Network
}

// Name is a container's: unique in its network.
type Name struct{ Network, Name string }

func (n Name) String() string { return n.Network + "/" + n.Name }

// Container is a name and its address, running or not.
type Container struct {
	Name
	IP        netip.Addr
	Running   bool
	Host      string // where it runs, or ran last
	Instance  string
	Ephemeral bool
	Mode      string
	Labels    map[string]string
	Since     time.Time

	msg *pb.Container
}

// State is the cluster at one revision. It is immutable. A nil pointer answers of an object says that there is none.
type State struct {
	Cluster  string
	Revision int64

	hosts      map[string]*Host
	networks   map[string]*Network
	containers [shards]map[Name]*Container
	addresses  [shards]map[address]*Container
	count      int
	revoked    map[uint64]bool
	policies   map[policyKey]*pb.Policy
	policySet  *policy.Set
	policyErr  error
	changes    Changes
}

// Changes tells how a State differs from the one before it.
type Changes struct {
	All        bool // everything may differ; the lists are empty
	Hosts      []string
	Networks   []string
	Containers []ContainerChange
	Revoked    bool
	Policies   bool
}

// ContainerChange is one container before and after; nil where there is none.
type ContainerChange struct{ Before, After *Container }

type address struct {
	network string
	ip      netip.Addr
}

// shards is into how many maps containers are divided: a change copies one of them, not all.
const shards = 256

var seed = maphash.MakeSeed()

func (n Name) shard() int    { return int(maphash.Comparable(seed, n) % shards) }
func (a address) shard() int { return int(maphash.Comparable(seed, a) % shards) }

// Host finds a host by its name.
func (s *State) Host(name string) *Host { return s.hosts[name] }

// Hosts goes through the hosts in no order.
func (s *State) Hosts() iter.Seq[*Host] { return values(s.hosts) }

// Network finds a network by its name.
func (s *State) Network(name string) *Network { return s.networks[name] }

// Networks goes through the networks in no order.
func (s *State) Networks() iter.Seq[*Network] { return values(s.networks) }

// Container finds a container by its name.
func (s *State) Container(n Name) *Container { return s.containers[n.shard()][n] }

// ContainerAt finds the container that has an address, running or not.
func (s *State) ContainerAt(network string, ip netip.Addr) *Container {
	a := address{network, ip}
	return s.addresses[a.shard()][a]
}

// Containers goes through the containers in no order; Len is how many there are.
func (s *State) Containers() iter.Seq[*Container] {
	return func(yield func(*Container) bool) {
		for i := range s.containers {
			for _, c := range s.containers[i] {
				if !yield(c) {
					return
				}
			}
		}
	}
}

// Len is the number of containers, running or not.
func (s *State) Len() int { return s.count }

// Revoked goes through the numbers of this host's memory regions that have to be made useless.
func (s *State) Revoked() iter.Seq[uint64] {
	return func(yield func(uint64) bool) {
		for id := range s.revoked {
			if !yield(id) {
				return
			}
		}
	}
}

// Changes tells what is new since the State that was current before this one.
func (s *State) Changes() Changes { return s.changes }

func values[K comparable, V any](m map[K]V) iter.Seq[V] {
	return func(yield func(V) bool) {
		for _, v := range m {
			if !yield(v) {
				return
			}
		}
	}
}
