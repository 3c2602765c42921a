package host

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// Options say how a program is run; the zero value is a container with any address.
type Options struct {
	Name    string
	Network string
	IP      string
	Mode    string
	Sockets bool // its sockets are RDMA connections
	Env     []string
	Time    time.Duration // after which it is killed and the test fails; 60 s if zero
}

// Running is a program in a container that has been started.
type Running struct {
	h     *Host
	what  string
	cmd   *exec.Cmd
	out   output
	limit time.Time
	ended chan struct{}
	err   error
}

// Start starts a program in a container. It is killed when the test ends.
func (h *Host) Start(t testing.TB, o Options, args ...string) *Running {
	t.Helper()
	run := []string{"run", "--run-dir", h.RunDir}
	for flag, value := range map[string]string{"--name": o.Name, "--network": o.Network, "--ip": o.IP, "--mode": o.Mode} {
		if value != "" {
			run = append(run, flag, value)
		}
	}
	if o.Sockets {
		run = append(run, "--sockets")
	}
	if o.Time == 0 {
		o.Time = 60 * time.Second
	}
	r := &Running{h: h, what: strings.Join(args, " "), limit: time.Now().Add(o.Time), ended: make(chan struct{})}
	r.cmd = exec.Command(h.bin, append(append(run, "--"), args...)...)
	r.cmd.Env = append(os.Environ(), o.Env...)
	r.cmd.Stdout, r.cmd.Stderr = &r.out, &r.out
	r.cmd.WaitDelay = 5 * time.Second
	if err := spawn(r.cmd, nil); err != nil {
		t.Fatalf("start %s: %v", r.what, err)
	}
	go func() {
		r.err = r.cmd.Wait()
		close(r.ended)
	}()
	t.Cleanup(r.Kill)
	return r
}

// Run runs a program in a container to its end, which must be status 0, and gives what it said.
func (h *Host) Run(t testing.TB, o Options, args ...string) string {
	t.Helper()
	return h.Start(t, o, args...).Succeed(t)
}

// Output is what the program has said by now.
func (r *Running) Output() string { return r.out.String() }

// Wait waits for the program's end and gives its exit status. One that hangs fails the test.
func (r *Running) Wait(t testing.TB) int {
	t.Helper()
	select {
	case <-r.ended:
	case <-time.After(time.Until(r.limit)):
		where := r.stacks()
		r.Kill()
		t.Fatalf("%s: hangs%s\n%s", r.what, where, r.out.tail())
	}
	var exit *exec.ExitError
	switch {
	case r.err == nil:
		return 0
	case errors.As(r.err, &exit) && exit.Exited():
		return exit.ExitCode()
	case errors.As(r.err, &exit):
		return 128 + int(exit.Sys().(syscall.WaitStatus).Signal())
	}
	t.Fatalf("%s: %v", r.what, r.err)
	return -1
}

// Succeed waits for the program's end, which must be status 0, and gives what it said.
func (r *Running) Succeed(t testing.TB) string {
	t.Helper()
	if code := r.Wait(t); code != 0 {
		t.Fatalf("%s: exit status %d\n%s", r.what, code, r.out.tail())
	}
	return r.out.String()
}

// Within gives the program no more than so long from now.
func (r *Running) Within(d time.Duration) *Running {
	r.limit = time.Now().Add(d)
	return r
}

// WaitFor waits until the program has said something.
func (r *Running) WaitFor(t testing.TB, text string) {
	t.Helper()
	Eventually(t, fmt.Sprintf("%s says %q", r.what, text), time.Until(r.limit), func() error {
		if strings.Contains(r.out.String(), text) {
			return nil
		}
		select {
		case <-r.ended:
			if !strings.Contains(r.out.String(), text) {
				t.Fatalf("%s ended and did not say %q: %v\n%s", r.what, text, r.err, r.out.tail())
			}
		default:
		}
		return fmt.Errorf("it said:\n%s", r.out.tail())
	})
}

// WaitListen waits until somebody in the container listens on a TCP port.
func (r *Running) WaitListen(t testing.TB, port int) {
	t.Helper()
	want := fmt.Sprintf(":%04X ", port)
	Eventually(t, fmt.Sprintf("%s listens on port %d", r.what, port), 15*time.Second, func() error {
		select {
		case <-r.ended:
			t.Fatalf("%s ended before it listened: %v\n%s", r.what, r.err, r.out.tail())
		default:
		}
		for _, table := range []string{"tcp", "tcp6"} {
			text, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", r.cmd.Process.Pid, table))
			if err != nil {
				return err
			}
			for line := range strings.Lines(string(text)) {
				if f := strings.Fields(line); len(f) > 3 && strings.HasSuffix(f[1]+" ", want) && f[3] == "0A" {
					return nil
				}
			}
		}
		return errors.New("nobody does")
	})
}

// PID is the process of the program itself, the child of `freeflow run`.
func (r *Running) PID(t testing.TB) int {
	t.Helper()
	pid := 0
	Eventually(t, r.what+" runs", 5*time.Second, func() error {
		tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", r.cmd.Process.Pid))
		if err != nil {
			return err
		}
		for _, task := range tasks {
			text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/children", r.cmd.Process.Pid, task.Name()))
			if err != nil {
				return err
			}
			if f := strings.Fields(string(text)); len(f) > 0 {
				pid, err = strconv.Atoi(f[0])
				return err
			}
		}
		return errors.New("it has no child")
	})
	return pid
}

// KillProgram kills the program with SIGKILL, not `freeflow run`.
func (r *Running) KillProgram(t testing.TB) {
	t.Helper()
	if err := syscall.Kill(r.PID(t), syscall.SIGKILL); err != nil {
		t.Fatalf("kill %s: %v", r.what, err)
	}
}

// Signal sends a signal to `freeflow run`.
func (r *Running) Signal(s syscall.Signal) { r.cmd.Process.Signal(s) }

// Kill kills `freeflow run` with SIGKILL, if it has not ended, and waits for that.
func (r *Running) Kill() {
	r.cmd.Process.Kill()
	<-r.ended
}

// stacks tells where the threads of a program that hangs are in the kernel.
func (r *Running) stacks() string {
	var b strings.Builder
	children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", r.cmd.Process.Pid, r.cmd.Process.Pid))
	for pid := range strings.FieldsSeq(string(children)) {
		tasks, _ := os.ReadDir("/proc/" + pid + "/task")
		for _, task := range tasks {
			wchan, _ := os.ReadFile("/proc/" + pid + "/task/" + task.Name() + "/wchan")
			stat, _ := os.ReadFile("/proc/" + pid + "/task/" + task.Name() + "/stat")
			fmt.Fprintf(&b, "\n  thread %s: in %s: %s", task.Name(), wchan, stat)
		}
	}
	return b.String()
}

// output collects what processes say.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// tail is the end of it, which is enough to show.
func (o *output) tail() string {
	const most = 6000
	s := o.String()
	if len(s) > most {
		s = "...\n" + s[len(s)-most:]
	}
	return s
}

var skipped atomic.Int32

// Skip skips a test for a reason, and counts.
func Skip(t testing.TB, reason string) {
	t.Helper()
	skipped.Add(1)
	t.Skip(reason)
}
