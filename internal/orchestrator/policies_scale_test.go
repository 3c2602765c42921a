package orchestrator

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"

	pb "github.com/freeflow-rdma/freeflow/api/freeflow/v1"
	"github.com/freeflow-rdma/freeflow/api/freeflow/v1/freeflowv1connect"
)

// A thousand policies are applied at once, and then one of them; every host that watches hears of all of them. How late is logged: orchestrator and
// hosts share the machine.
func TestPolicyScale(t *testing.T) {
	hosts := 100
	if raceDetector || testing.Short() {
		hosts = 10
	}
	s := startServer(t, Config{DataDir: memoryDir(t), HostTTL: maxHostTTL})
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	url := "https://" + s.Addr().String()
	w := policyWatchers{began: make(chan struct{}, hosts), heard: make(chan time.Time, hosts)}
	for i := range hosts {
		cert, err := joined(ctx, s, fmt.Sprint("h", i), fmt.Sprintf("192.0.2.%d", 1+i))
		if err != nil {
			t.Fatal(err)
		}
		router := freeflowv1connect.NewRouterServiceClient(as(s, cert), url)
		w.running.Go(func() { w.watch(ctx, router) })
	}
	for range hosts {
		<-w.began
	}
	var many []*pb.Object
	for i := range 1000 {
		many = append(many, rateLimit(fmt.Sprint("p", i), 1e9))
	}
	for _, list := range [][]*pb.Object{many, {rateLimit("p7", 2e9)}} {
		began := time.Now()
		if _, err := s.Store.Apply(ctx, &pb.ApplyRequest{Objects: list}); err != nil {
			t.Fatal(err)
		}
		answered := time.Since(began)
		var late []time.Duration
		for range hosts {
			select {
			case at := <-w.heard:
				late = append(late, at.Sub(began))
			case <-ctx.Done():
				t.Fatalf("%d of %d hosts have heard of the policies", len(late), hosts)
			}
		}
		slices.Sort(late)
		t.Logf("%d policies: applied after %s, heard of by half of %d hosts after %s, by all after %s", len(list), answered.Round(time.Millisecond), hosts,
			late[hosts/2].Round(time.Millisecond), late[hosts-1].Round(time.Millisecond))
	}
	cancel()
	w.running.Wait()
}

type policyWatchers struct {
	began   chan struct{}
	heard   chan time.Time
	running sync.WaitGroup
}

// watch tells when a change has been heard of as a whole, if it is of policies.
func (w *policyWatchers) watch(ctx context.Context, router freeflowv1connect.RouterServiceClient) {
	stream, err := router.Watch(ctx, connect.NewRequest(&pb.WatchRequest{}))
	if err != nil {
		return
	}
	defer stream.Close()
	first, ruling := true, false
	for stream.Receive() {
		m := stream.Msg()
		for _, c := range m.Changes {
			ruling = ruling || c.GetPolicy() != nil
		}
		switch {
		case m.More:
		case first:
			first = false
			w.began <- struct{}{}
		case ruling:
			ruling = false
			w.heard <- time.Now()
		}
	}
}
