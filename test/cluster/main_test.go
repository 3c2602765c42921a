package cluster

import (
	"strings"
	"testing"
	"time"

	"github.com/freeflow-rdma/freeflow/test/host"
)

func TestMain(m *testing.M) { host.Main(m) }

// Ports on which programs meet: perftest's and libibverbs' own, and those of test/programs (check.h).
const (
	port    = 18515
	meeting = 18600
)

// hears is how long the end of a peer may take to be heard: the programs' retry time is half a second, a lease here two seconds, the rest is
// for a busy machine.
const hears = 15 * time.Second

const (
	retries = "transport retry counter exceeded"
	flushed = "Work Request Flushed Error"
	access  = "remote access error"
)

// took logs how long a test has run.
func took(t *testing.T) func() {
	start := time.Now()
	return func() { t.Logf("%.1f s", time.Since(start).Seconds()) }
}

// cases makes a test of every line "ok NAME" and "not ok NAME: why" that a program of test/programs says.
func cases(t *testing.T, r *host.Running, least int) {
	t.Helper()
	code := r.Wait(t)
	n := 0
	for line := range strings.Lines(r.Output()) {
		line = strings.TrimSpace(line)
		if name, ok := strings.CutPrefix(line, "ok "); ok {
			n++
			t.Run(name, func(*testing.T) {})
		} else if rest, ok := strings.CutPrefix(line, "not ok "); ok {
			n++
			name, why, _ := strings.Cut(rest, ": ")
			t.Run(name, func(t *testing.T) { t.Error(why) })
		} else if line != "" {
			t.Log(line)
		}
	}
	if n < least {
		t.Errorf("%d cases, expected %d or more", n, least)
	}
	if code != 0 && !t.Failed() {
		t.Errorf("exit status %d\n%s", code, r.Output())
	}
}

// talk is a program whose server and client run on hosts of a cluster.
type talk struct {
	c              *host.Cluster
	server, client *host.Host
	meet           int // port
	limit          time.Duration
}

// start starts both; the client gets the server's address as its last argument.
func (k talk) start(t *testing.T, args ...string) (server, client *host.Running) {
	t.Helper()
	o := host.Options{IP: k.c.NewIP(), Time: k.limit}
	server = k.server.Start(t, o, args...)
	server.WaitListen(t, k.meet)
	return server, k.client.Start(t, host.Options{IP: k.c.NewIP(), Time: k.limit}, append(args[:len(args):len(args)], o.IP)...)
}

// succeed runs both to their ends.
func (k talk) succeed(t *testing.T, args ...string) (server, client string) {
	t.Helper()
	s, c := k.start(t, args...)
	if code := c.Wait(t); code != 0 {
		t.Fatalf("client: exit status %d\n%s\nserver:\n%s", code, c.Output(), s.Output())
	}
	return s.Succeed(t), c.Output()
}

// between is a talk of a cluster's hosts, counted from 0, over the port of our own programs.
func between(c *host.Cluster, server, client int) talk {
	return talk{c: c, server: c.Hosts[server], client: c.Hosts[client], meet: meeting, limit: time.Minute}
}

// traffic starts test/programs/traffic on two hosts and waits until messages flow.
func traffic(t *testing.T, c *host.Cluster, options ...string) (server, client *host.Running) {
	t.Helper()
	k := between(c, 0, 1)
	server, client = k.start(t, append([]string{host.Program(t, "traffic")}, options...)...)
	server.WaitFor(t, "running")
	return server, client
}

// wantErrors checks that traffic was told: everything that it had posted has completed, with one of the statuses somewhere.
func wantErrors(t *testing.T, who string, r *host.Running, statuses ...string) {
	t.Helper()
	if code := r.Within(hears).Wait(t); code != 3 {
		t.Errorf("%s: exit status %d\n%s", who, code, r.Output())
		return
	}
	for _, s := range statuses {
		if strings.Contains(r.Output(), s) {
			return
		}
	}
	t.Errorf("%s: none of %q in\n%s", who, statuses, r.Output())
}

// wantLife checks that all routers are there and that none has anything left of containers.
func wantLife(t *testing.T, c *host.Cluster) {
	t.Helper()
	for _, h := range c.Hosts {
		h.RouterAlive(t)
		h.Wait("nothing is left", 15*time.Second, h.Left)
	}
}

// counters logs what the routers have counted, but for zeros.
func counters(t *testing.T, c *host.Cluster) {
	t.Helper()
	for _, h := range c.Hosts {
		var b strings.Builder
		for line := range strings.Lines(h.Freeflow(t, "get", "counters")) {
			if f := strings.Fields(line); len(f) > 0 && f[len(f)-1] != "0" {
				b.WriteString(line)
			}
		}
		t.Logf("%s:\n%s", h.Name, &b)
	}
}
