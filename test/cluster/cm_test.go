package cluster

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/freeflow-rdma/freeflow/test/host"
	"github.com/freeflow-rdma/freeflow/test/relay"
	"github.com/freeflow-rdma/freeflow/test/rows"
)

// cmSide begins scripts in containers of one of a cluster's hosts, a new one each.
type cmSide struct {
	h   *host.Host
	c   *host.Cluster
	ip  string // of what was begun last
	dir string
}

func cmSides(t *testing.T, c *host.Cluster, server, client int) (s, k *cmSide) {
	t.Helper()
	dir := filepath.Dir(host.Program(t, "verify"))
	for _, r := range rows.Ours() {
		host.Program(t, r.Name)
	}
	return &cmSide{h: c.Hosts[server], c: c, dir: dir}, &cmSide{h: c.Hosts[client], c: c, dir: dir}
}

func (s *cmSide) name() string { return "cm-" + strings.ReplaceAll(s.ip, ".", "-") }

func (s *cmSide) Address() (ip, ip6 string) { return s.ip, "" }

func (s *cmSide) Begin(t testing.TB, script string, limit time.Duration) rows.Process {
	t.Helper()
	s.ip = s.c.NewIP()
	o := host.Options{Name: s.name(), IP: s.ip, Time: limit}
	return s.h.Start(t, o, "sh", "-c", fmt.Sprintf("IP=%s; IP6=; DIR=%s\n%s", s.ip, s.dir, script))
}

func (s *cmSide) Listening(t testing.TB, port int) error {
	t.Helper()
	return rows.Listening(rows.Of(s.name(), s.h.Freeflow(t, "get", "cm-ids")), port)
}

// named picks rows.
func named(t *testing.T, all []rows.Row, names ...string) (some []rows.Row) {
	t.Helper()
	for _, name := range names {
		n := len(some)
		for _, r := range all {
			if r.Name == name {
				some = append(some, r)
			}
		}
		if len(some) == n {
			t.Fatalf("there is no row %q", name)
		}
	}
	return some
}

// TestCMBadWire has connections made, used and ended where messages of RDMA-CM are lost, reordered, sent twice and garbled: no program sees it.
func TestCMBadWire(t *testing.T) {
	defer took(t)()
	all := append(rows.RDMACM(), rows.Ours()...)
	// Programs of our own keep step by TCP, and by the clock: they are for wires that lose nothing.
	some := named(t, all, "rping -V -C 20 -S 1000", "ucmatose -c 10 -C 20 -S 4096", "ucmatose -c 200 -C 2", "cmtime -c 200",
		"rstream -S 65536 -C 50 -T v", "nobody listens: rping -c -C 1 -a $SERVER")
	host.Need(t, "rping", "ucmatose", "cmtime", "rstream")
	w := startWired(t)
	for _, x := range []struct {
		name string
		relay.Config
	}{
		{"loss", relay.Config{Loss: 0.1, Seed: 1}},
		{"all of it", relay.Config{Loss: 0.05, Reorder: 0.05, Duplicate: 0.05, Corrupt: 0.02, Seed: 1}},
	} {
		t.Run(x.name, func(t *testing.T) {
			w.bad(x.Config)
			t.Run("all", func(t *testing.T) {
				for _, r := range some {
					t.Run(r.Name, func(t *testing.T) {
						t.Parallel()
						defer took(t)()
						s, c := cmSides(t, w.Cluster, 0, 1)
						r.Limit = 3 * time.Minute
						rows.Between(t, s, c, r)
					})
				}
			})
		})
	}
	w.bad(relay.Config{})
	ab, ba := w.relay.Counts()
	t.Logf("the wire: %+v, %+v", ab, ba)
	wantLife(t, w.Cluster)
}

// TestCMNetworks looks for servers by addresses that mean somebody else, or nobody, in another network.
func TestCMNetworks(t *testing.T) {
	defer took(t)()
	host.Need(t, "rping")
	c := host.StartCluster(t, 2, host.Shape{})
	file := filepath.Join(t.TempDir(), "networks.yaml")
	if err := os.WriteFile(file, []byte(twoNetworks), 0o600); err != nil {
		t.Fatal(err)
	}
	c.Freeflow("apply", "-f", file)
	const ip = "10.99.0.1"
	ping := func(from in, want string) {
		t.Helper()
		r := from.start(t, "rping", "-c", "-V", "-C", "3", "-S", "100", "-a", ip)
		if code := r.Wait(t); (code == 0) != (want == "") || !strings.Contains(r.Output(), want) {
			t.Errorf("from %s in network %s: exit status %d, want %q:\n%s", from.host.Name, from.network, code, want, r.Output())
		}
		r.Kill()
	}
	one, two := c.Hosts[0], c.Hosts[1]
	in{one, "blue", ip}.start(t, "rping", "-s", "-P", "-V", "-S", "100", "-a", ip)
	one.Wait("the server listens", 15*time.Second, func() error { return rows.Listening(one.Freeflow(t, "get", "cm-ids"), 7174) })
	for _, h := range c.Hosts {
		ping(in{h, "blue", "10.99.0.2"}, "")
		ping(in{h, "red", "10.99.0.2"}, "RDMA_CM_EVENT_ADDR_ERROR, error -110")
	}
	in{two, "red", ip}.start(t, "sleep", "60")
	for _, h := range c.Hosts {
		ping(in{h, "blue", "10.99.0.2"}, "")
		ping(in{h, "red", "10.99.0.2"}, "RDMA_CM_EVENT_REJECTED, error 8")
	}
}
