package orchestrator

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"connectrpc.com/connect"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/protobuf/proto"

	pb "github.com/freeflow-rdma/freeflow/api/freeflow/v1"
)

func TestAddressBelongsToTheName(t *testing.T) {
	w := newWorld(t, 2)
	a, b := w.host("a"), w.host("b")
	w.keep(b)
	first := w.register("a", "db")
	if again := w.register("a", "db"); !proto.Equal(again, first) {
		t.Fatalf("the same registration again: %v", again)
	}
	_, _, err := w.stores[1].Register(w.ctx, "b", request("db"))
	refused(t, err, connect.CodeAlreadyExists, "default/db", "runs on host a")

	if err := w.stores[1].Unregister(w.ctx, "a", def("db"), "i"); err != nil {
		t.Fatal(err)
	}
	moved, n, err := w.stores[1].Register(w.ctx, "b", request("db"))
	if err != nil || moved.Ip != first.Ip || moved.Host != "b" || n.Name != "default" {
		t.Fatalf("on another host: %v, %v, %v", moved, n, err)
	}
	w.current()
	if other := w.register("a", "other"); other.Ip == first.Ip {
		t.Fatal("two containers have one address")
	}
	// A host that is gone loses its containers to whoever starts them.
	w.leave(a)
	taken, _, err := w.stores[1].Register(w.ctx, "b", request("other"))
	if err != nil || taken.Host != "b" {
		t.Fatalf("from a host that is gone: %v, %v", taken, err)
	}
	w.beat(a)
	lost, err := w.stores[0].Sync(w.ctx, "a", []*pb.RegisterContainerRequest{request("other")})
	if err != nil || len(lost) != 1 || lost[0].Name != "other" {
		t.Fatalf("the host that comes back is told %v, %v", lost, err)
	}
	w.consistent()
}

func TestUnnamedContainersLeaveNothing(t *testing.T) {
	w := newWorld(t, 1)
	w.host("a")
	r := request("c-1")
	r.Ephemeral = true
	c, _, err := w.stores[0].Register(w.ctx, "a", r)
	if err != nil {
		t.Fatal(err)
	}
	// What another instance or another host says does not count.
	for _, try := range []struct{ host, instance string }{{"b", "i"}, {"a", "j"}} {
		if err := w.stores[0].Unregister(w.ctx, try.host, def("c-1"), try.instance); err != nil {
			t.Fatal(err)
		}
	}
	if len(w.stores[0].mirror.runningOn("a")) != 1 {
		t.Fatal("a stranger stopped the container")
	}
	if err := w.stores[0].Unregister(w.ctx, "a", def("c-1"), "i"); err != nil {
		t.Fatal(err)
	}
	if next := w.register("a", "x"); next.Ip != c.Ip {
		t.Fatalf("its address %s was not given to the next: %s", c.Ip, next.Ip)
	}
	w.consistent()
}

func TestWantedAddress(t *testing.T) {
	w := newWorld(t, 1)
	w.host("a")
	s := w.stores[0]
	r := request("x")
	r.Ip = "10.77.5.5"
	if c, _, err := s.Register(w.ctx, "a", r); err != nil || c.Ip != r.Ip {
		t.Fatalf("%v, %v", c, err)
	}
	r = request("y")
	r.Ip = "10.77.5.5"
	_, _, err := s.Register(w.ctx, "a", r)
	refused(t, err, connect.CodeAlreadyExists, "10.77.5.5 belongs to container default/x")
	for _, bad := range []string{"10.78.0.1", "10.77.0.0", "10.77.255.255", "::1", "x"} {
		r.Ip = bad
		_, _, err := s.Register(w.ctx, "a", r)
		refused(t, err, connect.CodeInvalidArgument)
	}
	// A name that asks for another address moves to it, and gives the old one back.
	r = request("x")
	r.Ip, r.Instance = "10.77.6.6", "2"
	if c, _, err := s.Register(w.ctx, "a", r); err != nil || c.Ip != r.Ip {
		t.Fatalf("%v, %v", c, err)
	}
	r = request("y")
	r.Ip = "10.77.5.5"
	if _, _, err := s.Register(w.ctx, "a", r); err != nil {
		t.Fatal(err)
	}
	w.consistent()
}

func TestRegistrationIsChecked(t *testing.T) {
	w := newWorld(t, 1)
	w.host("a")
	for what, change := range map[string]func(*pb.RegisterContainerRequest){
		"name":     func(r *pb.RegisterContainerRequest) { r.Name = "../x" },
		"no name":  func(r *pb.RegisterContainerRequest) { r.Name = "" },
		"instance": func(r *pb.RegisterContainerRequest) { r.Instance = "" },
		"mode":     func(r *pb.RegisterContainerRequest) { r.Mode = "turbo" },
		"label":    func(r *pb.RegisterContainerRequest) { r.Labels = map[string]string{"a b": "c"} },
		"network":  func(r *pb.RegisterContainerRequest) { r.Network = "a/b" },
	} {
		r := request("x")
		change(r)
		_, _, err := w.stores[0].Register(w.ctx, "a", r)
		if connect.CodeOf(err) != connect.CodeInvalidArgument {
			t.Errorf("%s: %v", what, err)
		}
	}
	r := request("x")
	r.Network = "none"
	_, _, err := w.stores[0].Register(w.ctx, "a", r)
	refused(t, err, connect.CodeNotFound, `no network "none"`)
	_, _, err = w.stores[0].Register(w.ctx, "nobody", request("x"))
	refused(t, err, connect.CodeFailedPrecondition, "heartbeat first")
}

