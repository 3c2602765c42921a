package cluster_test

import (
	"context"
	"fmt"
	"net/netip"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"connectrpc.com/connect"

	pb "github.com/freeflow-rdma/freeflow/api/freeflow/v1"
	"github.com/freeflow-rdma/freeflow/internal/cluster"
	"github.com/freeflow-rdma/freeflow/internal/orchestrator"
	"github.com/freeflow-rdma/freeflow/internal/policy"
)

func rateLimit(name, container string, bits uint64) *pb.Object {
	return &pb.Object{Spec: &pb.Object_Policy{Policy: &pb.Policy{Name: name, Select: &pb.Selector{Container: container},
		Spec: &pb.Policy_RateLimit{RateLimit: &pb.RateLimit{Egress: &pb.Rate{Bits: bits}}}}}}
}

func denyAll(name string) *pb.Object {
	return &pb.Object{Spec: &pb.Object_Policy{Policy: &pb.Policy{Name: name,
		Spec: &pb.Policy_Access{Access: &pb.AccessPolicy{Network: "default", Default: "deny"}}}}}
}

// operator applies and deletes at an orchestrator.
func operator(t *testing.T, s *orchestrator.Server) (apply func(...*pb.Object), remove func(pb.Kind, string)) {
	t.Helper()
	o := cluster.OpenOperator(s.SocketPath())
	t.Cleanup(o.Close)
	apply = func(list ...*pb.Object) {
		t.Helper()
		if _, err := o.Apply(context.Background(), connect.NewRequest(&pb.ApplyRequest{Objects: list})); err != nil {
			t.Fatal(err)
		}
	}
	remove = func(kind pb.Kind, name string) {
		t.Helper()
		if _, err := o.Delete(context.Background(), connect.NewRequest(&pb.DeleteRequest{Ref: &pb.Ref{Kind: kind, Name: name}})); err != nil {
			t.Fatal(err)
		}
	}
	return apply, remove
}

// egress is what a container of the network default may send.
func egress(s *cluster.State, name string) uint64 {
	c := s.Container(cluster.Name{Network: "default", Name: name})
	if c == nil {
		return 1
	}
	return s.Policies().Params(s.Subject(c)).Container.Egress.Bits
}

// Policies reach a router, hold while the orchestrator is away and after the router's restart, and change when it is back.
func TestPoliciesHold(t *testing.T) {
	s := startOrchestrator(t, nil)
	address, dir := s.Addr().String(), filepath.Dir(s.SocketPath())
	cfg := hostConfig(t, s, "alpha", "192.0.2.1")
	a := openHost(t, cfg)
	register(t, a, "c", "1")
	register(t, a, "d", "1")
	apply, remove := operator(t, s)
	apply(rateLimit("cap", "c", 5e9), rateLimit("all", "*", 9e9), denyAll("closed"))
	eventually(t, a, "c may send 5 Gbit/s, d 9", func(s *cluster.State) bool { return egress(s, "c") == 5e9 && egress(s, "d") == 9e9 })
	x, y := a.State().Container(cluster.Name{Network: "default", Name: "c"}), a.State().Container(cluster.Name{Network: "default", Name: "d"})
	if d := a.State().Policies().Pair(a.State().Subject(x), a.State().Subject(y)); d.Allowed || d.Policy != "closed" {
		t.Errorf("c and d: %+v", d)
	}
	apply(rateLimit("cap", "c", 1e9))
	eventually(t, a, "c may send 1 Gbit/s", func(s *cluster.State) bool { return egress(s, "c") == 1e9 })
	remove(pb.Kind_KIND_RATE_LIMIT, "all")
	eventually(t, a, "d may send what it likes", func(s *cluster.State) bool { return egress(s, "d") == 0 })
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for a.Connected() {
		time.Sleep(time.Millisecond)
	}
	a.Close()
	a, err := cluster.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if got := egress(a.State(), "c"); got != 1e9 || a.State().PolicyProblems() != nil {
		t.Fatalf("a router that starts alone lets c send %d, %v", got, a.State().PolicyProblems())
	}
	again := startOrchestrator(t, func(c *orchestrator.Config) { c.DataDir, c.Listen = dir, address })
	apply, remove = operator(t, again)
	remove(pb.Kind_KIND_POLICY, "closed")
	apply(rateLimit("cap", "c", 2e9))
	eventually(t, a, "c may send 2 Gbit/s, to everybody", func(s *cluster.State) bool {
		return egress(s, "c") == 2e9 && s.Policies().Pair(s.Subject(x), s.Subject(y)).Allowed
	})
}

