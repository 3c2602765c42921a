package guest

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/freeflow-rdma/freeflow/test/interop/guest/proto"
)

// Process is a shell script in a guest.
type Process struct {
	g      *Guest
	id     int
	script string
	out    output
	limit  time.Time
	ended  chan struct{}
	status int
}

// Start starts a script in the background. It is killed when the test ends.
func (g *Guest) Start(t testing.TB, script string) *Process {
	t.Helper()
	return g.start(t, proto.Request{Script: script})
}

// Put writes a file in the guest, executable.
func (g *Guest) Put(t testing.TB, path string, data []byte) {
	t.Helper()
	g.start(t, proto.Request{Script: fmt.Sprintf("cat >%s && chmod 755 %[1]s", path), Stdin: data}).Succeed(t)
}

// Run runs a script to its end, which must be status 0, and gives what it said.
func (g *Guest) Run(t testing.TB, script string) string {
	t.Helper()
	return g.Start(t, script).Succeed(t)
}

func (g *Guest) start(t testing.TB, r proto.Request) *Process {
	t.Helper()
	p := &Process{g: g, script: r.Script, limit: time.Now().Add(patience), ended: make(chan struct{})}
	g.mu.Lock()
	g.last++
	p.id, r.ID = g.last, g.last
	g.scripts[p.id] = p
	g.mu.Unlock()
	if err := g.ask(r); err != nil {
		t.Fatalf("guest %s: %v\n%s", g.IP, err, g.console.tail())
	}
	t.Cleanup(p.Kill)
	return p
}

// WaitListen waits until somebody in the guest listens on a TCP port, which ought to be the script.
func (p *Process) WaitListen(t testing.TB, port int) {
	t.Helper()
	wait := p.g.Start(t, fmt.Sprintf("until grep -q ':%04X [0-9A-F:]* 0A ' /proc/net/tcp /proc/net/tcp6; do usleep 20000; done", port))
	select {
	case <-wait.ended:
	case <-p.ended:
		wait.Kill()
		t.Fatalf("guest %s: %s: ended before it listened, exit status %d\n%s", p.g.IP, p.script, p.status, p.out.tail())
	case <-time.After(time.Until(p.limit)):
		wait.Kill()
		t.Fatalf("guest %s: %s: does not listen\n%s", p.g.IP, p.script, p.out.tail())
	}
}

func (p *Process) report(r proto.Report) {
	p.out.Write(r.Output)
	if r.Ended {
		p.status = r.Status
		close(p.ended)
	}
}

// Output is what the script has said by now.
func (p *Process) Output() string { return p.out.String() }

// Within gives the script no more than so long from now.
func (p *Process) Within(d time.Duration) *Process {
	p.limit = time.Now().Add(d)
	return p
}

// Ended gives the script's exit status, as Wait does, once it has ended.
func (p *Process) Ended() (status int, ended bool) {
	select {
	case <-p.ended:
		return p.status, true
	default:
		return 0, false
	}
}

// Wait waits for the script's end and gives its exit status, or 128 and the number of the signal. One that hangs fails the test.
func (p *Process) Wait(t testing.TB) int {
	t.Helper()
	select {
	case <-p.ended:
		return p.status
	case <-p.g.ended:
		t.Fatalf("guest %s has ended: %v\n%s", p.g.IP, p.g.status, p.g.console.tail())
	case <-time.After(time.Until(p.limit)):
		p.Kill()
		t.Fatalf("guest %s: %s: hangs\n%s", p.g.IP, p.script, p.out.tail())
	}
	return -1
}

// Succeed waits for the script's end, which must be status 0, and gives what it said.
func (p *Process) Succeed(t testing.TB) string {
	t.Helper()
	if code := p.Wait(t); code != 0 {
		t.Fatalf("guest %s: %s: exit status %d\n%s", p.g.IP, p.script, code, p.out.tail())
	}
	return p.out.String()
}

// Kill kills the script and what it started, if it has not ended.
func (p *Process) Kill() {
	select {
	case <-p.ended:
	case <-p.g.ended:
	default:
		p.g.ask(proto.Request{ID: p.id, Kill: true})
	}
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
	return strings.ToValidUTF8(s, "?")
}
