package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/freeflow-rdma/freeflow/test/host"
	"github.com/freeflow-rdma/freeflow/test/rows"
)

// written makes a file of a policy.
func written(t *testing.T, kind, name, spec string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "policy.yaml")
	text := fmt.Sprintf("apiVersion: freeflow/v1\nkind: %s\nmetadata:\n  name: %s\nspec:\n%s", kind, name, spec)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

const apart = "  rules:\n    - action: deny\n      from: {container: a}\n      to: {container: b}\n"

// ruled is two hosts, or one twice, and how their operator commands them.
type ruled struct {
	a, b  *host.Host
	order func(args ...string) string
}

// TestAccess: traffic that is forbidden while it flows ends with an error, nothing passes afterwards by any way, and when it is allowed
// again a new connection works.
func TestAccess(t *testing.T) {
	t.Run("one host", func(t *testing.T) {
		h := host.Start(t, "auto")
		access(t, ruled{h, h, func(args ...string) string { return h.Freeflow(t, args...) }})
	})
	t.Run("two hosts", func(t *testing.T) {
		c := host.StartCluster(t, 2, host.Shape{})
		access(t, ruled{c.Hosts[0], c.Hosts[1], c.Freeflow})
	})
}

func access(t *testing.T, p ruled) {
	file := written(t, "AccessPolicy", "apart", apart)
	start := func(h *host.Host, name string, args ...string) *host.Running {
		gone(t, h, name)
		return h.Start(t, host.Options{Name: name}, args...)
	}
	both := func(server, client []string) (s, c *host.Running) {
		s = start(p.b, "b", server...)
		ip := addressOf(t, p, "b")
		if strings.HasPrefix(client[0], "ib") {
			s.WaitListen(t, 18515)
		} else {
			host.Eventually(t, server[0]+" listens", 15*time.Second, func() error {
				return rows.Listening(rows.Of("b", p.b.Freeflow(t, "get", "cm-ids")), 7174)
			})
		}
		return s, start(p.a, "a", append(client, ip)...)
	}
	s, c := both([]string{"ib_write_bw", "-F", "-D", "20"}, []string{"ib_write_bw", "-F", "-D", "20"})
	moved(t, p, 1)
	p.order("apply", "-f", file)
	// RETRY_EXC, or, where nothing was posted at that moment, a flush of what was posted next.
	if code := c.Wait(t); code == 0 || !strings.Contains(c.Output(), "status 12") && !strings.Contains(c.Output(), "status 5") {
		t.Fatalf("a flow that was forbidden: exit status %d\n%s", code, c.Output())
	}
	s.Kill()
	for _, x := range [][2][]string{
		{{"ib_send_lat", "-F"}, {"ib_send_lat", "-F"}},
		{{"rping", "-s"}, {"rping", "-c", "-C", "3", "-a"}},
		{{"udaddy"}, {"udaddy", "-s"}},
	} {
		s, c := both(x[0], x[1])
		if code := c.Wait(t); code == 0 {
			t.Errorf("%v where it is forbidden:\n%s", x[1], c.Output())
		}
		s.Kill()
	}
	s, c = both([]string{"ibv_ud_pingpong", "-g", "1"}, []string{"ibv_ud_pingpong", "-g", "1"})
	moved(t, p, 0)
	s.Kill()
	c.Kill()
	p.order("delete", "accesspolicy", "apart")
	for _, x := range [][2][]string{{{"rping", "-s"}, {"rping", "-c", "-C", "3", "-a"}}, {{"ib_write_bw", "-F"}, {"ib_write_bw", "-F"}}} {
		s, c := both(x[0], x[1])
		c.Succeed(t)
		s.Kill()
	}
}

// gone waits until no container has a name, so that another can have it.
func gone(t *testing.T, h *host.Host, name string) {
	t.Helper()
	host.Eventually(t, "the last "+name+" is gone", 15*time.Second, func() error {
		if slices.Contains(column(h.Freeflow(t, "get", "containers")), name) {
			return fmt.Errorf("it is there")
		}
		return nil
	})
}

// addressOf waits until a container is there and gives its address.
func addressOf(t *testing.T, p ruled, name string) (ip string) {
	t.Helper()
	host.Eventually(t, name+" is known", 15*time.Second, func() error {
		for line := range strings.Lines(p.a.Freeflow(t, "get", "containers")) {
			if f := strings.Fields(line); f[0] == name {
				ip = f[3]
				return nil
			}
		}
		return fmt.Errorf("it is not")
	})
	return ip
}

