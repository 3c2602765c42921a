package admin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/freeflow-rdma/freeflow/internal/pcap"
	"github.com/freeflow-rdma/freeflow/internal/vnet"
)

// record is a Backend that remembers what it was asked.
type record struct {
	mu           sync.Mutex
	namespaces   map[string]*vnet.Namespace // of living containers
	pids         []int
	unregistered []string
	refuse       error
	tap          pcap.Tap
}

func newRecord() *record { return &record{namespaces: make(map[string]*vnet.Namespace)} }

func (r *record) RegisterContainer(_ context.Context, peer Peer, spec ContainerSpec) (ContainerInfo, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.refuse != nil {
		return ContainerInfo{}, r.refuse
	}
	r.pids = append(r.pids, peer.PID)
	r.namespaces[spec.Name] = peer.NetNS
	return ContainerInfo{ID: spec.Name, IP: netip.MustParseAddr("10.77.0.1")}, nil
}

func (r *record) UnregisterContainer(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.namespaces[id].Close()
	delete(r.namespaces, id)
	r.unregistered = append(r.unregistered, id)
}

func (r *record) ended() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.unregistered...)
}

func (r *record) Status() Status             { return Status{PID: os.Getpid(), Version: "test"} }
func (r *record) Containers() []ContainerRow { return []ContainerRow{{Name: "a"}, {Name: "b"}} }
func (r *record) QPs() []QPRow               { return nil }
func (r *record) CMIDs() []CMIDRow           { return nil }
func (r *record) MRs() []MRRow               { return []MRRow{{LKey: 7}} }
func (r *record) Networks() []NetworkRow     { return nil }
func (r *record) Hosts() []HostRow           { return nil }
func (r *record) Counters() []CounterRow     { return []CounterRow{{"fabric", "drops", 1 << 63}} }
func (r *record) Tap() *pcap.Tap             { return &r.tap }

// serve starts a server, and returns what stops it and waits for its end.
func serve(t *testing.T, b Backend) (runDir string, stop func()) {
	t.Helper()
	runDir, err := os.MkdirTemp("", "ff") // short, for the socket's path
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(runDir) })
	s, err := Listen(runDir, b, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	t.Cleanup(stop)
	return runDir, stop
}

func TestLists(t *testing.T) {
	runDir, _ := serve(t, newRecord())
	c, ctx := NewClient(runDir), t.Context()
	if s, err := c.Status(ctx); err != nil || s.Version != "test" {
		t.Errorf("status %+v, %v", s, err)
	}
	if rows, err := c.Containers(ctx); err != nil || len(rows) != 2 || rows[1].Name != "b" {
		t.Errorf("containers %+v, %v", rows, err)
	}
	if rows, err := c.MRs(ctx); err != nil || len(rows) != 1 || rows[0].LKey != 7 {
		t.Errorf("MRs %+v, %v", rows, err)
	}
	if rows, err := c.Counters(ctx); err != nil || len(rows) != 1 || rows[0].Value != 1<<63 {
		t.Errorf("counters %+v, %v", rows, err)
	}
	if rows, err := c.QPs(ctx); err != nil || rows == nil || len(rows) != 0 {
		t.Errorf("no QPs: %#v, %v; want an empty list", rows, err)
	}
}

// TestCaptureEndsWithTheServer: neither waits for the other.
func TestCaptureEndsWithTheServer(t *testing.T) {
	r := newRecord()
	runDir, stop := serve(t, r)
	stream, err := pcap.NewClient(SocketPath(runDir)).Open(t.Context(), pcap.Query{})
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	if !r.tap.Active() {
		t.Error("the tap is off while somebody captures")
	}
	go stop()
	if _, err := io.Copy(io.Discard, stream); err != nil {
		t.Errorf("the capture ended with %v", err)
	}
	stop()
	if r.tap.Active() {
		t.Error("the tap is on although nobody captures")
	}
}

