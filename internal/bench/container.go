package bench

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// Container is a shell in `freeflow run`. It is told on standard input what to start, and says on standard output what became
// of it:
//
//	start N PID
//	end N STATUS
//
// So all programs of a container share its network namespace and its virtual NIC, and are started as a user would.
type Container struct {
	IP    netip.Addr
	w     *World
	name  string
	input io.WriteCloser

	mu       sync.Mutex
	programs map[int]*Program
	ended    chan struct{}
	errors   bytes.Buffer
}

// Program is one program in a container.
type Program struct {
	PID    int
	argv   []string
	out    string // files of what it printed; "" for a server nobody asks
	errs   string
	began  chan int
	status chan int
}

// Container starts a container.
func (w *World) Container(ctx context.Context) (*Container, error) {
	c := &Container{IP: w.nextIP(), w: w, name: fmt.Sprintf("bench%d", w.number())}
	cmd := exec.Command(w.binary, "run", "--run-dir", w.path("run"), "--name", c.name, "--ip", c.IP.String(), "--", "sh")
	return c, c.start(ctx, cmd)
}

// Shell is the host itself as if it were a container: what is started there has the host's network. Its programs end with it: they are
// its process group.
func (w *World) Shell(ctx context.Context) (*Container, error) {
	c := &Container{IP: w.HostIP, w: w, name: "host"}
	if err := c.start(ctx, exec.Command("sh")); err != nil {
		return nil, err
	}
	_, err := fmt.Fprintln(c.input, "trap : TERM; trap 'kill -KILL 0' EXIT")
	return c, err
}

// start starts the shell.
func (c *Container) start(ctx context.Context, cmd *exec.Cmd) error {
	c.programs, c.ended = map[int]*Program{}, make(chan struct{})
	cmd.SysProcAttr = apart()
	cmd.Stderr = &c.errors
	output, err := cmd.StdoutPipe()
	if err == nil {
		c.input, err = cmd.StdinPipe()
	}
	if err == nil {
		err = startIn(c.w.ns, cmd)
	}
	if err != nil {
		return fmt.Errorf("start container %s: %w", c.name, err)
	}
	go func() {
		c.listen(output)
		_ = cmd.Wait()
		close(c.ended)
	}()
	c.w.onClose(func() {
		_ = c.input.Close() // the shell ends, and with it all that it started
		stop(cmd, c.ended)
	})
	_, err = c.Run(ctx, "true")
	return err
}

// listen hands on what the shell says.
func (c *Container) listen(r io.Reader) {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		var what string
		var n, value int
		if _, err := fmt.Sscanf(lines.Text(), "%s %d %d", &what, &n, &value); err != nil {
			continue
		}
		c.mu.Lock()
		p := c.programs[n]
		c.mu.Unlock()
		switch {
		case p == nil:
		case what == "start":
			p.began <- value
		case what == "end":
			p.status <- value
		}
	}
}

// Start starts a program.
func (c *Container) Start(ctx context.Context, argv ...string) (*Program, error) {
	c.mu.Lock()
	n := len(c.programs)
	base := filepath.Join(c.w.dir, fmt.Sprintf("%s-%d", c.name, n))
	p := &Program{argv: argv, out: base + ".out", errs: base + ".err", began: make(chan int, 1), status: make(chan int, 1)}
	c.programs[n] = p
	c.mu.Unlock()
	_, err := fmt.Fprintf(c.input, "( %s </dev/null >%s 2>%s & echo start %d $!; wait $!; echo end %d $? ) &\n",
		quoted(argv), quoted([]string{p.out}), quoted([]string{p.errs}), n, n)
	if err != nil {
		return nil, fmt.Errorf("container %s: %w", c.name, err)
	}
	select {
	case p.PID = <-p.began:
		return p, nil
	case <-c.ended:
		return nil, fmt.Errorf("container %s ended: %s", c.name, strings.TrimSpace(c.errors.String()))
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// Serve starts a program and waits until it listens.
func (c *Container) Serve(ctx context.Context, port int, argv ...string) (*Program, error) {
	p, err := c.Start(ctx, argv...)
	if err != nil {
		return nil, err
	}
	err = poll(ctx, func() (bool, error) {
		select {
		case status := <-p.status:
			return false, p.failed(status)
		default:
		}
		return listens(p.PID, port), nil
	})
	if err != nil {
		p.kill()
		return nil, fmt.Errorf("wait for %s to listen: %w", argv[0], err)
	}
	return p, nil
}

// Run runs a program to its end and returns what it printed.
func (c *Container) Run(ctx context.Context, argv ...string) (string, error) {
	p, err := c.Start(ctx, argv...)
	if err != nil {
		return "", err
	}
	return p.Wait(ctx)
}

// Wait waits until the program has ended, and kills it if the context ends before.
func (p *Program) Wait(ctx context.Context) (string, error) {
	select {
	case status := <-p.status:
		if status != 0 {
			return "", p.failed(status)
		}
	case <-ctx.Done():
		p.kill()
		return "", fmt.Errorf("%s: %w", strings.Join(p.argv, " "), context.Cause(ctx))
	}
	text, err := os.ReadFile(p.out)
	_, _ = os.Remove(p.out), os.Remove(p.errs)
	return string(text), err
}

func (p *Program) kill() { _ = unix.Kill(p.PID, unix.SIGKILL) }

// killAll kills the program and the processes it has forked.
func (p *Program) killAll() {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", p.PID, p.PID))
	p.kill()
	for _, child := range strings.Fields(string(text)) {
		if pid, err := strconv.Atoi(child); err == nil {
			_ = unix.Kill(pid, unix.SIGKILL)
		}
	}
}

func (p *Program) failed(status int) error {
	text, _ := os.ReadFile(p.errs)
	if len(bytes.TrimSpace(text)) == 0 {
		text, _ = os.ReadFile(p.out)
	}
	text = bytes.TrimSpace(text[max(0, len(text)-500):])
	return fmt.Errorf("%s: status %d: %w", strings.Join(p.argv, " "), status, errors.New(string(text)))
}

// listens says whether somebody listens on a TCP port in the network namespace of a process.
func listens(pid, port int) bool {
	for _, family := range []string{"tcp", "tcp6"} {
		text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", pid, family))
		for line := range strings.Lines(string(text)) {
			f := strings.Fields(line) // sl, local address:port, remote, state (0A: listen)
			if len(f) > 3 && f[3] == "0A" && strings.HasSuffix(f[1], fmt.Sprintf(":%04X", port)) {
				return true
			}
		}
	}
	return false
}

// quoted is a command line for the shell.
func quoted(argv []string) string {
	words := make([]string, len(argv))
	for i, a := range argv {
		words[i] = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
	}
	return strings.Join(words, " ")
}
