package host

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/freeflow-rdma/freeflow/internal/admin"
	"github.com/freeflow-rdma/freeflow/internal/container"
	"github.com/freeflow-rdma/freeflow/internal/vnet"
)

// Host is a router and its network namespace. It may be shared by parallel subtests.
type Host struct {
	RunDir string
	Name   string     // in its cluster
	IP     netip.Addr // on the underlay, of a cluster's host

	t      testing.TB
	bin    string
	args   []string // of freeflow, to start the router
	ns     *vnet.Namespace
	router *exec.Cmd
	ended  chan struct{} // closed when the router has ended
	status error         // of its end
	log    output
	lastIP atomic.Uint32
}

// Start starts a router in a mode (auto, fast, low) and waits until it serves. It ends with the test.
func Start(t testing.TB, mode string) *Host {
	t.Helper()
	h := newHost(t)
	h.args = []string{"up", "--run-dir", h.RunDir, "--data-dir", filepath.Join(h.RunDir, "data"), "--mode", mode}
	h.StartRouter()
	return h
}

// newHost makes a host without a router. It ends with the test.
func newHost(t testing.TB) *Host {
	t.Helper()
	needRoot(t)
	Need(t, "ip")
	bin, err := freeflow()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := scratch()
	if err != nil {
		t.Fatal(err)
	}
	h := &Host{t: t, bin: bin}
	if h.RunDir, err = os.MkdirTemp(dir, "run"); err != nil {
		t.Fatal(err)
	}
	if h.ns, err = vnet.NewNamespace(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		h.KillRouter()
		h.ns.Close()
		os.RemoveAll(h.RunDir)
		if t.Failed() {
			t.Log("router:\n" + h.log.tail())
		}
	})
	return h
}

// StartRouter starts a router where the last one has ended.
func (h *Host) StartRouter() {
	h.t.Helper()
	h.router = exec.Command(h.bin, h.args...)
	h.router.Stdout, h.router.Stderr = &h.log, &h.log
	if err := spawn(h.router, h.ns); err != nil {
		h.t.Fatalf("start router: %v", err)
	}
	cmd, ended := h.router, make(chan struct{})
	h.ended = ended
	go func() {
		h.status = cmd.Wait()
		close(ended)
	}()
	h.Wait("the router answers", 15*time.Second, func() error {
		s, err := h.Client().Status(context.Background())
		if err == nil && s.PID != cmd.Process.Pid {
			err = fmt.Errorf("process %d answers", s.PID)
		}
		return err
	})
}

// RouterPID is the router's process.
func (h *Host) RouterPID() int { return h.router.Process.Pid }

// RouterAlive fails the test if the router has ended by itself.
func (h *Host) RouterAlive(t testing.TB) {
	t.Helper()
	select {
	case <-h.ended:
		t.Fatalf("the router has ended: %v\n%s", h.status, h.log.tail())
	default:
	}
}

// RouterLog is the end of what the router has logged.
func (h *Host) RouterLog() string { return h.log.tail() }

// KillRouter kills the router with SIGKILL.
func (h *Host) KillRouter() {
	if h.router != nil && h.router.Process != nil {
		h.router.Process.Kill()
		<-h.ended
	}
}

// StopRouter asks the router to end and waits until it has.
func (h *Host) StopRouter(t testing.TB) {
	t.Helper()
	h.router.Process.Signal(syscall.SIGTERM)
	select {
	case <-h.ended:
		if h.status != nil {
			t.Errorf("the router's end: %v", h.status)
		}
	case <-time.After(15 * time.Second):
		h.router.Process.Signal(syscall.SIGQUIT)
		time.Sleep(time.Second)
		h.KillRouter()
		t.Fatalf("the router does not end\n%s", h.log.tail())
	}
}

// Freeflow runs a command of freeflow's with this host's run directory and gives what it printed.
func (h *Host) Freeflow(t testing.TB, args ...string) string {
	t.Helper()
	out, err := exec.Command(h.bin, append(args, "--run-dir", h.RunDir)...).CombinedOutput()
	if err != nil {
		t.Fatalf("freeflow %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// Do runs f on a thread in the host's network namespace.
func (h *Host) Do(f func() error) error { return h.ns.Do(f) }

// Client talks to the router as `freeflow get` does.
func (h *Host) Client() *admin.Client { return admin.NewClient(h.RunDir) }

// GivenUp is how long something may be left of a container that ended while its router was dead: the next one keeps its address for it.
const GivenUp = container.ReturnTime + 15*time.Second

// NewIP gives an address that no container of this host has had.
func (h *Host) NewIP() string {
	n := h.lastIP.Add(1)
	return netip.AddrFrom4([4]byte{10, 77, byte(1 + n/250), byte(1 + n%250)}).String()
}

// Wait repeats a check until it passes.
func (h *Host) Wait(what string, limit time.Duration, check func() error) {
	h.t.Helper()
	Eventually(h.t, what, limit, check)
}

// Eventually repeats a check until it passes.
func Eventually(t testing.TB, what string, limit time.Duration, check func() error) {
	t.Helper()
	var err error
	for deadline := time.Now().Add(limit); ; time.Sleep(10 * time.Millisecond) {
		if err = check(); err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("waited %s for: %s: %v", limit, what, err)
		}
	}
}

// Left lists what there is of containers: rows of the router, veths, directories.
func (h *Host) Left() error {
	rows, err := h.Client().Containers(context.Background())
	if err != nil {
		return err
	}
	var links []string
	err = h.ns.Do(func() error {
		out, err := exec.Command("ip", "-br", "link").Output()
		for line := range strings.Lines(string(out)) {
			if strings.HasPrefix(line, "fv") {
				links = append(links, strings.TrimSpace(line))
			}
		}
		return err
	})
	if err != nil {
		return err
	}
	dirs, err := filepath.Glob(filepath.Join(h.RunDir, "containers", "*"))
	if err != nil {
		return err
	}
	if len(rows)+len(links)+len(dirs) > 0 {
		return fmt.Errorf("left: %d containers, links %v, directories %v", len(rows), links, dirs)
	}
	return nil
}
