package run

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/freeflow-rdma/freeflow/internal/container/image"
)

func TestProgramHasItsNetworkAndItsFiles(t *testing.T) {
	w := newWorld(t)
	out, code := w.output("sh", "-c", `ip -4 -o addr show eth0; cat "$FREEFLOW_ROOT/sys/class/infiniband/rxe0/ports/1/gids/1"; echo "$LD_PRELOAD"; echo "$FREEFLOW_RUN_DIR"; ip link show lo`)
	for _, want := range []string{"10.77.0.1/16", "0000:0000:0000:0000:0000:ffff:0a4d:0001", w.runDir + "/lib/libfreeflow.so", "LOOPBACK,UP"} {
		if !strings.Contains(out, want) {
			t.Errorf("the program does not see %q:\n%s", want, out)
		}
	}
	if code != 0 {
		t.Errorf("exit status %d", code)
	}
	// At once: run waits for the router.
	if links, _ := w.links(); len(w.containers())+len(links) > 0 {
		t.Errorf("left when run had ended: %v, %v", w.containers(), links)
	}
	w.wantNothingLeft()
}

// The libraries reach what a script starts, and what that starts.
func TestSocketsArePreloadedInOrder(t *testing.T) {
	sockets := image.OwnLibraries().Sockets
	if sockets == "" {
		t.Fatal("no rsocket/librspreload.so: install librdmacm1")
	}
	script := t.TempDir() + "/script"
	if err := os.WriteFile(script, []byte("#!/bin/sh\nsh -c 'grep -E \"libfreeflow|librspreload\" /proc/self/maps | awk \"{print \\$6}\" | uniq; echo $LD_PRELOAD'\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	for _, c := range []struct{ with, preload string }{
		{"SOCKETS=1", w.runDir + "/lib/libfreeflow.so:" + sockets},
		{"SOCKETS=", w.runDir + "/lib/libfreeflow.so"},
	} {
		cmd := w.command(script)
		cmd.Env = append(cmd.Env, c.with, "LD_PRELOAD=")
		out, err := cmd.CombinedOutput()
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		mapped := strings.Contains(strings.Join(lines[:len(lines)-1], "\n"), "librspreload.so")
		if err != nil || lines[len(lines)-1] != c.preload || mapped != (c.with == "SOCKETS=1") {
			t.Errorf("%s: %v\n%s\nwant %s", c.with, err, out, c.preload)
		}
	}
	w.wantNothingLeft()
}

func TestExitStatus(t *testing.T) {
	w := newWorld(t)
	script := t.TempDir() + "/script"
	if err := os.WriteFile(script, []byte("exit 9\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		want int
	}{
		{[]string{"true"}, 0},
		{[]string{"sh", "-c", "exit 7"}, 7},
		{[]string{"sh", "-c", "kill -TERM $$"}, 128 + 15},
		{[]string{"sh", "-c", "kill -KILL $$"}, 128 + 9},
		{[]string{"no-such-program"}, 127},
		{[]string{"/no/such/program"}, 127},
		{[]string{"/etc/passwd"}, 126},
		{[]string{"/etc"}, 126},
		{[]string{script}, 9},
	} {
		if out, code := w.output(c.args...); code != c.want {
			t.Errorf("%v: exit status %d, want %d\n%s", c.args, code, c.want, out)
		}
	}
	w.wantNothingLeft()
}

func TestSignalsReachTheProgramOnce(t *testing.T) {
	w := newWorld(t)
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGWINCH} {
		counter := t.TempDir() + "/count"
		// The second sleep is for a second signal to arrive.
		cmd := w.command("bash", "-c", fmt.Sprintf(`trap 'echo x >> %s' %d; echo ready; while [ ! -s %s ]; do sleep 0.02; done; sleep 0.1; exit $(wc -l < %s)`, counter, sig, counter, counter))
		w.start(cmd)
		cmd.Process.Signal(sig)
		if code := status(t, cmd.Wait()); code != 1 {
			t.Errorf("signal %v arrived %d times", sig, code)
		}
	}
}

func TestProgramEndsContainerWithWhatItLeft(t *testing.T) {
	w := newWorld(t)
	out, code := w.output("sh", "-c", "setsid sleep 1000 >/dev/null 2>&1 & echo $!")
	if code != 0 {
		t.Fatalf("exit status %d: %s", code, out)
	}
	wantGone(t, w, strings.TrimSpace(out))
	w.wantNothingLeft()
}

func TestKilledRunLeavesNothing(t *testing.T) {
	w := newWorld(t)
	named := namedNamespaces(t)
	cmd := w.command("sh", "-c", "setsid sleep 1000 >/dev/null 2>&1 & echo $!; exec sleep 1000")
	orphan := w.start(cmd)
	cmd.Process.Kill()
	cmd.Wait()
	wantGone(t, w, orphan)
	w.wantNothingLeft()
	if now := namedNamespaces(t); now != named {
		t.Errorf("named namespaces before: %q, after: %q", named, now)
	}
}

// wantGone waits for a process' end.
func wantGone(t *testing.T, w *world, pid string) {
	t.Helper()
	w.wait("process "+pid+" is gone", func() error {
		status, err := os.ReadFile("/proc/" + pid + "/status")
		if err != nil || strings.Contains(string(status), "State:\tZ") {
			return nil
		}
		return fmt.Errorf("it lives")
	})
}

// namedNamespaces lists the network namespaces that somebody has given a name. The machine's user may have some of his
// own.
func namedNamespaces(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("ip", "netns", "list").Output()
	if err != nil {
		t.Fatalf("list named namespaces: %v", err)
	}
	return string(out)
}

// TestManyAtOnce: containers that start together all run, each with an address that no other has.
func TestManyAtOnce(t *testing.T) {
	w := newWorld(t)
	const n = 50
	start := time.Now()
	// None ends before all have started, since the address of one that has ended is free for another.
	hold, release, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer hold.Close()
	defer release.Close()
	seen := make(map[string]bool)
	var all []*exec.Cmd
	lines := make(chan string)
	for range n {
		c := w.command("sh", "-c", "ip -4 -o addr show eth0; read end")
		c.Stdin = hold
		out, err := c.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
		go func() {
			line, _ := bufio.NewReader(out).ReadString('\n')
			lines <- line
		}()
	}
	for range n {
		line := <-lines
		if fields := strings.Fields(line); len(fields) < 4 || seen[fields[3]] {
			t.Errorf("a container has no address of its own: %q", line)
		} else {
			seen[fields[3]] = true
		}
	}
	t.Logf("%d containers in %s", n, time.Since(start))
	release.Close()
	for _, c := range all {
		if code := status(t, c.Wait()); code != 1 { // read's, at the end of its input
			t.Errorf("a container ended with %d", code)
		}
	}
	w.wantNothingLeft()
}

func TestNamesAndAddressesBelongToOne(t *testing.T) {
	w := newWorld(t)
	first := w.command("sh", "-c", "echo ready; sleep 1000")
	first.Env = append(first.Env, "NAME=a", "IP=10.77.3.4")
	w.start(first)
	for variable, want := range map[string]string{"NAME=a": `named "a"`, "IP=10.77.3.4": "10.77.3.4 is in use", "IP=10.78.0.1": "10.78.0.1 is not one"} {
		second := w.command("true")
		second.Env = append(second.Env, variable)
		out, err := second.CombinedOutput()
		if code := status(t, err); code != ExitFailed || !strings.Contains(string(out), want) || strings.Count(string(out), "\n") != 1 {
			t.Errorf("%s: exit status %d, message %q, want one line with %q", variable, code, out, want)
		}
	}
	first.Process.Kill()
	first.Wait()
	w.wantNothingLeft()
	third := w.command("true")
	third.Env = append(third.Env, "NAME=a", "IP=10.77.3.4")
	if out, err := third.CombinedOutput(); err != nil {
		t.Errorf("the name is not free again: %v: %s", err, out)
	}
}

func TestContainerComesBackToTheNextRouter(t *testing.T) {
	w := newWorld(t)
	cmd := w.command("sh", "-c", "echo ready; sleep 1000")
	cmd.Env = append(cmd.Env, "NAME=a")
	w.start(cmd)
	before := w.containers()
	for _, end := range []func(){w.killRouter, w.stopRouter} {
		end()
		w.startRouter()
		w.wait("the container is back", func() error {
			after := w.containers()
			if len(after) != 1 || after[0].ID != before[0].ID || after[0].IP != before[0].IP || after[0].Name != "a" {
				return fmt.Errorf("containers: %v, before: %v", after, before)
			}
			return nil
		})
		if out, code := w.output("ping", "-c1", "-W2", before[0].IP.String()); code != 0 {
			t.Errorf("a new container does not reach the old one: %s", out)
		}
	}
	cmd.Process.Signal(syscall.SIGTERM)
	if code := status(t, cmd.Wait()); code != 128+15 {
		t.Errorf("exit status %d", code)
	}
	w.wantNothingLeft()
}

func TestWithoutRouter(t *testing.T) {
	w := newWorld(t)
	w.stopRouter()
	out, code := w.output("true")
	if code != ExitFailed || !strings.Contains(out, "freeflow up") || strings.Count(out, "\n") != 1 {
		t.Errorf("exit status %d, message %q", code, out)
	}
	w.startRouter()
	w.killRouter()
	if out, code = w.output("true"); code != ExitFailed || !strings.Contains(out, "freeflow up") {
		t.Errorf("after a kill: exit status %d, message %q", code, out)
	}
}
