package router

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/freeflow-rdma/freeflow/internal/admin"
	"github.com/freeflow-rdma/freeflow/internal/container"
	"github.com/freeflow-rdma/freeflow/internal/fdconn"
	"github.com/freeflow-rdma/freeflow/internal/orchestrator"
)

func TestLockRunDir(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	first, err := lockRunDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lockRunDir(dir); !errors.Is(err, ErrRunning) || !strings.Contains(err.Error(), dir) {
		t.Errorf("second router: %v", err)
	}
	first.Close()
	again, err := lockRunDir(dir)
	if err != nil {
		t.Fatalf("after the first: %v", err)
	}
	again.Close()
}

// TestMemoryOf: memory is opened for who connected, and not for what its process has become.
func TestMemoryOf(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := fdconn.Listen(path, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	(&world{path: path}).dial(t)
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	peer, err := conn.Peer()
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	process, err := memoryOf(peer)
	if err != nil {
		t.Fatal(err)
	}
	process.Close()
	for _, change := range []*uint32{&peer.UID, &peer.GID} {
		*change++
		if _, err := memoryOf(peer); !errors.Is(err, syscall.EACCES) {
			t.Errorf("another user's process: %v, want EACCES", err)
		}
		*change--
	}
}

// TestRun starts a router on a directory as a killed one leaves it, looks at it from outside, and ends it.
func TestRun(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("a router makes bridges: needs root")
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, SocketName), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	orch, err := orchestrator.Start(t.Context(), orchestrator.Config{DataDir: t.TempDir(), Listen: "none", Log: log})
	if err != nil {
		t.Fatal(err)
	}
	defer orch.Close()
	cfg := Config{RunDir: dir, DataDir: t.TempDir(), Orchestrators: []string{orch.RouterURL()}, HostName: "host", Log: log, Library: []byte("library"),
		NewToken: func(ctx context.Context) (string, error) { return orch.CreateToken(ctx, time.Minute, true) }}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- Run(ctx, cfg) }()
	eventually(t, "the admin socket is there", func() bool {
		_, err := os.Stat(admin.SocketPath(dir))
		return err == nil
	})

	if got, err := os.ReadFile(container.LibraryPath(dir)); err != nil || string(got) != "library" {
		t.Errorf("library %q, %v", got, err)
	}
	if st, err := os.Stat(filepath.Join(dir, SocketName)); err != nil || st.Mode() != os.ModeSocket|0o666 {
		t.Errorf("socket: %v, %v", st.Mode(), err)
	}
	_, errno, _ := (&world{path: filepath.Join(dir, SocketName)}).dial(t).ask(fdconn.OpOpen, openBody)
	expect(t, "OPEN from the router's own namespace", errno, syscall.EACCES)
	if err := Run(ctx, cfg); !errors.Is(err, ErrRunning) {
		t.Errorf("second router: %v", err)
	}
	if err := Run(ctx, Config{RunDir: dir, Mode: "quick"}); err == nil {
		t.Error("mode quick: no error")
	}

	stop()
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("the router ended with %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the router does not end")
	}
	for _, name := range []string{SocketName, admin.SocketName} {
		if _, err := os.Stat(filepath.Join(dir, name)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is left: %v", name, err)
		}
	}
}
