package e2e

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/freeflow-rdma/freeflow/test/host"
	"github.com/freeflow-rdma/freeflow/test/rows"
)

// side begins scripts in containers of a host, a new one each.
type side struct {
	h    *host.Host
	next func() string // gives an address that no container has had
	dir  string
	ip   string // of what was begun last
}

func (s *side) name() string { return "cm-" + strings.ReplaceAll(s.ip, ".", "-") }

func (s *side) Address() (ip, ip6 string) { return s.ip, linkLocal(s.ip) }

// linkLocal is the IPv6 address of a container: its interface's MAC address follows from its IPv4 address.
func linkLocal(ip string) string {
	b := netip.MustParseAddr(ip).As4()
	return netip.AddrFrom16([16]byte{0xfe, 0x80, 9: 0xff, 10: b[0], 11: 0xff, 12: 0xfe, 13: b[1], 14: b[2], 15: b[3]}).String()
}

func (s *side) Begin(t testing.TB, script string, limit time.Duration) rows.Process {
	t.Helper()
	s.ip = s.next()
	o := host.Options{Name: s.name(), IP: s.ip, Time: limit}
	return s.h.Start(t, o, "sh", "-c", fmt.Sprintf("IP=%s; IP6=%s; DIR=%s\n%s", s.ip, linkLocal(s.ip), s.dir, script))
}

func (s *side) Listening(t testing.TB, port int) error {
	t.Helper()
	return rows.Listening(rows.Of(s.name(), s.h.Freeflow(t, "get", "cm-ids")), port)
}

// sides gives two sides on hosts of which the first is the server's; addresses come from next.
func sides(t *testing.T, server, client *host.Host, next func() string) (s, c *side) {
	t.Helper()
	dir := filepath.Dir(host.Program(t, "verify"))
	return &side{h: server, next: next, dir: dir}, &side{h: client, next: next, dir: dir}
}

// cmRows are all rows over RDMA-CM.
func cmRows(t *testing.T) []rows.Row {
	t.Helper()
	all := append(append(rows.RDMACM(), rows.Perftest()...), rows.Qperf()...)
	host.Need(t, rows.Programs(all)...)
	for _, r := range rows.Ours() {
		host.Program(t, r.Name)
	}
	return append(all, rows.Ours()...)
}

// runCM runs rows in parallel, as far as -parallel goes.
func runCM(t *testing.T, server, client *host.Host, next func() string) {
	t.Run("all", func(t *testing.T) {
		for _, r := range cmRows(t) {
			t.Run(r.Name, func(t *testing.T) {
				t.Parallel()
				defer slow(t, time.Now())
				s, c := sides(t, server, client, next)
				rows.Between(t, s, c, r)
			})
		}
	})
}

// TestCM runs programs over RDMA-CM between two containers of a host.
func TestCM(t *testing.T) {
	h := host.Start(t, "auto")
	runCM(t, h, h, h.NewIP)
	h.RouterAlive(t)
	h.Wait("nothing is left", 15*time.Second, h.Left)
}

// TestCMAcrossHosts runs them between containers of two hosts.
func TestCMAcrossHosts(t *testing.T) {
	c := host.StartCluster(t, 2, host.Shape{})
	runCM(t, c.Hosts[0], c.Hosts[1], c.NewIP)
	for _, h := range c.Hosts {
		h.RouterAlive(t)
		h.Wait("nothing is left", 15*time.Second, h.Left)
	}
}

// TestCMWithin runs some of them with both sides in one container, which meet at its address or at 127.0.0.1.
func TestCMWithin(t *testing.T) {
	h := host.Start(t, "auto")
	t.Run("all", func(t *testing.T) {
		for _, r := range cmRows(t) {
			if r.Dispensable || r.Stays || r.Ready != "" || r.TCP != 0 || strings.HasPrefix(r.Name, "cm") {
				continue
			}
			for _, at := range []string{"$IP", "127.0.0.1"} {
				if at != "$IP" && strings.Contains(r.Server, "$IP") {
					continue // the server listens at its own address only
				}
				t.Run(r.Name+" at "+strings.Trim(at, "$"), func(t *testing.T) {
					t.Parallel()
					oneContainer(t, h, r, at)
				})
			}
		}
	})
	h.RouterAlive(t)
}

// oneContainer runs both sides of a row in a container; the client begins once the server is seen to listen.
func oneContainer(t *testing.T, h *host.Host, r rows.Row, at string) {
	t.Helper()
	for range rows.Attempts {
		code, out := oneContainerOnce(t, h, r, at)
		if code == 0 {
			return
		}
		if !r.LostRace(out) {
			t.Fatalf("exit status %d\n%s", code, out)
		}
	}
	t.Errorf("%d times the program lost a race of its own", rows.Attempts)
}

func oneContainerOnce(t *testing.T, h *host.Host, r rows.Row, at string) (status int, out string) {
	t.Helper()
	s, _ := sides(t, h, h, h.NewIP)
	flag := filepath.Join(t.TempDir(), "go")
	script := fmt.Sprintf(`(%s) & server=$!
until [ -e %s ]; do sleep 0.02; done
SERVER=%s
(%s); client=$?
[ $client = %d ] || kill -KILL $server
wait $server; server=$?
echo "server: $server, client: $client"; [ $server = 0 ]`, r.Server, flag, at, r.Client, r.Status)
	p := s.Begin(t, script, time.Minute)
	host.Eventually(t, "the server listens", 20*time.Second, func() error { return s.Listening(t, r.CM) })
	if err := os.WriteFile(flag, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return p.Wait(t), p.Output()
}
