package e2e

import (
	"slices"
	"testing"
	"time"

	"github.com/freeflow-rdma/freeflow/test/host"
)

// across runs a row with its server on one host and its client on another.
func across(t *testing.T, server, client *host.Host, r row) {
	t.Helper()
	o := host.Options{IP: server.NewIP(), Time: r.limit()}
	s := server.Start(t, o, r...)
	s.WaitListen(t, port)
	c := client.Start(t, host.Options{Time: o.Time}, append(slices.Clone(r), o.IP)...)
	if code := c.Wait(t); code != 0 {
		t.Fatalf("client: exit status %d\n%s\nserver:\n%s", code, c.Output(), s.Output())
	}
	s.Succeed(t)
}

// acrossHosts runs rows between two hosts, in parallel as far as -parallel goes.
func acrossHosts(t *testing.T, rows []row) {
	for _, r := range rows {
		host.Need(t, r[0])
	}
	c := host.StartCluster(t, 2, host.Shape{})
	t.Run("all", func(t *testing.T) {
		for _, r := range rows {
			t.Run(r.String(), func(t *testing.T) {
				t.Parallel()
				defer slow(t, time.Now())
				across(t, c.Hosts[0], c.Hosts[1], r)
			})
		}
	})
	for _, h := range c.Hosts {
		h.RouterAlive(t)
		h.Wait("nothing is left", 10*time.Second, h.Left)
	}
}

func TestPingpongsAcrossHosts(t *testing.T) { acrossHosts(t, pingpongs()) }

func TestPerftestAcrossHosts(t *testing.T) { acrossHosts(t, perftests()) }
