package cluster_test

import (
	"context"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/freeflow-rdma/freeflow/internal/cluster"
	"github.com/freeflow-rdma/freeflow/internal/orchestrator"
)

// patience is how long a test waits for what must come.
const patience = 30 * time.Second

func testLog(t *testing.T) *slog.Logger {
	if !testing.Verbose() {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(os.Stderr, nil)).With("test", t.Name())
}

// shortDir is a directory whose name leaves room for sockets.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "ff")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// startOrchestrator starts one on a directory of its own, on a port that is free.
func startOrchestrator(t *testing.T, change func(*orchestrator.Config)) *orchestrator.Server {
	t.Helper()
	cfg := orchestrator.Config{DataDir: shortDir(t), Listen: "127.0.0.1:0", HostTTL: 2 * time.Second, Log: testLog(t)}
	if change != nil {
		change(&cfg)
	}
	s, err := orchestrator.Start(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// hostConfig is that of a host that joins with a token of its own.
func hostConfig(t *testing.T, s *orchestrator.Server, name, ip string) cluster.Config {
	t.Helper()
	token, err := s.CreateToken(context.Background(), time.Hour, true)
	if err != nil {
		t.Fatal(err)
	}
	return cluster.Config{
		URLs: []string{"https://" + s.Addr().String()}, Dir: filepath.Join(shortDir(t), "router"), Host: name,
		Underlay: netip.MustParseAddr(ip), Features: []string{"sack"}, Version: "test", Token: token, Log: testLog(t),
	}
}

func openHost(t *testing.T, cfg cluster.Config) *cluster.Client {
	t.Helper()
	if err := cluster.Join(context.Background(), cfg); err != nil {
		t.Fatal(err)
	}
	c, err := cluster.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func register(t *testing.T, c *cluster.Client, name, instance string) cluster.Assigned {
	t.Helper()
	a, err := c.Register(context.Background(), registration(name, instance))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func registration(name, instance string) cluster.Registration {
	return cluster.Registration{Name: cluster.Name{Network: "default", Name: name}, Instance: instance}
}

// eventually waits until the state of c is as wanted.
func eventually(t *testing.T, c *cluster.Client, what string, want func(*cluster.State) bool) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if want(c.State()) {
			return
		}
	}
	t.Fatalf("after %s still not: %s", patience, what)
}

func TestTwoHostsSeeEachOther(t *testing.T) {
	s := startOrchestrator(t, nil)
	a := openHost(t, hostConfig(t, s, "alpha", "192.0.2.1"))
	b := openHost(t, hostConfig(t, s, "beta", "192.0.2.2"))
	got := register(t, a, "server", "i1")
	if got.IP != netip.MustParseAddr("10.77.0.1") || got.Network.Prefix.String() != "10.77.0.0/16" || got.Network.VNI != 1 {
		t.Fatalf("assigned %+v", got)
	}
	eventually(t, b, "beta sees the container at its address on alpha", func(s *cluster.State) bool {
		c := s.ContainerAt("default", got.IP)
		if c == nil || !c.Running || c.Host != "alpha" {
			return false
		}
		h := s.Host(c.Host)
		return h != nil && h.Ready && h.Underlay == netip.MustParseAddr("192.0.2.1") && h.Has("sack")
	})
	a.Unregister(got.Name, "i1")
	eventually(t, b, "beta sees it stopped", func(s *cluster.State) bool {
		c := s.Container(got.Name)
		return c != nil && !c.Running && c.IP == got.IP
	})
}

func TestRouterOnTheSameMachineNeedsNoTCP(t *testing.T) {
	s := startOrchestrator(t, func(c *orchestrator.Config) { c.Listen = "none" })
	token, err := s.CreateToken(context.Background(), time.Hour, false)
	if err != nil {
		t.Fatal(err)
	}
	c := openHost(t, cluster.Config{URLs: []string{s.RouterURL()}, Dir: shortDir(t), Host: "here",
		Underlay: netip.MustParseAddr("127.0.0.1"), Token: token, Log: testLog(t)})
	register(t, c, "a", "1")
}
