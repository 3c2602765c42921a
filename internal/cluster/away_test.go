package cluster_test

import (
	"context"
	"errors"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	pb "github.com/freeflow-rdma/freeflow/api/freeflow/v1"
	"github.com/freeflow-rdma/freeflow/internal/cluster"
	"github.com/freeflow-rdma/freeflow/internal/orchestrator"
)

// The orchestrator goes; the router goes on with what it knows, also when it is started anew; and tells what has
// happened when the orchestrator is back.
func TestOrchestratorAway(t *testing.T) {
	s := startOrchestrator(t, nil)
	address, dir := s.Addr().String(), filepath.Dir(s.SocketPath())
	cfg := hostConfig(t, s, "alpha", "192.0.2.1")
	a := openHost(t, cfg)
	b := openHost(t, hostConfig(t, s, "beta", "192.0.2.2"))
	x, y := register(t, a, "x", "1"), register(t, a, "y", "1")
	far := register(t, b, "far", "1")
	eventually(t, a, "alpha knows all", func(s *cluster.State) bool { return s.Len() == 3 })
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for a.Connected() {
		time.Sleep(time.Millisecond)
	}
	a.Close() // also writes what it knows
	a, err := cluster.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { a.Close() }()
	if c := a.State().Container(far.Name); c == nil || c.IP != far.IP || a.State().Host("beta") == nil {
		t.Fatalf("a router that starts alone does not know its peers: %v", c)
	}
	if n := len(a.Registered()); n != 2 {
		t.Fatalf("it knows %d of its own containers", n)
	}
	a.Unregister(y.Name, "1")
	if got := register(t, a, "x", "2"); got.IP != x.IP {
		t.Fatalf("x was at %s and is now at %s", x.IP, got.IP)
	}
	_, err = a.Register(context.Background(), registration("new", "1"))
	if !errors.Is(err, cluster.ErrUnreachable) || !strings.Contains(err.Error(), "no orchestrator answers") {
		t.Fatalf("a new container: %v", err)
	}
	_, err = a.Register(context.Background(), registration("far", "1"))
	if !errors.Is(err, cluster.ErrUnreachable) {
		t.Fatalf("another host's container: %v", err)
	}

	startOrchestrator(t, func(c *orchestrator.Config) { c.DataDir, c.Listen = dir, address })
	eventually(t, b, "beta hears that y has stopped and x is a new run", func(s *cluster.State) bool {
		y, x := s.Container(y.Name), s.Container(x.Name)
		return y != nil && !y.Running && x.Running && x.Instance == "2"
	})
	register(t, a, "new", "1")
}

func TestLostContainer(t *testing.T) {
	s := startOrchestrator(t, nil)
	lost := make(chan string, 1)
	cfg := hostConfig(t, s, "alpha", "192.0.2.1")
	cfg.OnLost = func(n cluster.Name, _, reason string) { lost <- n.String() + ": " + reason }
	a, b := openHost(t, cfg), openHost(t, hostConfig(t, s, "beta", "192.0.2.2"))
	x := register(t, a, "x", "1")
	_, err := b.Register(context.Background(), registration("x", "2"))
	if !errors.Is(err, cluster.ErrConflict) || !strings.Contains(err.Error(), "host alpha") {
		t.Fatalf("on a second host: %v", err)
	}
	a.Close()
	eventually(t, b, "alpha is gone", func(s *cluster.State) bool { return !s.Host("alpha").Ready })
	if got := register(t, b, "x", "2"); got.IP != x.IP {
		t.Fatalf("x moved from %s to %s", x.IP, got.IP)
	}
	again, err := cluster.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	select {
	case said := <-lost:
		if !strings.Contains(said, "default/x: container default/x runs on host beta") {
			t.Error(said)
		}
	case <-time.After(patience):
		t.Fatal("alpha does not hear that x is beta's")
	}
}

