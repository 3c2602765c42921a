package e2e

import (
	"testing"
	"time"

	"github.com/freeflow-rdma/freeflow/test/host"
)

// TestCMAlone has programs that are alone in a container call librdmacm, rightly and wrongly, and write to its device what librdmacm never would.
func TestCMAlone(t *testing.T) {
	h := host.Start(t, "auto")
	other := host.Options{IP: h.NewIP()}
	h.Start(t, other, "sleep", "60")
	own := h.NewIP()
	o := host.Options{IP: own, Env: []string{"CM_OWN=" + own, "CM_FOREIGN=" + other.IP}}
	t.Run("local", func(t *testing.T) { cases(t, h.Start(t, o, host.Program(t, "cmlocal")), 12) })
	t.Run("raw", func(t *testing.T) {
		cases(t, h.Start(t, host.Options{}, host.Program(t, "cmraw"), "headers", "identifiers", "answers", "options", "noise"), 5)
	})
	h.RouterAlive(t)
}

// TestCMKilled ends one side of rping, or its container or router, in the midst of it: the other side ends.
func TestCMKilled(t *testing.T) {
	host.Need(t, "rping")
	t.Run("one host", func(t *testing.T) {
		h := host.Start(t, "auto")
		eachKilled(t, h, h, h.NewIP)
		killed(t, h, h, h.NewIP, "router", func(*host.Running, *host.Running) { h.KillRouter() })
	})
	t.Run("two hosts", func(t *testing.T) {
		c := host.StartCluster(t, 2, host.Shape{})
		eachKilled(t, c.Hosts[0], c.Hosts[1], c.NewIP)
	})
}

func eachKilled(t *testing.T, server, client *host.Host, next func() string) {
	t.Helper()
	killed(t, server, client, next, "server", func(s, _ *host.Running) { s.KillProgram(t) })
	killed(t, server, client, next, "client", func(_, c *host.Running) { c.KillProgram(t) })
	killed(t, server, client, next, "container of the server", func(s, _ *host.Running) { s.Kill() })
	killed(t, server, client, next, "container of the client", func(_, c *host.Running) { c.Kill() })
}

func killed(t *testing.T, server, client *host.Host, next func() string, who string, kill func(s, c *host.Running)) {
	t.Helper()
	t.Run(who, func(t *testing.T) {
		o := host.Options{Name: "rping-server", IP: next()}
		s := server.Start(t, o, "rping", "-s", "-V", "-S", "100", "-a", o.IP)
		time.Sleep(time.Second)
		c := client.Start(t, host.Options{IP: next()}, "rping", "-c", "-V", "-S", "100", "-a", o.IP)
		time.Sleep(time.Second)
		kill(s, c)
		for _, r := range []*host.Running{s, c} {
			r.Within(time.Minute).Wait(t) // seven retries with RDMA-CM's timeout of 2.1 s are 17 s
		}
		if t.Failed() {
			t.Logf("server:\n%s\nclient:\n%s", s.Output(), c.Output())
		}
	})
}
