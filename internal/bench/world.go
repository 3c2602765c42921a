package bench

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/freeflow-rdma/freeflow/internal/admin"
	"github.com/freeflow-rdma/freeflow/internal/vnet"
)

// readyTime bounds the wait for a router, a container or a server to be there.
const readyTime = 15 * time.Second

// World is a router with a run directory of its own, and containers.
type World struct {
	Mode   string     // the router's engine mode
	Tools  string     // directory of ffpairs and ffregister
	HostIP netip.Addr // of one of a cluster's hosts
	ns     *vnet.Namespace
	dir    string
	binary string
	router *exec.Cmd
	closed []func()
	first  int // number of the first container
	made   int // containers
}

// NewWorld starts a router.
func NewWorld(ctx context.Context, mode string) (*World, error) {
	w, err := newWorld(mode)
	if err != nil {
		return nil, err
	}
	if err := w.startRouter(ctx, "up"); err != nil {
		w.Close()
		return nil, err
	}
	return w, nil
}

// newWorld is one without a router.
func newWorld(mode string) (w *World, err error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("bench: run this as root: containers need it")
	}
	w = &World{Mode: mode}
	if w.binary, err = os.Executable(); err != nil {
		return nil, fmt.Errorf("find the freeflow binary: %w", err)
	}
	w.Tools = filepath.Dir(w.binary)
	if w.dir, err = os.MkdirTemp("", "freeflow-bench-"); err != nil {
		return nil, fmt.Errorf("make a directory: %w", err)
	}
	w.onClose(func() { _ = os.RemoveAll(w.dir) })
	return w, nil
}

// startRouter starts the command of freeflow that serves containers.
func (w *World) startRouter(ctx context.Context, command ...string) error {
	log, err := os.Create(w.path("router.log"))
	if err != nil {
		return fmt.Errorf("make the router's log: %w", err)
	}
	defer log.Close()
	w.router = exec.Command(w.binary, append(command, "--run-dir", w.path("run"), "--data-dir", w.path("data"), "--mode", w.Mode)...)
	w.router.Stdout, w.router.Stderr = log, log
	w.router.SysProcAttr = apart()
	if err := startIn(w.ns, w.router); err != nil {
		return fmt.Errorf("start the router: %w", err)
	}
	ended := make(chan struct{})
	go func() {
		_ = w.router.Wait()
		close(ended)
	}()
	w.onClose(func() { stop(w.router, ended) })
	return poll(ctx, func() (bool, error) {
		select {
		case <-ended:
			text, _ := os.ReadFile(log.Name())
			return false, fmt.Errorf("the router ended: %s", text)
		default:
		}
		_, err := w.client().Status(ctx)
		return err == nil, nil
	})
}

func (w *World) client() *admin.Client { return admin.NewClient(w.path("run")) }

// RouterPID is the router's process.
func (w *World) RouterPID() int { return w.router.Process.Pid }

// Pair starts two containers: server and client.
func (w *World) Pair(ctx context.Context) (server, client *Container, err error) {
	if server, err = w.Container(ctx); err != nil {
		return nil, nil, err
	}
	client, err = w.Container(ctx)
	return server, client, err
}

func (w *World) nextIP() netip.Addr {
	w.made++
	n := w.number()
	return netip.AddrFrom4([4]byte{10, 77, byte(n >> 8), byte(n)}).Next()
}

// number is the last container's, among those of all hosts.
func (w *World) number() int { return w.first + w.made }

func (w *World) path(name string) string { return filepath.Join(w.dir, name) }

func (w *World) onClose(f func()) { w.closed = append(w.closed, f) }

// Close ends the containers, then the router, then removes what they left.
func (w *World) Close() {
	for i := len(w.closed) - 1; i >= 0; i-- {
		w.closed[i]()
	}
	w.closed = nil
}

// apart keeps the terminal's signals away from a process, so that things end in order, and ends it with us. It gets no session of
// its own: Linux shares the processor out among sessions (sched_autogroup) before it does among processes, and pairs would have
// what their containers' sessions have.
func apart() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: unix.SIGTERM}
}

// stop ends a process: politely, and then not.
func stop(cmd *exec.Cmd, ended <-chan struct{}) {
	_ = cmd.Process.Signal(unix.SIGTERM)
	select {
	case <-ended:
	case <-time.After(readyTime):
		_ = cmd.Process.Kill()
		<-ended
	}
}

// poll asks until it is so, for readyTime at most.
func poll(ctx context.Context, done func() (bool, error)) error {
	ctx, cancel := context.WithTimeoutCause(ctx, readyTime, fmt.Errorf("not ready after %v", readyTime))
	defer cancel()
	for {
		if ok, err := done(); ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(10 * time.Millisecond):
		}
	}
}