// What is applied at once reaches routers at once, however much it is; and what changes no policy has them compiled no second time.
func TestManyPoliciesComeAtOnce(t *testing.T) {
	s := startOrchestrator(t, nil)
	a := openHost(t, hostConfig(t, s, "alpha", "192.0.2.1"))
	register(t, a, "c", "1")
	apply, _ := operator(t, s)
	eventually(t, a, "alpha knows c", func(s *cluster.State) bool { return egress(s, "c") == 0 })
	type seen struct {
		bits uint64
		set  *policy.Set
	}
	states := make(chan seen, 100)
	cancel := a.Subscribe(func(s *cluster.State) {
		if c := s.Changes(); c.Policies && len(states) < cap(states) {
			states <- seen{egress(s, "c"), s.Policies()}
		}
	})
	defer cancel()
	var many []*pb.Object
	for i := range 1999 {
		many = append(many, rateLimit(fmt.Sprintf("p%d", i), fmt.Sprintf("c%d", i), 1e9))
	}
	for _, bits := range []uint64{3e9, 4e9} {
		for _, o := range many {
			o.GetPolicy().GetRateLimit().Egress.Bits++ // all of them change
		}
		apply(append([]*pb.Object{rateLimit("cap", "c", bits)}, many...)...)
		select {
		case got := <-states:
			if got.bits != bits {
				t.Fatalf("a state with a part of what was applied: %d", got.bits)
			}
		case <-time.After(patience):
			t.Fatal("the policies do not come")
		}
	}
	set := a.State().Policies()
	register(t, a, "other", "1")
	eventually(t, a, "alpha knows the other", func(s *cluster.State) bool {
		return s.Container(cluster.Name{Network: "default", Name: "other"}) != nil
	})
	if a.State().Policies() != set {
		t.Error("a container that starts has the policies compiled")
	}
	if len(states) != 0 {
		t.Errorf("%d more changes of policies", len(states))
	}
}

// A container of a host that has just joined does not start before the policies are known.
func TestNoContainerBeforeItsPolicies(t *testing.T) {
	s := startOrchestrator(t, nil)
	apply, _ := operator(t, s)
	apply(rateLimit("cap", "c", 5e9))
	a := openHost(t, hostConfig(t, s, "alpha", "192.0.2.1"))
	r := registration("c", "1")
	got, err := a.Register(context.Background(), r)
	if err != nil {
		t.Fatal(err)
	}
	if bits := a.State().Policies().Params(a.Subject(r, got)).Container.Egress.Bits; bits != 5e9 {
		t.Errorf("c may send %d", bits)
	}
}

// Whoever is at an address is a container with what it has, or somebody outside.
func TestSubjects(t *testing.T) {
	s := startOrchestrator(t, nil)
	a := openHost(t, hostConfig(t, s, "alpha", "192.0.2.1"))
	apply, _ := operator(t, s)
	apply(&pb.Object{Spec: &pb.Object_Network{Network: &pb.Network{Name: "blue", Cidr: "10.78.0.0/24", Tenant: "acme"}}})
	r := cluster.Registration{Name: cluster.Name{Network: "blue", Name: "c"}, Instance: "1", Labels: map[string]string{"image": "perftest", "k": "v"}}
	got, err := a.Register(context.Background(), r)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, a, "alpha knows it", func(s *cluster.State) bool { return s.Container(r.Name) != nil })
	who := a.State().SubjectAt("blue", got.IP)
	if at := a.Subject(r, got); !reflect.DeepEqual(at, who) {
		t.Errorf("at its registration %+v, in the state %+v", at, who)
	}
	if who.Tenant != "acme" || who.Image != "perftest" || who.Labels["k"] != "v" || who.Host != "alpha" || who.Name != "c" || who.External {
		t.Errorf("%+v", who)
	}
	if out := a.State().SubjectAt("default", got.IP); !out.External || out.IP != netip.MustParseAddr("10.78.0.1") {
		t.Errorf("in another network: %+v", out)
	}
}
