package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Cluster is hosts on one underlay with an orchestrator between them. Each router is in a network namespace of its own; the orchestrator is
// in the underlay's.
type Cluster struct {
	Under *Underlay
	Hosts []*Host

	t     testing.TB
	bin   string
	data  string
	orch  *exec.Cmd
	ended chan struct{}
	log   output
}

// Shape says what a cluster is like; the zero value has an underlay with MTU 9000 and engine mode auto.
type Shape struct {
	MTU    int
	Mode   string
	Router []string // further flags of the routers
}

// StartCluster starts an orchestrator and n hosts. All ends with the test.
func StartCluster(t testing.TB, n int, s Shape) *Cluster {
	t.Helper()
	needRoot(t)
	if s.MTU == 0 {
		s.MTU = 9000
	}
	bin, err := freeflow()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := scratch()
	if err != nil {
		t.Fatal(err)
	}
	c := &Cluster{Under: NewUnderlay(t, s.MTU), t: t, bin: bin}
	if c.data, err = os.MkdirTemp(dir, "orchestrator"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.KillOrchestrator()
		os.RemoveAll(c.data)
		if t.Failed() {
			t.Log("orchestrator:\n" + c.log.tail())
		}
	})
	c.StartOrchestrator()
	for i := range n {
		h := newHost(t)
		ip := c.Under.Join(h.ns)
		h.args = append([]string{"router", "--orchestrator", c.URL(), "--join-token", c.Token(), "--host-ip", ip.String(), "--host-name", fmt.Sprintf("host%d", i+1),
			"--run-dir", h.RunDir, "--data-dir", filepath.Join(h.RunDir, "data")}, s.Router...)
		if s.Mode != "" {
			h.args = append(h.args, "--mode", s.Mode)
		}
		h.StartRouter()
		c.Hosts = append(c.Hosts, h)
	}
	c.known(n)
	return c
}

// URL is where routers find the orchestrator.
func (c *Cluster) URL() string { return fmt.Sprintf("https://%s:7470", OrchestratorIP) }

// StartOrchestrator starts one where the last has ended.
func (c *Cluster) StartOrchestrator() {
	c.t.Helper()
	c.orch = exec.Command(c.bin, "orchestrator", "--data-dir", c.data, "--listen", OrchestratorIP.String()+":7470")
	c.orch.Stdout, c.orch.Stderr = &c.log, &c.log
	if err := spawn(c.orch, c.Under.NS); err != nil {
		c.t.Fatalf("start orchestrator: %v", err)
	}
	cmd, ended := c.orch, make(chan struct{})
	c.ended = ended
	go func() {
		_ = cmd.Wait()
		close(ended)
	}()
	Eventually(c.t, "the orchestrator answers", 20*time.Second, func() error {
		_, err := os.Stat(filepath.Join(c.data, "orchestrator.sock"))
		return err
	})
}

// KillOrchestrator kills it with SIGKILL.
func (c *Cluster) KillOrchestrator() {
	if c.orch != nil && c.orch.Process != nil {
		c.orch.Process.Kill()
		<-c.ended
	}
}

// Token makes a join token.
func (c *Cluster) Token() string {
	c.t.Helper()
	return strings.TrimSpace(c.Freeflow("token", "create"))
}

// Freeflow runs a command of the operator's on the orchestrator's data directory and gives what it printed.
func (c *Cluster) Freeflow(args ...string) string {
	c.t.Helper()
	var out []byte
	Eventually(c.t, "freeflow "+strings.Join(args, " "), 10*time.Second, func() (err error) {
		cmd := exec.Command(c.bin, append(args, "--data-dir", c.data)...)
		if out, err = cmd.Output(); err != nil {
			var exit *exec.ExitError
			if errors.As(err, &exit) {
				err = fmt.Errorf("%w: %s", err, exit.Stderr)
			}
		}
		return err
	})
	return string(out)
}

// known waits until every router knows n hosts.
func (c *Cluster) known(n int) {
	c.t.Helper()
	for _, h := range c.Hosts {
		h.Wait("the router knows all hosts", 15*time.Second, func() error {
			rows, err := h.Client().Hosts(context.Background())
			if err == nil && len(rows) != n {
				err = fmt.Errorf("%d hosts of %d", len(rows), n)
			}
			return err
		})
	}
}
