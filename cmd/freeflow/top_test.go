package main

import (
	"bytes"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/freeflow-rdma/freeflow/internal/admin"
	"github.com/freeflow-rdma/freeflow/internal/top"
)

// busyRouter serves a run directory; its one queue pair sends a megabyte between any two looks.
func busyRouter(t *testing.T) (runDir string) {
	t.Helper()
	runDir = t.TempDir()
	l, err := net.Listen("unix", admin.SocketPath(runDir))
	if err != nil {
		t.Fatal(err)
	}
	var sent atomic.Uint64
	lists := map[string]func() any{
		"/v1/hosts":      func() any { return []admin.HostRow{{Name: "one", State: "ready"}} },
		"/v1/containers": func() any { return []admin.ContainerRow{{Name: "a", Network: "default"}} },
		"/v1/qps":        func() any { return []admin.QPRow{{Container: "a", QPN: 17, TxBytes: sent.Add(1 << 20), TxMsgs: 1}} },
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		json.NewEncoder(w).Encode(map[string]any{"items": lists[r.URL.Path]()})
	})}
	go server.Serve(l)
	t.Cleanup(func() { server.Close() })
	return runDir
}

func TestTopInBatches(t *testing.T) {
	var out bytes.Buffer
	cmd := topCommand()
	cmd.SetOut(&out)
	cmd.SetArgs([]string{"--run-dir", busyRouter(t), "-b", "-n", "2", "-d", "0.1"})
	if err := cmd.Execute(); err != nil {
		t.Fatal(err)
	}
	text := out.String()
	if strings.Count(text, "freeflow ") != 2 || strings.Contains(text, "\x1b") || strings.Contains(text, "measuring") || !strings.Contains(text, "0x000011") {
		t.Errorf("%s", text)
	}
}

func TestTopRefusals(t *testing.T) {
	for want, args := range map[string][]string{
		"no router is running": {"--run-dir", t.TempDir()},
		"no terminal":          {"--run-dir", busyRouter(t)},
		"want a delay":         {"-d", "0"},
	} {
		cmd := topCommand()
		cmd.SilenceErrors, cmd.SilenceUsage = true, true
		cmd.SetOut(&bytes.Buffer{})
		cmd.SetArgs(args)
		if err := cmd.Execute(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v", args, err)
		}
	}
}

// TestTopOnTerminal draws on a pseudo terminal, resizes it, and presses q.
func TestTopOnTerminal(t *testing.T) {
	user, program := pseudoTerminal(t)
	defer user.Close()
	before, err := unix.IoctlGetTermios(int(program.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	stdin := os.Stdin
	os.Stdin = program
	defer func() { os.Stdin = stdin }()
	cmd := topCommand()
	cmd.SetOut(program)
	cmd.SetArgs([]string{"--run-dir", busyRouter(t), "-d", "0.1"})
	ended := make(chan error, 1)
	go func() { ended <- cmd.Execute() }()

	var seen bytes.Buffer
	shows := func(what string) {
		t.Helper()
		b := make([]byte, 1<<16)
		for user.SetReadDeadline(time.Now().Add(10 * time.Second)); !strings.Contains(seen.String(), what); {
			n, err := user.Read(b)
			if err != nil {
				t.Fatalf("%q never came: %v\n%q", what, err, seen.Bytes()[max(seen.Len()-500, 0):])
			}
			seen.Write(b[:n])
		}
		seen.Reset()
	}
	shows(top.Enter)
	shows("bit/s")
	unix.IoctlSetWinsize(int(user.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 10, Col: 12})
	shows("QUEUE PAIR O\x1b[m") // twelve characters of the head
	user.Write([]byte("xq"))
	shows(top.Leave)
	if err := <-ended; err != nil {
		t.Error(err)
	}
	after, err := unix.IoctlGetTermios(int(program.Fd()), unix.TCGETS)
	if err != nil || *after != *before {
		t.Errorf("the terminal was not given back as it was: %v", err)
	}
}

// pseudoTerminal makes a terminal: what the user sees and types, and what a program has.
func pseudoTerminal(t *testing.T) (user, program *os.File) {
	t.Helper()
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	peer, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.TIOCGPTPEER, unix.O_RDWR|unix.O_NOCTTY)
	if errno != 0 {
		t.Fatal(errno)
	}
	return os.NewFile(uintptr(fd), "ptmx"), os.NewFile(peer, "pty")
}
