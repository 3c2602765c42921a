package host

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/freeflow-rdma/freeflow/internal/vnet"
)

// Etcd is a cluster of etcd processes on the loopback of a namespace.
type Etcd struct {
	members []*etcdMember
	ns      *vnet.Namespace
}

type etcdMember struct {
	args  []string
	cmd   *exec.Cmd
	ended chan struct{}
	log   output
}

// etcdPort is the first of member i's two ports: clients', then peers'.
func etcdPort(i int) int { return 12379 + 10*i }

// StartEtcd starts n members in a namespace. They end with the test.
func StartEtcd(t testing.TB, ns *vnet.Namespace, n int) *Etcd {
	t.Helper()
	Need(t, "etcd")
	dir, err := scratch()
	if err != nil {
		t.Fatal(err)
	}
	var initial []string
	for i := range n {
		initial = append(initial, fmt.Sprintf("m%d=http://127.0.0.1:%d", i, etcdPort(i)+1))
	}
	e := &Etcd{ns: ns}
	for i := range n {
		data, err := os.MkdirTemp(dir, "etcd")
		if err != nil {
			t.Fatal(err)
		}
		client, peer := fmt.Sprintf("http://127.0.0.1:%d", etcdPort(i)), fmt.Sprintf("http://127.0.0.1:%d", etcdPort(i)+1)
		m := &etcdMember{args: []string{"--name", fmt.Sprintf("m%d", i), "--data-dir", data, "--unsafe-no-fsync",
			"--listen-client-urls", client, "--advertise-client-urls", client, "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
			"--initial-cluster", strings.Join(initial, ","), "--initial-cluster-state", "new"}}
		t.Cleanup(func() {
			m.kill()
			os.RemoveAll(data)
			if t.Failed() {
				t.Log("etcd member:\n" + m.log.tail())
			}
		})
		e.members = append(e.members, m)
		e.Start(t, i)
	}
	for i := range n {
		e.waitListen(t, i)
	}
	return e
}

// Endpoints are the members' URLs, separated by commas.
func (e *Etcd) Endpoints() string {
	var urls []string
	for i := range e.members {
		urls = append(urls, fmt.Sprintf("http://127.0.0.1:%d", etcdPort(i)))
	}
	return strings.Join(urls, ",")
}

// Start starts a member where it has ended.
func (e *Etcd) Start(t testing.TB, i int) {
	t.Helper()
	m := e.members[i]
	m.cmd = exec.Command("etcd", m.args...)
	m.cmd.Stdout, m.cmd.Stderr = &m.log, &m.log
	if err := spawn(m.cmd, e.ns); err != nil {
		t.Fatalf("start etcd: %v", err)
	}
	cmd, ended := m.cmd, make(chan struct{})
	m.ended = ended
	go func() {
		_ = cmd.Wait()
		close(ended)
	}()
}

// Restart starts a member that was killed and waits until it serves.
func (e *Etcd) Restart(t testing.TB, i int) {
	t.Helper()
	e.Start(t, i)
	e.waitListen(t, i)
}

// Kill kills a member with SIGKILL.
func (e *Etcd) Kill(i int) { e.members[i].kill() }

func (m *etcdMember) kill() {
	if m.cmd != nil && m.cmd.Process != nil {
		m.cmd.Process.Kill()
		<-m.ended
	}
}

// waitListen waits until a member takes clients, which it does once it has heard of a leader.
func (e *Etcd) waitListen(t testing.TB, i int) {
	t.Helper()
	Eventually(t, "etcd serves", 20*time.Second, func() error {
		return e.ns.Do(func() error {
			c, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", etcdPort(i)), time.Second)
			if err == nil {
				c.Close()
			}
			return err
		})
	})
}