func TestSubscribersSeeEveryChange(t *testing.T) {
	s := startOrchestrator(t, nil)
	a, b := openHost(t, hostConfig(t, s, "alpha", "192.0.2.1")), openHost(t, hostConfig(t, s, "beta", "192.0.2.2"))
	table := map[cluster.Name]netip.Addr{}
	done := make(chan struct{})
	var last int64
	cancel := b.Subscribe(func(s *cluster.State) {
		if s.Revision < last {
			t.Errorf("revision %d after %d", s.Revision, last)
		}
		last = s.Revision
		changes := s.Changes()
		if changes.All {
			clear(table)
			for c := range s.Containers() {
				table[c.Name] = c.IP
			}
		}
		for _, c := range changes.Containers {
			if c.Before != nil {
				delete(table, c.Before.Name)
			}
			if c.After != nil {
				table[c.After.Name] = c.After.IP
			}
		}
		if _, ok := table[cluster.Name{Network: "default", Name: "end"}]; ok {
			close(done)
		}
	})
	defer cancel()
	for i := range 50 {
		r := registration("c"+string(rune('0'+i%10)), "1")
		r.Ephemeral = i%2 == 0
		if _, err := a.Register(context.Background(), r); err != nil {
			t.Fatal(err)
		}
		if i%3 == 0 {
			a.Unregister(r.Name, "1")
		}
	}
	register(t, a, "end", "1")
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatal("the last change does not come")
	}
	cancel()
	state := b.State()
	if len(table) != state.Len() {
		t.Fatalf("%d containers from changes, %d in the state", len(table), state.Len())
	}
	for c := range state.Containers() {
		if table[c.Name] != c.IP {
			t.Errorf("%s: %s from changes, %s in the state", c.Name, table[c.Name], c.IP)
		}
	}
}

func TestRevokedRegion(t *testing.T) {
	s := startOrchestrator(t, nil)
	a, b := openHost(t, hostConfig(t, s, "alpha", "192.0.2.1")), openHost(t, hostConfig(t, s, "beta", "192.0.2.2"))
	x := register(t, a, "x", "1")
	for id := range uint64(10) {
		a.AddMR(cluster.MR{ID: id, Container: x.Name, Length: 4096})
	}
	o := cluster.OpenOperator(s.SocketPath())
	defer o.Close()
	ctx := context.Background()
	count := func(want int) {
		t.Helper()
		var got int
		for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
			list, err := o.List(ctx, connect.NewRequest(&pb.ListRequest{Kind: pb.Kind_KIND_MR}))
			if err != nil {
				t.Fatal(err)
			}
			if got = len(list.Msg.Items); got == want {
				return
			}
		}
		t.Fatalf("the memory map has %d regions, want %d", got, want)
	}
	count(10)
	if _, err := o.Delete(ctx, connect.NewRequest(&pb.DeleteRequest{Ref: &pb.Ref{Kind: pb.Kind_KIND_MR, Name: "alpha/7"}})); err != nil {
		t.Fatal(err)
	}
	eventually(t, a, "alpha hears of the revocation", func(s *cluster.State) bool {
		return slices.Equal(slices.Collect(s.Revoked()), []uint64{7})
	})
	if n := len(slices.Collect(b.State().Revoked())); n != 0 {
		t.Errorf("beta is told of %d revocations", n)
	}
	a.RemoveMR(7)
	count(9)
	eventually(t, a, "the revocation is over", func(s *cluster.State) bool { return len(slices.Collect(s.Revoked())) == 0 })
}

func TestOperatorElsewhere(t *testing.T) {
	s := startOrchestrator(t, nil)
	o, err := cluster.OpenRemoteOperator("http://"+s.Addr().String(), filepath.Dir(s.SocketPath()))
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	list, err := o.List(context.Background(), connect.NewRequest(&pb.ListRequest{Kind: pb.Kind_KIND_NETWORK}))
	if err != nil || len(list.Msg.Items) != 1 || list.Msg.Items[0].GetNetwork().Name != "default" {
		t.Fatalf("%v, %v", list, err)
	}
	other := startOrchestrator(t, nil)
	o, err = cluster.OpenRemoteOperator(other.Addr().String(), filepath.Dir(s.SocketPath()))
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	if _, err := o.List(context.Background(), connect.NewRequest(&pb.ListRequest{Kind: pb.Kind_KIND_NETWORK})); err == nil {
		t.Fatal("one cluster's operator is another's")
	}
}

func TestJoinTrustsTheTokensClusterOnly(t *testing.T) {
	s, other := startOrchestrator(t, nil), startOrchestrator(t, nil)
	cfg := hostConfig(t, s, "alpha", "192.0.2.1")
	cfg.URLs = []string{other.Addr().String()}
	err := cluster.Join(context.Background(), cfg)
	if err == nil || !strings.Contains(err.Error(), "not the cluster that the join token is for") {
		t.Fatalf("joined somebody else's cluster: %v", err)
	}
	cfg.URLs = append(cfg.URLs, s.Addr().String())
	if err := cluster.Join(context.Background(), cfg); err != nil {
		t.Fatalf("at the second URL: %v", err)
	}
	cfg.URLs = cfg.URLs[:1] // nobody need be asked again
	if err := cluster.Join(context.Background(), cfg); err != nil {
		t.Fatal(err)
	}
}
