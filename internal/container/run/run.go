package run

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/freeflow-rdma/freeflow/internal/admin"
	"github.com/freeflow-rdma/freeflow/internal/container/image"
	"github.com/freeflow-rdma/freeflow/internal/vnet"
)

// Exit statuses besides the program's own, as env(1) and shells use them.
const (
	ExitFailed        = 125 // no container could be made
	ExitNotExecutable = 126
	ExitNotFound      = 127
	exitSignal        = 128 // plus the signal's number
)

// releaseTime bounds the wait for the router to take the container back.
const releaseTime = 10 * time.Second

// Options say what to run and in what container.
type Options struct {
	RunDir   string
	Spec     admin.ContainerSpec // Command is filled in from Args
	Args     []string            // the program and its arguments
	Sockets  bool                // its TCP and UDP sockets are RDMA connections
	Messages io.Writer           // for warnings, one line each
}

// Run runs a program in a new container and returns the status to exit with. An error says why the program
// did not run. It must be called from the process' main thread (a goroutine that main's init locked to it),
// whose network namespace it changes for good.
func Run(o Options) (int, error) {
	if unix.Gettid() != os.Getpid() {
		return ExitFailed, errors.New("run: called outside of the main thread")
	}
	program, err := image.Find(o.Args[0], os.Getenv("PATH"))
	if err != nil {
		return commandStatus(err), err
	}
	libraries := image.OwnLibraries()
	if err := o.checkSockets(libraries); err != nil {
		return ExitFailed, err
	}
	warn(o.Messages, program, libraries)

	signals := catchSignals()
	defer signals.stop()
	ns, err := enterNewNamespace()
	if err != nil {
		return ExitFailed, err
	}
	defer ns.Close()
	lease, err := register(o, signals)
	if err != nil {
		return signals.statusOr(ExitFailed), err
	}
	defer lease.release()
	if status := signals.statusOr(0); status != 0 {
		return status, errors.New("ended by a signal before the program started")
	}

	child, err := start(program, o.Args, environment(os.Environ(), lease.info(), o.preload(lease.info(), libraries)))
	if err != nil {
		return commandStatus(err), err
	}
	status := child.wait(signals)
	if err := ns.Kill(os.Getpid()); err != nil {
		fmt.Fprintln(o.Messages, "freeflow: warning:", err)
	}
	return status, nil
}

// warn tells in advance why the program may find no RDMA device. It runs all the same: it may need none.
func warn(w io.Writer, path string, libraries image.Libraries) {
	if p, err := image.Inspect(path); err == nil && p.Warning() != "" {
		fmt.Fprintln(w, "freeflow: warning:", p.Warning())
	}
	if warning := libraries.Warning(); warning != "" {
		fmt.Fprintln(w, "freeflow: warning:", warning)
	}
}

// enterNewNamespace takes the calling thread, the main one, into a new network namespace.
func enterNewNamespace() (*vnet.Namespace, error) {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		if errors.Is(err, os.ErrPermission) {
			return nil, fmt.Errorf("make the container's network namespace: %w: run this as root (CAP_SYS_ADMIN)", err)
		}
		return nil, fmt.Errorf("make the container's network namespace: %w", err)
	}
	return vnet.NamespaceOfThread()
}

func register(o Options, signals *signals) (*keeper, error) {
	runDir, err := filepath.Abs(o.RunDir)
	if err != nil {
		return nil, fmt.Errorf("find run directory: %w", err)
	}
	o.Spec.Command = abridged(o.Args)
	ctx, cancel := signals.context(context.Background())
	defer cancel()
	client := admin.NewClient(runDir)
	lease, err := client.Register(ctx, o.Spec)
	if err != nil {
		return nil, fmt.Errorf("register container: %w", err)
	}
	if _, err := os.Stat(lease.Info.Library); err != nil {
		_ = lease.Release(ctx)
		return nil, fmt.Errorf("find the library that the router installs: %w", err)
	}
	return keep(client, lease, o.Spec, o.Messages), nil
}

// maxShown bounds how much of the command line lists show.
const maxShown = 256

// abridged is the command line as lists show it.
func abridged(args []string) []string {
	left := maxShown
	for i, arg := range args {
		if left -= len(arg); left < 0 {
			return append(append([]string{}, args[:i]...), "…")
		}
	}
	return args
}