// moved waits until container b has received data, or, if none are wanted, until its datagrams have been refused.
func moved(t *testing.T, p ruled, want uint64) {
	t.Helper()
	host.Eventually(t, "data flow, or are refused", 15*time.Second, func() error {
		list, err := p.b.Client().QPs(t.Context())
		if err != nil {
			return err
		}
		for _, r := range list {
			if r.Container != "b" {
				continue
			}
			if r.RxBytes > 0 && want == 0 {
				t.Fatalf("datagrams pass where they are forbidden: %+v", r)
			}
			if r.RxBytes >= want && (want > 0 || r.State == "RTS" && refused.MatchString(p.order("get", "usage"))) {
				return nil
			}
		}
		return fmt.Errorf("queue pairs %+v", list)
	})
}

// refused finds, in a table of usage, a container that was refused something.
var refused = regexp.MustCompile(`(?m)^[ab] .* [1-9]\d*$`)

var average = regexp.MustCompile(`(?m)^ *65536 +\d+ +[\d.]+ +([\d.]+)`)

// TestRateLimit: no more than the cap passes, which changes while data flow, and the time that was waited for it is metered. A busy machine may
// pass less.
func TestRateLimit(t *testing.T) {
	h := host.Start(t, "auto")
	set := func(rate string) {
		h.Freeflow(t, "apply", "-f", written(t, "RateLimit", "cap", "  select: {container: capped}\n  rate: "+rate+"\n"))
	}
	measure := func(server, client string, n int) float64 {
		gone(t, h, server)
		gone(t, h, client)
		ip := h.NewIP()
		s := h.Start(t, host.Options{Name: server, IP: ip}, "ib_write_bw", "-F", "-n", strconv.Itoa(n), "--report_gbits")
		s.WaitListen(t, 18515)
		out := h.Run(t, host.Options{Name: client}, "ib_write_bw", "-F", "-n", strconv.Itoa(n), "--report_gbits", ip)
		s.Succeed(t)
		m := average.FindStringSubmatch(out)
		if m == nil {
			t.Fatalf("no figure in\n%s", out)
		}
		v, err := strconv.ParseFloat(m[1], 64)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for rate, want := range map[string]float64{"500Mbit": 0.5, "2Gbit": 2} {
		set(rate)
		n := int(want * 2e9 / 8 / 65536) // two seconds
		if got := measure("free", "capped", n); got > want*1.05 {
			t.Errorf("sending at %s: %.2f Gbit/s", rate, got)
		}
		if got := measure("capped", "free", n); got > want*1.05 {
			t.Errorf("receiving at %s: %.2f Gbit/s", rate, got)
		}
	}
	host.Eventually(t, "the wait is metered", 20*time.Second, func() error {
		out := h.Freeflow(t, "get", "usage")
		if !regexp.MustCompile(`(?m)^capped .*\d\.\d+s`).MatchString(out) {
			return fmt.Errorf("usage:\n%s", out)
		}
		return nil
	})
}

// TestQuota: what is over quota is not made, others go on, and it is counted.
func TestQuota(t *testing.T) {
	h := host.Start(t, "auto")
	h.Freeflow(t, "apply", "-f", written(t, "Quota", "few", "  select: {container: poor}\n  limits: {qps: 4}\n"))
	s := h.Start(t, host.Options{Name: "poor"}, "ib_write_bw", "-F", "-q", "5")
	c := h.Start(t, host.Options{Name: "rich"}, "sh", "-c", "sleep 1; exec ib_write_bw -F -q 5 "+addressOf(t, ruled{a: h}, "poor"))
	if code := s.Wait(t); code == 0 || !strings.Contains(s.Output(), "Cannot allocate memory") && !strings.Contains(s.Output(), "Unable to create QP") {
		t.Errorf("five queue pairs where four are allowed: exit status %d\n%s", code, s.Output())
	}
	c.Kill()
	host.Eventually(t, "it is counted", 20*time.Second, func() error {
		out := h.Freeflow(t, "get", "usage")
		if !regexp.MustCompile(`(?m)^poor .*qps 1`).MatchString(out) {
			return fmt.Errorf("usage:\n%s", out)
		}
		return nil
	})
	gone(t, h, "poor")
	gone(t, h, "rich")
	s = h.Start(t, host.Options{Name: "poor"}, "ib_write_bw", "-F", "-q", "4")
	ip := addressOf(t, ruled{a: h}, "poor")
	s.WaitListen(t, 18515)
	h.Run(t, host.Options{Name: "rich"}, "ib_write_bw", "-F", "-q", "4", ip)
	s.Succeed(t)
}
