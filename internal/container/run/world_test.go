package run

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/freeflow-rdma/freeflow/internal/admin"
	"github.com/freeflow-rdma/freeflow/internal/vnet"
)

// world is a router in a network namespace of its own, and the containers that are run with it.
type world struct {
	t       *testing.T
	runDir  string
	library string
	ns      *vnet.Namespace
	router  *exec.Cmd
	log     bytes.Buffer
}

func newWorld(t *testing.T) *world {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("this test makes network namespaces and links: run it as root")
	}
	ns, err := vnet.NewNamespace()
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, ns: ns, library: buildLibrary(t)}
	// Socket paths are short, test names are not.
	if w.runDir, err = os.MkdirTemp("", "ff"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		w.killRouter()
		ns.Close()
		os.RemoveAll(w.runDir)
		if t.Failed() {
			t.Log("router:\n" + w.log.String())
		}
	})
	w.startRouter()
	return w
}

// buildLibrary makes an empty library, so that the loader has something to preload.
func buildLibrary(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "empty.so")
	if out, err := exec.Command("cc", "-shared", "-nostdlib", "-o", path, "-x", "c", "/dev/null").CombinedOutput(); err != nil {
		t.Fatalf("make an empty library: %v: %s", err, out)
	}
	return path
}

func (w *world) startRouter() {
	w.t.Helper()
	w.router = exec.Command("/proc/self/exe")
	w.router.Env = append(os.Environ(), asRouter+"="+w.runDir, "LIBRARY="+w.library)
	w.router.Stderr = &w.log
	if err := w.ns.Do(w.router.Start); err != nil {
		w.t.Fatal(err)
	}
	w.wait("the router answers", func() error {
		s, err := w.client().Status(w.t.Context())
		if err == nil && s.PID != w.router.Process.Pid {
			err = fmt.Errorf("process %d answers", s.PID)
		}
		return err
	})
}

func (w *world) killRouter() {
	w.router.Process.Kill()
	w.router.Wait()
}

func (w *world) stopRouter() {
	w.t.Helper()
	w.router.Process.Signal(syscall.SIGTERM)
	if err := w.router.Wait(); err != nil {
		w.t.Fatalf("the router's end: %v", err)
	}
}

func (w *world) client() *admin.Client { return admin.NewClient(w.runDir) }

// command is `freeflow run -- args`.
func (w *world) command(args ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Env = append(os.Environ(), asRun+"="+w.runDir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // no terminal, whoever runs the tests
	cmd.WaitDelay = 20 * time.Second
	return cmd
}

// start starts a container and waits until its program has said a line.
func (w *world) start(cmd *exec.Cmd) (line string) {
	w.t.Helper()
	out, err := cmd.StdoutPipe()
	if err != nil {
		w.t.Fatal(err)
	}
	if cmd.Stderr == nil {
		cmd.Stderr = os.Stderr
	}
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	buf := make([]byte, 4096)
	n, err := out.Read(buf)
	if err != nil {
		w.t.Fatalf("the program says nothing: %v", err)
	}
	return strings.TrimSpace(string(buf[:n]))
}

// output runs a container to its end.
func (w *world) output(args ...string) (string, int) {
	w.t.Helper()
	out, err := w.command(args...).CombinedOutput()
	return string(out), status(w.t, err)
}

func status(t *testing.T, err error) int {
	t.Helper()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit) && exit.Exited():
		return exit.ExitCode()
	}
	t.Fatalf("run: %v", err)
	return 0
}

// wait repeats a check until it passes.
func (w *world) wait(what string, check func() error) {
	w.t.Helper()
	var err error
	for deadline := time.Now().Add(15 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if err = check(); err == nil {
			return
		}
	}
	w.t.Fatalf("waited for: %s: %v", what, err)
}

func (w *world) containers() []admin.ContainerRow {
	w.t.Helper()
	rows, err := w.client().Containers(context.Background())
	if err != nil {
		w.t.Fatal(err)
	}
	return rows
}

// wantNothingLeft checks that no container, no veth and no file is left.
func (w *world) wantNothingLeft() {
	w.t.Helper()
	w.wait("nothing is left", func() error {
		rows := w.containers()
		links, err := w.links()
		if err != nil {
			return err
		}
		dirs, err := filepath.Glob(filepath.Join(w.runDir, "containers", "*"))
		if err != nil {
			return err
		}
		if len(rows)+len(links)+len(dirs) > 0 {
			return fmt.Errorf("left: containers %v, links %v, directories %v", rows, links, dirs)
		}
		return nil
	})
}

// links lists the router's ends of veth pairs.
func (w *world) links() ([]string, error) {
	var veths []string
	err := w.ns.Do(func() error {
		out, err := exec.Command("ip", "-br", "link").Output()
		for line := range strings.Lines(string(out)) {
			if strings.HasPrefix(line, "fv") {
				veths = append(veths, strings.TrimSpace(line))
			}
		}
		return err
	})
	return veths, err
}
