package cluster

import (
	"syscall"
	"testing"
	"time"

	"github.com/freeflow-rdma/freeflow/test/host"
)

// TestMovedContainer stops a container on one host and starts it on another under the same name: it has the same address, and a client that looks
// for it there finds it, over TCP and RDMA. The client is on a third host, or on one of the two.
func TestMovedContainer(t *testing.T) {
	defer took(t)()
	service := host.Program(t, "service")
	c := host.StartCluster(t, 3, host.Shape{})
	for name, of := range map[string]int{"on a third host": 2, "on the host it leaves": 0, "on the host it comes to": 1} {
		t.Run("client "+name, func(t *testing.T) {
			db := host.Options{Name: "db", IP: "10.77.42.42"}
			first := c.Hosts[0].Start(t, db, service, "serve", "first")
			first.WaitListen(t, meeting)
			client := c.Hosts[of].Start(t, host.Options{IP: c.NewIP()}, service, "ask", db.IP, "second")
			client.WaitFor(t, "reached first")
			first.Signal(syscall.SIGTERM)
			first.Wait(t)
			db.IP = "" // the name keeps it
			start := time.Now()
			second := c.Hosts[1].Start(t, db, service, "serve", "second")
			second.WaitListen(t, meeting)
			listens := time.Now()
			client.WaitFor(t, "reached second")
			reached := time.Since(listens)
			t.Logf("listens after %.2f s, reached %.2f s later", listens.Sub(start).Seconds(), reached.Seconds())
			if reached > 5*time.Second {
				t.Errorf("reached after %s", reached)
			}
			t.Log(client.Succeed(t))
			second.Kill()
			second.Wait(t)
			for _, h := range c.Hosts {
				h.Wait("nothing is left", 15*time.Second, h.Left)
			}
		})
	}
	wantLife(t, c)
}
