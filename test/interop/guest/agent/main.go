// Command agent is the first process of a guest: it mounts what programs expect, loads kernel modules and then runs the
// scripts that the test sends. It knows nothing of networks or RDMA; scripts set those up.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/freeflow-rdma/freeflow/test/interop/guest/proto"
)

func main() {
	var wrong bytes.Buffer
	for _, err := range append(mounts(), modules()...) {
		fmt.Fprintln(&wrong, err)
	}
	os.Setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
	os.Setenv("HOME", "/")
	port, err := open()
	if err != nil {
		// The kernel panics when its first process ends, QEMU ends then, and the test shows the console.
		fmt.Println(err, wrong.String())
		return
	}
	a := &agent{out: json.NewEncoder(port), running: map[int]*exec.Cmd{}}
	a.report(proto.Report{Output: wrong.Bytes()})
	fmt.Println("agent:", a.serve(json.NewDecoder(port)))
}

func mounts() (errs []error) {
	for _, m := range [][2]string{{"proc", "/proc"}, {"sysfs", "/sys"}, {"devtmpfs", "/dev"}, {"tmpfs", "/tmp"}, {"tmpfs", "/run"}, {"tmpfs", "/dev/shm"}} {
		os.MkdirAll(m[1], 0o755)
		if err := unix.Mount(m[0], m[1], m[0], 0, ""); err != nil {
			errs = append(errs, fmt.Errorf("mount %s: %w", m[1], err))
		}
	}
	return errs
}

func modules() (errs []error) {
	list, err := os.ReadFile(proto.Modules)
	if err != nil {
		return []error{err}
	}
	for path := range strings.FieldsSeq(string(list)) {
		if err := load(path); err != nil {
			errs = append(errs, fmt.Errorf("load %s: %w", path, err))
		}
	}
	return errs
}

func load(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.FinitModule(int(f.Fd()), "", 0)
}

// open waits for the port, which the driver makes in its own time.
func open() (f *os.File, err error) {
	for range 1000 {
		if f, err = os.OpenFile(proto.Port, os.O_RDWR, 0); err == nil {
			return f, nil
		}
		time.Sleep(time.Millisecond)
	}
	return nil, err
}

type agent struct {
	mu      sync.Mutex // of what follows
	out     *json.Encoder
	running map[int]*exec.Cmd
}

func (a *agent) report(r proto.Report) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.out.Encode(r); err != nil {
		fmt.Println("report:", err)
	}
}

func (a *agent) serve(in *json.Decoder) error {
	for {
		var r proto.Request
		if err := in.Decode(&r); err != nil {
			return err
		}
		if r.Kill {
			a.kill(r.ID)
		} else {
			a.start(r)
		}
	}
}

func (a *agent) start(r proto.Request) {
	cmd := exec.Command("/bin/sh", "-c", r.Script)
	cmd.Stdin = bytes.NewReader(r.Stdin)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	read, write, err := os.Pipe()
	if err == nil {
		cmd.Stdout, cmd.Stderr = write, write
		err = cmd.Start()
		write.Close()
	}
	if err != nil {
		a.report(proto.Report{ID: r.ID, Output: []byte(err.Error()), Ended: true, Status: 127})
		return
	}
	a.mu.Lock()
	a.running[r.ID] = cmd
	a.mu.Unlock()
	go a.follow(r.ID, cmd, read)
}

// follow reports what a script says until it ends. A process that it leaves behind may hold its output open: that is
// waited for a little only.
func (a *agent) follow(id int, cmd *exec.Cmd, out *os.File) {
	drained := make(chan struct{})
	go func() {
		io.Copy(writer{a, id}, out)
		close(drained)
	}()
	cmd.Wait()
	select {
	case <-drained:
	case <-time.After(200 * time.Millisecond):
	}
	a.mu.Lock()
	delete(a.running, id)
	a.mu.Unlock()
	status := cmd.ProcessState.Sys().(syscall.WaitStatus)
	code := status.ExitStatus()
	if status.Signaled() {
		code = 128 + int(status.Signal())
	}
	a.report(proto.Report{ID: id, Ended: true, Status: code})
}

func (a *agent) kill(id int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if cmd := a.running[id]; cmd != nil {
		unix.Kill(-cmd.Process.Pid, unix.SIGKILL)
	}
}

// writer reports what is written to it as a script's output.
type writer struct {
	a  *agent
	id int
}

func (w writer) Write(p []byte) (int, error) {
	w.a.report(proto.Report{ID: w.id, Output: p})
	return len(p), nil
}
