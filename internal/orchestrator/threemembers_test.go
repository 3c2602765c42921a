package orchestrator

import (
	"context"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	pb "github.com/freeflow-rdma/freeflow/api/freeflow/v1"
)

// etcdMember is a process of Debian's etcd.
type etcdMember struct {
	cmd *exec.Cmd
	url string
}

// startEtcd starts a cluster of three, an etcd as it is in production.
func startEtcd(t *testing.T) []*etcdMember {
	t.Helper()
	program, err := exec.LookPath("etcd")
	if err != nil {
		t.Fatal("this test needs etcd: apt-get install etcd-server")
	}
	var members []*etcdMember
	var peers, initial []string
	for i := range 3 {
		members = append(members, &etcdMember{url: "http://" + freePort(t)})
		peers = append(peers, "http://"+freePort(t))
		initial = append(initial, fmt.Sprintf("m%d=%s", i, peers[i]))
	}
	for i, m := range members {
		m.cmd = exec.Command(program, "--name", fmt.Sprint("m", i), "--data-dir", shortDir(t)+"/data",
			"--listen-client-urls", m.url, "--advertise-client-urls", m.url,
			"--listen-peer-urls", peers[i], "--initial-advertise-peer-urls", peers[i],
			"--initial-cluster", strings.Join(initial, ","), "--initial-cluster-state", "new",
			// A busy machine must not make the members vote all the time.
			"--heartbeat-interval", "200", "--election-timeout", "2000", "--log-level", "error", "--unsafe-no-fsync")
		if err := m.cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(m.kill)
	}
	return members
}

func (m *etcdMember) kill() {
	if m.cmd.ProcessState == nil {
		m.cmd.Process.Kill()
		m.cmd.Wait()
	}
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

// Three members of etcd, three orchestrators over them. One of each is killed: containers still start, each
// address is one container's, and what was decided before is known.
func TestOneOfThreeMayDie(t *testing.T) {
	members := startEtcd(t)
	var urls []string
	for _, m := range members {
		urls = append(urls, m.url)
	}
	var servers []*Server
	for range 3 {
		servers = append(servers, startServer(t, Config{EtcdEndpoints: urls, HostTTL: maxHostTTL}))
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	w := &world{T: t, ctx: ctx, client: servers[2].Store.client, now: map[string]int64{}}
	for _, s := range servers {
		w.stores = append(w.stores, s.Store)
	}
	for _, name := range []string{"a", "b", "c"} {
		w.host(name)
	}
	for i := range 30 {
		w.mustRegister(i%3, fmt.Sprint("before-", i))
	}
	w.consistent()

	members[0].kill()
	servers[0].Close()
	w.stores = w.stores[1:]
	for i := range 30 {
		w.mustRegister(i%2, fmt.Sprint("after-", i))
	}
	w.current()
	w.consistent()
	for _, s := range w.stores {
		s.mirror.mu.RLock()
		known := len(s.mirror.byName)
		s.mirror.mu.RUnlock()
		if known != 60 {
			t.Errorf("an orchestrator knows %d containers", known)
		}
	}
}

// mustRegister registers at one of the orchestrators, again while etcd chooses a new leader, as a router does.
func (w *world) mustRegister(store int, name string) {
	w.Helper()
	host := []string{"a", "b", "c"}[store]
	for {
		_, _, err := w.stores[store].Register(w.ctx, host, &pb.RegisterContainerRequest{Network: "default", Name: name, Instance: "i"})
		if err == nil {
			return
		}
		if w.ctx.Err() != nil {
			w.Fatalf("register %s: %v", name, err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}
