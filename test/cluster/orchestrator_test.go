package cluster

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/freeflow-rdma/freeflow/test/host"
)

// TestOrchestratorAway kills the orchestrator during traffic and starts it again.
func TestOrchestratorAway(t *testing.T) {
	defer took(t)()
	c := host.StartCluster(t, 2, host.Shape{})
	// A name that host 1 knows, and one that host 2 has just used.
	known := strings.TrimSpace(c.Hosts[0].Run(t, host.Options{Name: "known"}, "hostname", "-I"))
	server, client := traffic(t, c, "-d", "12", "-q", "4")
	c.KillOrchestrator()
	time.Sleep(500 * time.Millisecond)

	again := c.Hosts[0].Start(t, host.Options{Name: "known"}, "hostname", "-I")
	if ip := strings.TrimSpace(again.Succeed(t)); ip != known {
		t.Errorf("the container had %q and has %q while no orchestrator answers", known, ip)
	}
	start := time.Now()
	unknown := c.Hosts[0].Start(t, host.Options{Name: "unknown"}, "true")
	if code := unknown.Wait(t); code != 125 || !strings.Contains(unknown.Output(), "no orchestrator answers") {
		t.Errorf("a name that nobody knows: exit status %d\n%s", code, unknown.Output())
	}
	t.Logf("refused after %.2f s: %s", time.Since(start).Seconds(), unknown.Output())

	c.StartOrchestrator()
	start = time.Now()
	host.Eventually(t, "a new container starts", 15*time.Second, func() error {
		if r := c.Hosts[0].Start(t, host.Options{Name: "unknown"}, "true"); r.Wait(t) != 0 {
			return fmt.Errorf("%s", r.Output())
		}
		return nil
	})
	t.Logf("a new container starts %.2f s after the orchestrator is back", time.Since(start).Seconds())
	between(c, 1, 0).succeed(t, host.Program(t, "traffic"), "-d", "1")
	if client.Wait(t) != 0 || server.Wait(t) != 0 {
		counters(t, c)
		t.Errorf("the traffic did notice:\n%s\n%s", client.Output(), server.Output())
	}
	wantLife(t, c)
}

// TestKilledRouter kills the router of one of two hosts, with programs on both, and starts it again.
func TestKilledRouter(t *testing.T) {
	defer took(t)()
	c := host.StartCluster(t, 2, host.Shape{})
	h := c.Hosts[1]
	stays := h.Start(t, host.Options{Name: "stays"}, "sh", "-c", "hostname -I; sleep 1000")
	stays.WaitFor(t, "10.77")
	ip := strings.TrimSpace(stays.Output())
	for name, options := range map[string][]string{
		"pollers": nil, "event waiters": {"-e"}, "waiter one way": {"-e", "-o"}, "many queue pairs": {"-q", "16"}, "writes": {"-w"},
	} {
		t.Run(name, func(t *testing.T) {
			server, client := traffic(t, c, options...)
			h.KillRouter()
			wantErrors(t, "program beside the router", client, flushed, retries)
			if name != "writes" && name != "waiter one way" { // whoever only receives hears of it when the lease ends
				wantErrors(t, "program of the other host", server, retries, flushed)
			}
			server.Kill()
			h.StartRouter()
			start := time.Now()
			between(c, 0, 1).succeed(t, host.Program(t, "traffic"), "-d", "1")
			t.Logf("works %.2f s after the router's start", time.Since(start).Seconds()-1)
		})
	}
	h.Wait("the container is back", 10*time.Second, func() error {
		rows, err := h.Client().Containers(t.Context())
		if err != nil {
			return err
		}
		for _, r := range rows {
			if r.Name == "stays" && r.Host == h.Name && r.IP.String() == ip {
				return nil
			}
		}
		return fmt.Errorf("%+v", rows)
	})
	stays.Kill()
	h.Wait("nothing is left", host.GivenUp, h.Left)
	wantLife(t, c)
}

// TestEtcdAndOrchestratorsKilled has three orchestrators over three members of etcd, and kills each of the six in turn.
func TestEtcdAndOrchestratorsKilled(t *testing.T) {
	defer took(t)()
	c := host.StartCluster(t, 2, host.Shape{Members: 3})
	fresh := 0
	starts := func(t *testing.T) {
		t.Helper()
		start := time.Now()
		for _, h := range c.Hosts {
			fresh++
			host.Eventually(t, "a new container starts", 15*time.Second, func() error {
				r := h.Start(t, host.Options{Name: fmt.Sprintf("fresh%d", fresh)}, "true")
				if r.Wait(t) == 0 {
					return nil
				}
				t.Logf("%.2f s: not yet: %s", time.Since(start).Seconds(), r.Output())
				return fmt.Errorf("%s", r.Output())
			})
		}
		t.Logf("two new containers in %.2f s", time.Since(start).Seconds())
	}
	starts(t)
	for i := range 3 {
		t.Run(fmt.Sprintf("etcd member %d", i), func(t *testing.T) {
			c.Etcd.Kill(i)
			starts(t)
			between(c, 0, 1).succeed(t, host.Program(t, "traffic"), "-d", "1")
			c.Etcd.Restart(t, i)
		})
		t.Run(fmt.Sprintf("orchestrator %d", i), func(t *testing.T) {
			c.Orchestrators[i].Kill()
			starts(t)
			between(c, 0, 1).succeed(t, host.Program(t, "traffic"), "-d", "1")
			c.Orchestrators[i].Start()
		})
	}
	wantLife(t, c)
}
