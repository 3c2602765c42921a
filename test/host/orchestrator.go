package host

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Orchestrator is one of a cluster's, in the namespace of the underlay.
type Orchestrator struct {
	IP netip.Addr

	c     *Cluster
	flags []string
	data  string
	cmd   *exec.Cmd
	ended chan struct{}
	log   output
}

// newOrchestrator makes the i-th orchestrator's directory. It ends with the test.
func (c *Cluster) newOrchestrator(i int, flags []string) *Orchestrator {
	c.t.Helper()
	dir, err := scratch()
	if err != nil {
		c.t.Fatal(err)
	}
	o := &Orchestrator{IP: orchestratorIP(i), c: c, flags: flags}
	if o.data, err = os.MkdirTemp(dir, "orchestrator"); err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() {
		o.Kill()
		os.RemoveAll(o.data)
		if c.t.Failed() {
			c.t.Logf("orchestrator %s:\n%s", o.IP, o.log.tail())
		}
	})
	return o
}

// URL is where routers find it.
func (o *Orchestrator) URL() string { return fmt.Sprintf("https://%s:7470", o.IP) }

// Start starts it where the last has ended, and waits until it answers.
func (o *Orchestrator) Start() {
	t := o.c.t
	t.Helper()
	os.Remove(o.socket())
	o.cmd = exec.Command(o.c.bin, append([]string{"orchestrator", "--data-dir", o.data, "--listen", o.IP.String() + ":7470"}, o.flags...)...)
	o.cmd.Stdout, o.cmd.Stderr = &o.log, &o.log
	if err := spawn(o.cmd, o.c.Under.NS); err != nil {
		t.Fatalf("start orchestrator: %v", err)
	}
	cmd, ended := o.cmd, make(chan struct{})
	o.ended = ended
	go func() {
		_ = cmd.Wait()
		close(ended)
	}()
	Eventually(t, "the orchestrator answers", 20*time.Second, func() error {
		_, err := os.Stat(o.socket())
		return err
	})
}

// socket is where operators find it.
func (o *Orchestrator) socket() string { return filepath.Join(o.data, "orchestrator.sock") }

// Kill kills it with SIGKILL.
func (o *Orchestrator) Kill() {
	if o.cmd != nil && o.cmd.Process != nil {
		o.cmd.Process.Kill()
		<-o.ended
	}
}

// alive says whether it has not ended.
func (o *Orchestrator) alive() bool {
	select {
	case <-o.ended:
		return false
	default:
		return true
	}
}

// Freeflow runs a command of the operator's on this orchestrator and gives what it printed. It tries for a while.
func (o *Orchestrator) Freeflow(t testing.TB, args ...string) string {
	t.Helper()
	var out []byte
	Eventually(t, "freeflow "+strings.Join(args, " "), 10*time.Second, func() (err error) {
		cmd := exec.Command(o.c.bin, append(args, "--data-dir", o.data)...)
		if out, err = cmd.Output(); err != nil {
			var exit *exec.ExitError
			if errors.As(err, &exit) {
				err = fmt.Errorf("%w: %s", err, exit.Stderr)
			}
		}
		return err
	})
	return string(out)
}
