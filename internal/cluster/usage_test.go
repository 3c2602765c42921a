package cluster_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"

	pb "github.com/freeflow-rdma/freeflow/api/freeflow/v1"
	"github.com/freeflow-rdma/freeflow/internal/cluster"
	"github.com/freeflow-rdma/freeflow/internal/metrics"
	"github.com/freeflow-rdma/freeflow/internal/orchestrator"
)

// working is a router's source with one container that sends.
type working struct {
	mu       sync.Mutex
	instance string // empty: it does not run
	bytes    uint64
}

func (w *working) Snapshot() (s metrics.Snapshot) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.instance != "" {
		s.Containers = []metrics.Container{w.container()}
	}
	return s
}

func (w *working) container() metrics.Container {
	return metrics.Container{Network: "default", Name: "a", Instance: w.instance, Counters: &pb.Counters{TxBytes: w.bytes}}
}

func (w *working) Details(_, _ string) *pb.ContainerDetails { return nil }

func (w *working) set(instance string, bytes uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.instance, w.bytes = instance, bytes
}

// reporting runs a reporter until stop.
func reporting(t *testing.T, c *cluster.Client, dir string, w *working) (r *metrics.Reporter, stop func()) {
	t.Helper()
	r, err := metrics.NewReporter(metrics.Config{Source: w, Send: c.ReportUsage, Dir: dir, Log: testLog(t)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { r.Run(ctx) })
	return r, sync.OnceFunc(func() {
		cancel()
		running.Wait()
	})
}

// used waits until the orchestrator tells of so many bytes, and fails if it tells of more.
func used(t *testing.T, o *cluster.Operator, want uint64) {
	t.Helper()
	var got uint64
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		answer, err := o.Usage.Get(context.Background(), connect.NewRequest(&pb.GetUsageRequest{}))
		if err != nil {
			continue // it may be starting
		}
		got = 0
		for _, row := range answer.Msg.Rows {
			got += row.Counters.TxBytes
		}
		if got > want {
			break
		}
		if got == want {
			return
		}
	}
	t.Fatalf("%d bytes are metered, want %d", got, want)
}

// Containers, routers and the orchestrator end and start again, in order and out of it; the sum is right all the time.
func TestUsageOverRestartsOfEverything(t *testing.T) {
	data := shortDir(t)
	s := startOrchestrator(t, func(c *orchestrator.Config) { c.DataDir = data })
	address := s.Addr().String()
	cfg := hostConfig(t, s, "h", "192.0.2.1")
	c := openHost(t, cfg)
	register(t, c, "a", "1")
	o := cluster.OpenOperator(s.SocketPath())
	t.Cleanup(func() { o.Close() })
	dir, w := t.TempDir(), &working{}

	w.set("1", 1000)
	r, stop := reporting(t, c, dir, w)
	used(t, o, 1000)

	// The container ends, with something that no report has told yet, and starts again.
	w.mu.Lock()
	w.bytes = 1500
	last := w.container()
	w.instance = ""
	w.mu.Unlock()
	r.Final(last)
	w.set("2", 100)
	used(t, o, 1600)

	// The router ends and starts again: the container's new run counts from nothing.
	w.set("2", 300)
	stop()
	w.set("3", 50)
	_, stop = reporting(t, c, dir, w)
	used(t, o, 1850)

	// The orchestrator ends and starts again; meanwhile the router has too.
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	w.set("3", 250)
	stop()
	w.set("4", 10)
	_, stop = reporting(t, c, dir, w)
	defer stop()
	startOrchestrator(t, func(c *orchestrator.Config) { c.DataDir, c.Listen = data, address })
	used(t, o, 2060)
}

func TestOperatorWithAToken(t *testing.T) {
	s := startOrchestrator(t, nil)
	ctx, url := context.Background(), "https://"+s.Addr().String()
	admin := cluster.OpenOperator(s.SocketPath())
	defer admin.Close()
	made, err := admin.Access.CreateCredential(ctx, connect.NewRequest(&pb.CreateCredentialRequest{Role: pb.Role_ROLE_VIEWER}))
	if err != nil {
		t.Fatal(err)
	}
	viewer, err := cluster.OpenTokenOperator(url, made.Msg.Token)
	if err != nil {
		t.Fatal(err)
	}
	defer viewer.Close()
	if _, err := viewer.List(ctx, connect.NewRequest(&pb.ListRequest{Kind: pb.Kind_KIND_HOST})); err != nil {
		t.Error(err)
	}
	if _, err := viewer.Apply(ctx, connect.NewRequest(&pb.ApplyRequest{})); connect.CodeOf(err) != connect.CodePermissionDenied {
		t.Error(err)
	}
	// The token is told to no other orchestrator than the one whose authority it names.
	other := startOrchestrator(t, nil)
	lost, err := cluster.OpenTokenOperator("https://"+other.Addr().String(), made.Msg.Token)
	if err != nil {
		t.Fatal(err)
	}
	defer lost.Close()
	if _, err := lost.List(ctx, connect.NewRequest(&pb.ListRequest{Kind: pb.Kind_KIND_HOST})); err == nil || !strings.Contains(err.Error(), "not the one that the token is for") {
		t.Error(err)
	}
}
