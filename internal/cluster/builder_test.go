package cluster

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"google.golang.org/protobuf/proto"

	pb "github.com/freeflow-rdma/freeflow/api/freeflow/v1"
	"github.com/freeflow-rdma/freeflow/internal/policy"
)

// randomChange is about one of a few objects, so that they meet.
func randomChange(r *rand.Rand) *pb.Change {
	name := fmt.Sprint("n", r.IntN(40))
	switch r.IntN(7) {
	case 6:
		p := &pb.Policy{Name: name, Spec: &pb.Policy_EngineMode{EngineMode: &pb.EngineMode{Mode: []string{"low", "fast", "slow"}[r.IntN(3)]}}}
		if r.IntN(3) == 0 {
			return &pb.Change{What: &pb.Change_Removed{Removed: &pb.Ref{Kind: pb.Kind_KIND_ENGINE_MODE, Name: name}}}
		}
		p.Select = &pb.Selector{Container: name}
		return &pb.Change{What: &pb.Change_Policy{Policy: p}}
	case 0:
		return &pb.Change{What: &pb.Change_Host{Host: &pb.Host{Name: name, Underlay: "192.0.2.1", State: pb.Host_State(r.IntN(3))}}}
	case 1:
		return &pb.Change{What: &pb.Change_Network{Network: &pb.Network{Name: name, Vni: uint32(1 + r.IntN(9)), Cidr: "10.0.0.0/8"}}}
	case 2:
		kind := pb.Kind(1 + r.IntN(3))
		network := ""
		if kind == pb.Kind_KIND_CONTAINER {
			network = "net"
		}
		return &pb.Change{What: &pb.Change_Removed{Removed: &pb.Ref{Kind: kind, Network: network, Name: name}}}
	default:
		id := r.IntN(40)
		name = fmt.Sprint("n", id)
		ip := netip.AddrFrom4([4]byte{10, 0, byte(r.IntN(2)), byte(id)}).String() // nobody else's
		return &pb.Change{What: &pb.Change_Container{Container: &pb.Container{Network: "net", Name: name, Ip: ip, State: pb.Container_STATE_RUNNING}}}
	}
}

// States that come about step by step are what they would be if built at once, and earlier ones stay as they were.
func TestStatesAreImmutable(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	state := emptyState()
	model := map[Name]*pb.Container{}
	var kept []*State
	var summaries []string
	for step := range 500 {
		var batch []*pb.Change
		for range 1 + r.IntN(5) {
			c := randomChange(r)
			batch = append(batch, c)
			if got := c.GetContainer(); got != nil {
				model[Name{got.Network, got.Name}] = got
			} else if gone := c.GetRemoved(); gone.GetKind() == pb.Kind_KIND_CONTAINER {
				delete(model, Name{gone.Network, gone.Name})
			}
		}
		b := newBuilder(state)
		b.apply(batch)
		state = b.state("c", int64(step), false)
		if state.Len() != len(model) {
			t.Fatalf("step %d: %d containers, want %d", step, state.Len(), len(model))
		}
		for name, want := range model {
			if got := state.Container(name); got == nil || !proto.Equal(got.msg, want) {
				t.Fatalf("step %d: %s is %v, want %v", step, name, got, want)
			}
		}
		for c := range state.Containers() {
			at := state.ContainerAt(c.Network, c.IP)
			if at != c {
				t.Fatalf("step %d: nobody is at %s", step, c.IP)
			}
		}
		kept, summaries = append(kept, state), append(summaries, summary(state))
	}
	for i, s := range kept {
		if summary(s) != summaries[i] {
			t.Fatalf("state %d has changed", i)
		}
	}
	// The way to disk and back changes nothing.
	dir := t.TempDir()
	if err := writeMessage(dir, stateFile, state.message()); err != nil {
		t.Fatal(err)
	}
	again, err := readState(dir)
	if err != nil || summary(again) != summary(state) || again.Revision != state.Revision || again.Cluster != "c" {
		t.Fatalf("read again: %v", err)
	}
}

func summary(s *State) string {
	m := map[string]string{}
	for c := range s.Containers() {
		m[c.Name.String()] = c.IP.String()
	}
	for h := range s.Hosts() {
		m["host "+h.Name] = fmt.Sprint(h.Ready)
	}
	for n := range s.Networks() {
		m["network "+n.Name] = fmt.Sprint(n.VNI)
	}
	for i := range 40 { // those that mean something hold
		name := fmt.Sprint("n", i)
		m["mode "+name] = s.Policies().Params(policy.Subject{Name: name}).Mode
	}
	return fmt.Sprint(m)
}

func TestMemoryMapTellsEachOnce(t *testing.T) {
	var c Client
	c.mrs.init()
	c.mrs.restart()
	told := map[uint64]bool{}
	take := func() {
		for r := c.mrs.next(); r != nil; r = c.mrs.next() {
			if len(r.Added)+len(r.Removed) > mrsPerReport {
				t.Fatalf("a report of %d", len(r.Added)+len(r.Removed))
			}
			if r.Reset_ {
				clear(told)
			}
			for _, id := range r.Removed {
				if !told[id] {
					t.Fatalf("%d is removed and was never told", id)
				}
				delete(told, id)
			}
			for _, mr := range r.Added {
				told[mr.Id] = true
			}
		}
	}
	random, now := rand.New(rand.NewPCG(1, 1)), map[uint64]bool{}
	for id := range uint64(5000) {
		c.AddMR(MR{ID: id})
		now[id] = true
		if old := uint64(random.Int64N(int64(id + 1))); random.IntN(2) == 0 {
			c.RemoveMR(old)
			delete(now, old)
		}
		switch random.IntN(200) {
		case 0:
			take()
		case 1:
			c.mrs.restart()
		}
	}
	take()
	if len(told) != len(now) {
		t.Fatalf("%d regions are told, there are %d", len(told), len(now))
	}
	for id := range now {
		if !told[id] {
			t.Fatalf("%d is not told", id)
		}
	}
}