func TestFullNetworkTakesFromWhoStoppedFirst(t *testing.T) {
	w := newWorld(t, 1)
	w.keep(w.host("a"))
	s := w.stores[0]
	w.network("small", "10.9.0.0/29") // six addresses
	run := func(name string) (*pb.Container, error) {
		c, _, err := s.Register(w.ctx, "a", &pb.RegisterContainerRequest{Network: "small", Name: name, Instance: "i"})
		return c, err
	}
	for i := range 6 {
		if _, err := run(fmt.Sprint("c", i)); err != nil {
			t.Fatal(err)
		}
	}
	_, err := run("more")
	refused(t, err, connect.CodeResourceExhausted, "small", "no free address")
	for _, name := range []string{"c3", "c1"} {
		if err := s.Unregister(w.ctx, "a", Name{"small", name}, "i"); err != nil {
			t.Fatal(err)
		}
	}
	c, err := run("more")
	if err != nil || c.Ip != "10.9.0.4" {
		t.Fatalf("took %v, %v: want the address of c3, which stopped first", c, err)
	}
	if c, err = run("c1"); err != nil || c.Ip != "10.9.0.2" {
		t.Fatalf("c1 came back to %v, %v", c, err)
	}
	w.consistent()
}

func (w *world) network(name, cidr string) {
	w.Helper()
	o := &pb.Object{Spec: &pb.Object_Network{Network: &pb.Network{Name: name, Cidr: cidr}}}
	if _, err := w.stores[0].Apply(w.ctx, &pb.ApplyRequest{Objects: []*pb.Object{o}}); err != nil {
		w.Fatal(err)
	}
	w.current()
}

// Many containers, few addresses, several orchestrators, everything at once: nobody ever shares an address.
func TestNoAddressTwice(t *testing.T) {
	w := newWorld(t, 3)
	w.network("tight", "10.9.0.0/27")
	hosts := []string{"a", "b", "c"}
	for _, h := range hosts {
		w.keep(w.host(h))
	}
	changes := w.client.Watch(w.ctx, keys{DefaultPrefix}.containersOf("tight"), clientv3.WithPrefix())
	rounds := 60
	if raceDetector {
		rounds = 20
	}
	var workers sync.WaitGroup
	for i := range 9 {
		workers.Go(func() {
			random := rand.New(rand.NewPCG(7, uint64(i)))
			s, host := w.stores[i%3], hosts[i/3]
			for range rounds {
				name := fmt.Sprint("c", random.IntN(60))
				r := &pb.RegisterContainerRequest{Network: "tight", Name: name, Instance: fmt.Sprint(i), Ephemeral: random.IntN(3) == 0}
				_, _, err := s.Register(w.ctx, host, r)
				switch connect.CodeOf(err) {
				case connect.CodeAlreadyExists, connect.CodeResourceExhausted, connect.CodeAborted:
				default:
					if err != nil {
						t.Error(err)
					}
				}
				if random.IntN(2) == 0 {
					if err := s.Unregister(w.ctx, host, Name{"tight", name}, fmt.Sprint(i)); err != nil && connect.CodeOf(err) != connect.CodeAborted {
						t.Error(err)
					}
				}
			}
		})
	}
	workers.Wait()
	w.consistent()
	w.replay(changes)
}

// replay goes through all that etcd has seen, revision by revision, and looks for an address with two owners.
func (w *world) replay(changes clientv3.WatchChan) {
	w.Helper()
	last, err := w.client.Put(w.ctx, keys{DefaultPrefix}.containersOf("tight")+"end", "")
	if err != nil {
		w.Fatal(err)
	}
	has, owners := map[string]string{}, map[string]map[string]bool{}
	var rev int64
	check := func() {
		for ip, names := range owners {
			if len(names) > 1 {
				w.Fatalf("at revision %d %s belongs to %v", rev, ip, names)
			}
		}
	}
	for r := range changes {
		for _, e := range r.Events {
			if e.Kv.ModRevision != rev {
				check()
			}
			if rev = e.Kv.ModRevision; rev == last.Header.Revision {
				return
			}
			key := string(e.Kv.Key)
			delete(owners[has[key]], key)
			delete(has, key)
			if e.Type == clientv3.EventTypePut {
				c := &pb.Container{}
				if err := decode(e.Kv.Value, c); err != nil {
					w.Fatal(err)
				}
				if owners[c.Ip] == nil {
					owners[c.Ip] = map[string]bool{}
				}
				has[key], owners[c.Ip][key] = c.Ip, true
			}
		}
	}
}
