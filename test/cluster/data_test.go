package cluster

import (
	"fmt"
	"testing"

	"github.com/freeflow-rdma/freeflow/test/host"
)

// TestData looks at every byte of every kind of message that one host sends another, and at every error that takes two.
func TestData(t *testing.T) {
	defer took(t)()
	c := host.StartCluster(t, 2, host.Shape{})
	verify, far := host.Program(t, "verify"), host.Program(t, "far")
	t.Run("all", func(t *testing.T) {
		for _, x := range []struct {
			name    string
			program []string
			least   int
		}{
			{"rc", []string{verify, "rc"}, 18},
			{"uc", []string{verify, "uc"}, 13},
			{"ud", []string{verify, "ud"}, 7},
			{"errors", []string{far}, 14},
		} {
			t.Run(x.name, func(t *testing.T) {
				t.Parallel()
				defer took(t)()
				server, client := between(c, 0, 1).start(t, x.program...)
				t.Run("client", func(t *testing.T) { cases(t, client, x.least) })
				t.Run("server", func(t *testing.T) { cases(t, server, x.least) })
			})
		}
	})
	wantLife(t, c)
}

// TestErrors runs the errors that one program makes between two contexts of its own, in a container of a host that has others: those where a
// peer is not on this host have to come out the same.
func TestErrors(t *testing.T) {
	defer took(t)()
	c := host.StartCluster(t, 2, host.Shape{})
	cases(t, c.Hosts[1].Start(t, host.Options{IP: c.NewIP()}, host.Program(t, "errors")), 30)
	wantLife(t, c)
}

// TestAllPairs runs programs between each two of three hosts at the same time, both ways.
func TestAllPairs(t *testing.T) {
	defer took(t)()
	rows := [][]string{
		{"ib_send_bw", "-F", "-n", "1000"},
		{"ib_write_bw", "-F", "-n", "1000", "-q", "4"},
		{"ibv_rc_pingpong", "-g", "1", "-n", "1000", "-c"},
	}
	for _, r := range rows {
		host.Need(t, r[0])
	}
	c := host.StartCluster(t, 3, host.Shape{})
	type running struct {
		name           string
		server, client *host.Running
	}
	var all []running
	for server := range c.Hosts {
		for client := range c.Hosts {
			if server == client {
				continue
			}
			k := between(c, server, client)
			name := fmt.Sprintf("host %d to host %d: ", client+1, server+1)
			for _, service := range []string{"rc", "uc", "ud"} {
				s, cl := k.start(t, host.Program(t, "verify"), service)
				all = append(all, running{name + "verify " + service, s, cl})
			}
			k.meet = port
			for _, r := range rows {
				s, cl := k.start(t, r...)
				all = append(all, running{name + r[0], s, cl})
			}
		}
	}
	for _, r := range all {
		t.Run(r.name, func(t *testing.T) {
			r.client.Succeed(t)
			r.server.Succeed(t)
		})
	}
	wantLife(t, c)
}
