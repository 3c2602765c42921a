package bench

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// hostCount is how many hosts a cluster of the benchmarks has.
const hostCount = 2

// Cluster is two hosts on one machine, each a network namespace with a router, joined by an underlay with an orchestrator.
type Cluster struct {
	Hosts [hostCount]*World
	MTU   int // of the underlay

	under  *underlay
	binary string
	dir    string // of the orchestrator
	orch   *exec.Cmd
	closed []func()
}

// NewCluster starts an orchestrator and the routers.
func NewCluster(ctx context.Context, mtu int) (c *Cluster, err error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("bench: run this as root: network namespaces need it")
	}
	c = &Cluster{MTU: mtu}
	defer func() {
		if err != nil {
			c.Close()
		}
	}()
	if c.binary, err = os.Executable(); err != nil {
		return nil, fmt.Errorf("find the freeflow binary: %w", err)
	}
	if c.dir, err = os.MkdirTemp("", "freeflow-bench-"); err != nil {
		return nil, fmt.Errorf("make a directory: %w", err)
	}
	c.onClose(func() { _ = os.RemoveAll(c.dir) })
	if c.under, err = newUnderlay(hostCount, mtu); err != nil {
		return nil, err
	}
	c.onClose(c.under.close)
	token, err := c.startOrchestrator(ctx)
	if err != nil {
		return nil, err
	}
	for i := range c.Hosts {
		if err := c.startHost(ctx, i, token); err != nil {
			return nil, err
		}
	}
	return c, c.acquainted(ctx)
}

// startOrchestrator starts it and gives a token for the routers.
func (c *Cluster) startOrchestrator(ctx context.Context) (token string, err error) {
	log, err := os.Create(filepath.Join(c.dir, "orchestrator.log"))
	if err != nil {
		return "", fmt.Errorf("make the orchestrator's log: %w", err)
	}
	defer log.Close()
	c.orch = exec.Command(c.binary, "orchestrator", "--data-dir", c.dir, "--listen", c.address())
	c.orch.Stdout, c.orch.Stderr, c.orch.SysProcAttr = log, log, apart()
	if err := startIn(c.under.ns, c.orch); err != nil {
		return "", fmt.Errorf("start the orchestrator: %w", err)
	}
	ended := make(chan struct{})
	go func() {
		_ = c.orch.Wait()
		close(ended)
	}()
	c.onClose(func() { stop(c.orch, ended) })
	err = poll(ctx, func() (bool, error) {
		select {
		case <-ended:
			text, _ := os.ReadFile(log.Name())
			return false, fmt.Errorf("the orchestrator ended: %s", text)
		default:
		}
		text, err := exec.Command(c.binary, "token", "create", "--data-dir", c.dir).Output()
		token = strings.TrimSpace(string(text))
		return err == nil, nil
	})
	return token, err
}

func (c *Cluster) address() string { return netip.AddrPortFrom(orchestratorIP, 7470).String() }

// startHost starts the router of host i, from 0 on.
func (c *Cluster) startHost(ctx context.Context, i int, token string) error {
	w, err := newWorld("auto")
	if err != nil {
		return err
	}
	w.ns, w.HostIP, w.first = c.under.hosts[i], underlayIP(i+1), i<<8
	c.Hosts[i] = w
	c.onClose(w.Close)
	return w.startRouter(ctx, "router", "--orchestrator", "https://"+c.address(), "--join-token", token,
		"--host-ip", w.HostIP.String(), "--host-name", fmt.Sprintf("host%d", i+1))
}

// acquainted waits until every router knows all hosts.
func (c *Cluster) acquainted(ctx context.Context) error {
	for _, w := range c.Hosts {
		err := poll(ctx, func() (bool, error) {
			rows, err := w.client().Hosts(ctx)
			return err == nil && len(rows) == hostCount, nil
		})
		if err != nil {
			return fmt.Errorf("wait for the routers to know each other: %w", err)
		}
	}
	return nil
}

// servicePIDs are the processes that FreeFlow itself consists of.
func (c *Cluster) servicePIDs() []int {
	list := []int{c.orch.Process.Pid}
	for _, w := range c.Hosts {
		list = append(list, w.RouterPID())
	}
	return list
}

func (c *Cluster) onClose(f func()) { c.closed = append(c.closed, f) }

// Close ends the containers, the routers and the orchestrator, and removes what they left.
func (c *Cluster) Close() {
	for i := len(c.closed) - 1; i >= 0; i-- {
		c.closed[i]()
	}
	c.closed = nil
}

// Distant is a server on one host and a client on another: containers, and the hosts themselves. TCP's servers run in both.
type Distant struct {
	Cluster                *Cluster
	Server, Client         *Container
	ServerHost, ClientHost *Container
}

// NewDistant starts a container on each host.
func NewDistant(ctx context.Context, c *Cluster) (*Distant, error) {
	d := &Distant{Cluster: c}
	for i, into := range []struct{ container, host **Container }{{&d.Server, &d.ServerHost}, {&d.Client, &d.ClientHost}} {
		var err error
		if *into.container, err = c.Hosts[i].Container(ctx); err != nil {
			return nil, err
		}
		if *into.host, err = c.Hosts[i].Shell(ctx); err != nil {
			return nil, err
		}
	}
	if err := ServeTCP(ctx, d.Server); err != nil {
		return nil, err
	}
	return d, ServeTCP(ctx, d.ServerHost)
}

// distantRounds measures Runs times between two hosts of one cluster.
func (o Options) distantRounds(ctx context.Context, name string, mtu int, round func(*Distant) error) error {
	c, err := NewCluster(ctx, mtu)
	if err != nil {
		return err
	}
	defer c.Close()
	d, err := NewDistant(ctx, c)
	if err != nil {
		return err
	}
	for i := range o.Runs {
		fmt.Fprintf(o.Notes, "%s, two hosts, MTU %d: round %d of %d\n", name, mtu, i+1, o.Runs)
		if err := round(d); err != nil {
			return err
		}
	}
	return nil
}