func TestNamespaceIsTheKernelsWord(t *testing.T) {
	r := newRecord()
	runDir, _ := serve(t, r)
	lease, err := NewClient(runDir).Register(t.Context(), ContainerSpec{Name: "a"})
	if err != nil {
		t.Fatal(err)
	}
	defer lease.Release(context.Background())
	own, err := vnet.NamespaceOfProcess(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.namespaces["a"].ID() != own.ID() || r.pids[0] != os.Getpid() {
		t.Errorf("the peer is process %d in %v, want %d in %v", r.pids[0], r.namespaces["a"].ID(), os.Getpid(), own.ID())
	}
}

func TestContainerEndsWithItsLease(t *testing.T) {
	r := newRecord()
	runDir, _ := serve(t, r)
	released, err := NewClient(runDir).Register(t.Context(), ContainerSpec{Name: "released"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	dropped, err := NewClient(runDir).Register(ctx, ContainerSpec{Name: "dropped"})
	if err != nil {
		t.Fatal(err)
	}
	cancel() // bounds the registration only
	time.Sleep(20 * time.Millisecond)
	if err := released.Release(t.Context()); err != nil {
		t.Error(err)
	}
	if got := strings.Join(r.ended(), " "); got != "released" {
		t.Errorf("ended: %q", got)
	}
	dropped.body.Close()
	waitFor(t, "both have ended", func() bool { return len(r.ended()) == 2 })
	if err := released.Release(t.Context()); !errors.Is(err, ErrNotFound) {
		t.Errorf("released twice: %v", err)
	}
}

func TestContainersOutliveTheServer(t *testing.T) {
	r := newRecord()
	runDir, stop := serve(t, r)
	lease, err := NewClient(runDir).Register(t.Context(), ContainerSpec{Name: "a"})
	if err != nil {
		t.Fatal(err)
	}
	stop()
	select {
	case <-lease.Lost():
	case <-time.After(5 * time.Second):
		t.Error("the holder does not learn that the router is gone")
	}
	if got := r.ended(); len(got) > 0 {
		t.Errorf("the server's end unregistered %v", got)
	}
	if _, err := NewClient(runDir).Status(t.Context()); !errors.Is(err, ErrNotRunning) {
		t.Errorf("after the end: %v", err)
	}
}

func TestErrorsKeepTheirKind(t *testing.T) {
	for _, kind := range []error{ErrInvalid, ErrConflict, ErrNotFound, ErrForbidden} {
		r := newRecord()
		r.refuse = fmt.Errorf("name a is taken: %w", kind)
		runDir, stop := serve(t, r)
		_, err := NewClient(runDir).Register(t.Context(), ContainerSpec{})
		var remote *RemoteError
		if !errors.Is(err, kind) || !errors.As(err, &remote) || !strings.HasPrefix(remote.Message, "name a is taken") {
			t.Errorf("%v came back as %v", r.refuse, err)
		}
		stop()
	}
}

func TestOneRouterPerRunDirectory(t *testing.T) {
	runDir, stop := serve(t, newRecord())
	if _, err := Listen(runDir, newRecord(), slog.Default()); err == nil || !strings.Contains(err.Error(), "another router") {
		t.Errorf("a second router: %v", err)
	}
	stop()
	// What a killed router leaves is no hindrance.
	if err := os.WriteFile(SocketPath(runDir), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	l, lock, err := listen(runDir)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	defer l.Close()
	if st, err := os.Stat(SocketPath(runDir)); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("the socket's mode is %v, %v", st.Mode(), err)
	}
}

// Another user gets no answer, even where the socket's mode would let it in.
func TestOtherUsersAreRefused(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("this test becomes another user: run it as root")
	}
	runDir, _ := serve(t, newRecord())
	if err := os.Chmod(runDir, 0o755); err != nil {
		t.Fatal(err)
	}
	for mode, want := range map[os.FileMode]string{0o600: "run this as root", 0o666: "may not use the admin socket"} {
		if err := os.Chmod(SocketPath(runDir), mode); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("/proc/self/exe", "-test.run=^TestAsAnotherUser$")
		cmd.Env = append(os.Environ(), "FREEFLOW_TEST_RUN_DIR="+runDir)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), want) {
			t.Errorf("mode %v: %v: %s, want %q", mode, err, out, want)
		}
	}
}

// TestAsAnotherUser is the other user of the test above.
func TestAsAnotherUser(t *testing.T) {
	runDir := os.Getenv("FREEFLOW_TEST_RUN_DIR")
	if runDir == "" {
		return
	}
	_, err := NewClient(runDir).Containers(t.Context())
	fmt.Println(err)
}

func TestUselessRequests(t *testing.T) {
	runDir, _ := serve(t, newRecord())
	c := NewClient(runDir)
	if _, err := c.do(t.Context(), "POST", "containers", "no object"); !errors.Is(err, ErrInvalid) {
		t.Errorf("a body that is no spec: %v", err)
	}
	if _, err := c.do(t.Context(), "POST", "containers", strings.Repeat("x", maxRequest+1)); !errors.Is(err, ErrInvalid) {
		t.Errorf("a body that is too long: %v", err)
	}
	if resp, err := c.do(t.Context(), "GET", "nothing", nil); err == nil {
		body, _ := io.ReadAll(resp.Body)
		t.Errorf("an unknown path was answered: %s", body)
	}
}

func TestLongPathsAreNamed(t *testing.T) {
	runDir := "/tmp/" + strings.Repeat("x", 120)
	if _, err := NewClient(runDir).Status(t.Context()); err == nil || !strings.Contains(err.Error(), "shorter --run-dir") {
		t.Errorf("client: %v", err)
	}
	if _, err := Listen(runDir, newRecord(), slog.Default()); err == nil || !strings.Contains(err.Error(), "shorter --run-dir") {
		t.Errorf("server: %v", err)
	}
}

func waitFor(t *testing.T, what string, check func() bool) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if check() {
			return
		}
	}
	t.Fatalf("waited in vain: %s", what)
}
