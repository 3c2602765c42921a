package cluster

import (
	"strings"
	"testing"

	"github.com/freeflow-rdma/freeflow/test/host"
)

// TestMTU1500 is an underlay as most are: packets, of RDMA and of TCP, fit it with what they travel in.
func TestMTU1500(t *testing.T) {
	defer took(t)()
	host.Need(t, "ibv_devinfo", "ib_send_bw", "ib_read_lat", "ibv_ud_pingpong", "iperf3", "ip")
	c := host.StartCluster(t, 2, host.Shape{MTU: 1500})
	out := c.Hosts[0].Run(t, host.Options{}, "ibv_devinfo")
	if !strings.Contains(out, "active_mtu:\t\t1024") {
		t.Errorf("ibv_devinfo:\n%s", out)
	}
	link := c.Hosts[0].Run(t, host.Options{}, "ip", "link", "show", "eth0")
	t.Logf("eth0: %s", link)
	k := between(c, 0, 1)
	verify := host.Program(t, "verify")
	for _, service := range []string{"rc", "ud"} {
		t.Run("verify "+service, func(t *testing.T) {
			server, client := k.start(t, verify, service)
			t.Run("client", func(t *testing.T) { cases(t, client, 7) })
			t.Run("server", func(t *testing.T) { cases(t, server, 7) })
		})
	}
	k.meet = port
	for _, r := range [][]string{{"ib_send_bw", "-F", "-n", "1000"}, {"ib_read_lat", "-F", "-n", "200"}, {"ibv_ud_pingpong", "-g", "1", "-n", "1000", "-c", "-s", "1024"}} {
		t.Run(r[0], func(t *testing.T) { k.succeed(t, r...) })
	}
	t.Run("TCP", func(t *testing.T) {
		o := host.Options{IP: c.NewIP()}
		server := k.server.Start(t, o, "iperf3", "-s", "-1")
		server.WaitListen(t, 5201)
		t.Log(k.client.Run(t, host.Options{}, "iperf3", "-c", o.IP, "-t", "1"))
		server.Succeed(t)
	})
	wantLife(t, c)
}
