package host

import (
	"context"
	"fmt"
	"net/netip"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/freeflow-rdma/freeflow/internal/vnet"
)

// Cluster is hosts on one underlay with an orchestrator, or several, between them. Each router is in a network namespace of its own; the
// orchestrators are in the underlay's.
type Cluster struct {
	Under         *Underlay
	Hosts         []*Host
	Orchestrators []*Orchestrator
	Etcd          *Etcd // nil: the orchestrator has its own

	t      testing.TB
	bin    string
	shape  Shape
	lastIP atomic.Uint32
}

// Shape says what a cluster is like; the zero value has an underlay with MTU 9000, engine mode auto, and one orchestrator with its own etcd.
type Shape struct {
	MTU          int
	Mode         string
	Router       []string // further flags of the routers
	Orchestrator []string // and of the orchestrators
	Members      int      // of an etcd cluster outside of the orchestrators, of which there are as many

	// Wire, if set, joins the hosts' namespaces by another network besides the underlay, and gives their addresses there, which become the routers'
	// --host-ip. The underlay is left to the orchestrator.
	Wire func(hosts []*vnet.Namespace) []netip.Addr
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
	c := &Cluster{Under: NewUnderlay(t, s.MTU), t: t, bin: bin, shape: s}
	flags := s.Orchestrator
	if s.Members > 0 {
		c.Etcd = StartEtcd(t, c.Under.NS, s.Members)
		flags = append([]string{"--etcd-endpoints", c.Etcd.Endpoints()}, flags...)
	}
	for i := range max(1, s.Members) {
		c.Under.addOrchestrator(i)
		o := c.newOrchestrator(i, flags)
		o.Start()
		c.Orchestrators = append(c.Orchestrators, o)
	}
	hosts, addrs := c.join(n)
	for i, h := range hosts {
		c.setUp(h, fmt.Sprintf("host%d", i+1), addrs[i])
		h.StartRouter()
		c.Hosts = append(c.Hosts, h)
	}
	c.Known(n)
	return c
}

// join makes n hosts without routers and gives them their addresses.
func (c *Cluster) join(n int) (hosts []*Host, addrs []netip.Addr) {
	var spaces []*vnet.Namespace
	for range n {
		h := newHost(c.t)
		hosts, spaces, addrs = append(hosts, h), append(spaces, h.ns), append(addrs, c.Under.Join(h.ns))
	}
	if c.shape.Wire != nil {
		addrs = c.shape.Wire(spaces)
	}
	return hosts, addrs
}

// AddHost makes one more host, on the underlay, whose router is not started. Its address is what the router will say.
func (c *Cluster) AddHost(name string) *Host {
	c.t.Helper()
	h := newHost(c.t)
	c.setUp(h, name, c.Under.Join(h.ns))
	return h
}

// setUp says how a host's router is started.
func (c *Cluster) setUp(h *Host, name string, ip netip.Addr) {
	h.IP, h.Name = ip, name
	h.args = append([]string{"router", "--orchestrator", c.urls(), "--join-token", c.Token(), "--host-ip", ip.String(), "--host-name", name,
		"--run-dir", h.RunDir, "--data-dir", h.DataDir()}, c.shape.Router...)
	if c.shape.Mode != "" {
		h.args = append(h.args, "--mode", c.shape.Mode)
	}
}

// DataDir is what a host keeps when its router ends.
func (h *Host) DataDir() string { return filepath.Join(h.RunDir, "data") }

func (c *Cluster) urls() string {
	var urls []string
	for _, o := range c.Orchestrators {
		urls = append(urls, o.URL())
	}
	return strings.Join(urls, ",")
}

// StartOrchestrator starts the first orchestrator where it has ended.
func (c *Cluster) StartOrchestrator() {
	c.t.Helper()
	c.Orchestrators[0].Start()
}

// KillOrchestrator kills the first orchestrator with SIGKILL.
func (c *Cluster) KillOrchestrator() { c.Orchestrators[0].Kill() }

// Token makes a join token.
func (c *Cluster) Token() string {
	c.t.Helper()
	return strings.TrimSpace(c.Freeflow("token", "create"))
}

// Freeflow runs a command of the operator's on the data directory of an orchestrator that is alive and gives what it printed.
func (c *Cluster) Freeflow(args ...string) string {
	c.t.Helper()
	for _, o := range c.Orchestrators {
		if o.alive() {
			return o.Freeflow(c.t, args...)
		}
	}
	c.t.Fatal("no orchestrator is alive")
	return ""
}

// NewIP gives an address of the default network that no container has had.
func (c *Cluster) NewIP() string {
	n := c.lastIP.Add(1)
	return netip.AddrFrom4([4]byte{10, 77, byte(100 + n/250), byte(1 + n%250)}).String()
}

// Known waits until every router knows n hosts.
func (c *Cluster) Known(n int) {
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

// RouterFails runs the router of a host that has none, with further flags, which count more than the host's own. It must end by itself, not well;
// what it said is returned.
func (h *Host) RouterFails(t testing.TB, flags ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 45*time.Second)
	defer cancel()
	var log output
	cmd := exec.CommandContext(ctx, h.bin, append(slices.Clone(h.args), flags...)...)
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := spawn(cmd, h.ns); err != nil {
		t.Fatalf("start router: %v", err)
	}
	if err := cmd.Wait(); err == nil || ctx.Err() != nil {
		t.Errorf("the router with %q: %v, %v\n%s", flags, err, ctx.Err(), log.tail())
	}
	return log.String()
}
