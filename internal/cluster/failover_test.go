package cluster_test

import (
	"net"
	"os/exec"
	"testing"

	"github.com/freeflow-rdma/freeflow/internal/cluster"
	"github.com/freeflow-rdma/freeflow/internal/orchestrator"
)

// startEtcd starts one member, for several orchestrators, and returns its URL.
func startEtcd(t *testing.T) string {
	t.Helper()
	program, err := exec.LookPath("etcd")
	if err != nil {
		t.Fatal("this test needs etcd: apt-get install etcd-server")
	}
	url, peer := "http://"+freePort(t), "http://"+freePort(t)
	cmd := exec.Command(program, "--data-dir", shortDir(t)+"/data", "--listen-client-urls", url, "--advertise-client-urls", url,
		"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", "default="+peer, "--log-level", "error", "--unsafe-no-fsync")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	return url
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// The orchestrator that a router uses ends; the router goes to the other one, keeps its lease, and misses nothing.
func TestNextOrchestrator(t *testing.T) {
	etcd := startEtcd(t)
	var servers []*orchestrator.Server
	for range 2 {
		servers = append(servers, startOrchestrator(t, func(c *orchestrator.Config) {
			c.EtcdEndpoints, c.HostTTL = []string{etcd}, 60e9
		}))
	}
	cfg := hostConfig(t, servers[0], "alpha", "192.0.2.1")
	cfg.URLs = append(cfg.URLs, servers[1].Addr().String())
	a := openHost(t, cfg)
	b := openHost(t, hostConfig(t, servers[1], "beta", "192.0.2.2"))
	register(t, a, "x", "1")
	register(t, b, "before", "1")
	eventually(t, a, "alpha sees beta's container", func(s *cluster.State) bool { return s.Len() == 2 })

	whole := 0
	cancel := a.Subscribe(func(s *cluster.State) {
		if s.Changes().All {
			whole++
		}
	})
	defer cancel()
	servers[0].Close()
	register(t, b, "after", "1")
	eventually(t, a, "alpha sees what happened meanwhile", func(s *cluster.State) bool { return s.Len() == 3 })
	register(t, a, "y", "1")
	eventually(t, b, "beta sees alpha's", func(s *cluster.State) bool { return s.Len() == 4 && s.Host("alpha").Ready })
	if whole != 1 { // the call of Subscribe itself
		t.Errorf("the whole state was sent %d times again: the watch was not resumed", whole-1)
	}
}
