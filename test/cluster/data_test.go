package cluster

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

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

// TestAllPairs runs each program between each two of three hosts at the same time, both ways.
func TestAllPairs(t *testing.T) {
	defer took(t)()
	verify := host.Program(t, "verify")
	rows := []struct {
		meet int
		args []string
	}{
		{meeting, []string{verify, "rc"}},
		{meeting, []string{verify, "uc"}},
		{meeting, []string{verify, "ud"}},
		{port, []string{"ib_send_bw", "-F", "-n", "1000"}},
		{port, []string{"ib_write_bw", "-F", "-n", "1000", "-q", "4"}},
		{port, []string{"ibv_rc_pingpong", "-g", "1", "-n", "1000", "-c"}},
	}
	for _, r := range rows[3:] {
		host.Need(t, r.args[0])
	}
	c := host.StartCluster(t, 3, host.Shape{})
	for _, r := range rows {
		t.Run(filepath.Base(r.args[0])+" "+r.args[1], func(t *testing.T) {
			defer took(t)()
			allPairs(t, c, r.meet, r.args)
		})
	}
	wantLife(t, c)
}

func allPairs(t *testing.T, c *host.Cluster, meet int, args []string) {
	t.Helper()
	type running struct {
		name           string
		server, client *host.Running
	}
	var all []running
	for server := range c.Hosts {
		for client := range c.Hosts {
			if server != client {
				k := between(c, server, client)
				k.meet, k.limit = meet, 2*time.Minute
				s, cl := k.start(t, args...)
				all = append(all, running{fmt.Sprintf("host %d to host %d", client+1, server+1), s, cl})
			}
		}
	}
	for _, r := range all {
		client, server := r.client.Wait(t), r.server.Wait(t)
		if client != 0 || server != 0 {
			t.Errorf("%s: client: exit status %d\n%s\nserver: exit status %d\n%s", r.name, client, r.client.Output(), server, r.server.Output())
		}
	}
}
