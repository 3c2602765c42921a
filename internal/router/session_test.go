package router

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/freeflow-rdma/freeflow/internal/fdconn"
	"github.com/freeflow-rdma/freeflow/internal/uapi"
	"github.com/freeflow-rdma/freeflow/internal/vnet"
)

// world is a server on a socket, with this test's own namespace as its one tenant.
type world struct {
	*server
	dev  *fakeDevice
	cm   *fakeCM
	path string
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := newEmptyWorld(t)
	w.addTenant(testContainer, ownNamespace(t))
	return w
}

// newEmptyWorld is one without a tenant: this process is a stranger there.
func newEmptyWorld(t testing.TB) *world {
	t.Helper()
	dev, cm := &fakeDevice{t: t}, &fakeCM{}
	w := &world{server: newServer(dev, cm, slog.New(slog.DiscardHandler)), dev: dev, cm: cm, path: filepath.Join(t.TempDir(), SocketName)}
	l, err := fdconn.Listen(w.path, 0o666)
	if err != nil {
		t.Fatal(err)
	}
	var accepting sync.WaitGroup
	accepting.Go(func() { w.serve(l) })
	t.Cleanup(func() {
		l.Close()
		accepting.Wait()
		w.close()
		if n := dev.open.Load(); n != 0 {
			t.Errorf("%d contexts are left open", n)
		}
	})
	return w
}

func ownNamespace(t testing.TB) vnet.NamespaceID {
	ns, err := vnet.NamespaceOfProcess(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	return ns.ID()
}

// client is a program's side of a connection.
type client struct {
	t   testing.TB
	c   *net.UnixConn
	seq uint64
}

func (w *world) dial(t testing.TB) *client {
	t.Helper()
	c, err := net.DialUnix("unixpacket", nil, &net.UnixAddr{Name: w.path, Net: "unixpacket"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &client{t: t, c: c}
}

// ask sends a request and reads its reply; descriptors that come along are closed and counted.
func (c *client) ask(op fdconn.Op, body ...[]byte) (reply []byte, errno syscall.Errno, files int) {
	c.t.Helper()
	c.seq += 1 << 31
	if _, err := c.c.Write(requestBytes(op, c.seq, bytes.Join(body, nil))); err != nil {
		c.t.Fatal(err)
	}
	b, oob := make([]byte, fdconn.MaxMessage), make([]byte, 1024)
	n, oobn, _, _, err := c.c.ReadMsgUnix(b, oob)
	if err != nil {
		c.t.Fatalf("%v: %v", op, err)
	}
	for _, fd := range descriptorsIn(c.t, oob[:oobn]) {
		files++
		unix.Close(fd)
	}
	le := binary.LittleEndian
	if le.Uint32(b) != uint32(op) || int(le.Uint32(b[4:])) != n-16 || le.Uint32(b[12:]) != uint32(c.seq) {
		c.t.Fatalf("%v: reply header %x of %d bytes", op, b[:16], n)
	}
	return b[16:n], syscall.Errno(le.Uint32(b[8:])), files
}

func requestBytes(op fdconn.Op, seq uint64, body []byte) []byte {
	b := binary.LittleEndian.AppendUint32(nil, uint32(op))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(body)))
	return append(binary.LittleEndian.AppendUint64(b, seq), body...)
}

func descriptorsIn(t testing.TB, oob []byte) (fds []int) {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range messages {
		got, err := unix.ParseUnixRights(&m)
		if err != nil {
			t.Fatal(err)
		}
		fds = append(fds, got...)
	}
	return fds
}

func words(v ...uint64) (b []byte) {
	for _, x := range v {
		b = binary.LittleEndian.AppendUint64(b, x)
	}
	return b
}

var openBody = words(fdconn.ABIVersion)

// open opens a context and gives its ID and token.
func (c *client) open() (id uint64, token []byte) {
	c.t.Helper()
	b, errno, files := c.ask(fdconn.OpOpen, openBody)
	if errno != 0 || files != 4 || len(b) != 64+2 {
		c.t.Fatalf("OPEN: %v, %d descriptors, %x", errno, files, b)
	}
	return binary.LittleEndian.Uint64(b[8:]), b[16:32]
}

func (c *client) command(w write) ([]byte, syscall.Errno, int) {
	c.t.Helper()
	cmd := w.bytes()
	head := binary.LittleEndian.AppendUint32(words(0), uint32(len(cmd)))
	head = binary.LittleEndian.AppendUint32(head, 0)
	return c.ask(fdconn.OpCommand, head, cmd, make([]byte, -len(cmd)&7))
}

func expect(t testing.TB, what string, got, want syscall.Errno) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

func TestSession(t *testing.T) {
	w := newWorld(t)
	c := w.dial(t)
	_, errno, _ := c.ask(fdconn.OpMemAlloc, words(1))
	expect(t, "MEM_ALLOC before OPEN", errno, syscall.EINVAL)
	_, errno, _ = c.ask(fdconn.OpOpen, words(2))
	expect(t, "OPEN of version 2", errno, syscall.EPROTONOSUPPORT)
	_, errno, _ = c.ask(fdconn.OpOpen, words(1|1<<32))
	expect(t, "OPEN with flags", errno, syscall.EINVAL)
	_, errno, _ = c.ask(fdconn.OpOpen, words(1, 0))
	expect(t, "OPEN too long", errno, syscall.EINVAL)
	c.open()
	_, errno, _ = c.ask(fdconn.OpOpen, openBody)
	expect(t, "second OPEN", errno, syscall.EINVAL)

	b, errno, files := c.command(write{cmd: uapi.CmdGetContext, req: uapi.GetContext{}, room: 8})
	if errno != 0 || files != 1 || !bytes.Equal(b, words(1<<32)) {
		t.Errorf("GET_CONTEXT: %v, %d descriptors, %x", errno, files, b)
	}
	b, errno, _ = c.ask(fdconn.OpMemAlloc, words(0x1000))
	if errno != 0 || !bytes.Equal(b, words(0x4000)) {
		t.Errorf("MEM_ALLOC: %v, %x", errno, b)
	}
	_, errno, _ = c.ask(fdconn.OpMemFree, words(0x4000, 0x1000))
	expect(t, "MEM_FREE", errno, 0)
	_, errno, _ = c.ask(fdconn.OpUnshare, words(0x5000, 0x1000))
	expect(t, "UNSHARE", errno, 0)
	_, errno, _ = c.ask(fdconn.OpDoorbell, words(9))
	expect(t, "DOORBELL", errno, 0)
	_, errno, _ = c.ask(fdconn.OpCommand, words(0, 100))
	expect(t, "COMMAND that lies", errno, syscall.EINVAL)
	_, errno, _ = c.ask(99)
	expect(t, "unknown op", errno, syscall.EOPNOTSUPP)

	want := []string{"SetPID true", "AsyncFile", "MemAlloc 0x1000", "MemFree 0x4000 0x1000", "Unshare 0x5000 0x1000", "Ring 9"}
	if got := w.dev.latest().take(); !slices.Equal(got, want) {
		t.Errorf("asked of verbs: %v, want %v", got, want)
	}
}

func TestStranger(t *testing.T) {
	w := newEmptyWorld(t)
	c := w.dial(t)
	_, errno, files := c.ask(fdconn.OpOpen, openBody)
	expect(t, "OPEN of a stranger", errno, syscall.EACCES)
	if files != 0 {
		t.Errorf("%d descriptors", files)
	}
}

func TestJoin(t *testing.T) {
	w := newWorld(t)
	parent, child := w.dial(t), w.dial(t)
	id, token := parent.open()
	wrong := slices.Clone(token)
	wrong[15] ^= 1
	_, errno, _ := child.ask(fdconn.OpJoin, openBody, words(id), wrong)
	expect(t, "JOIN with a wrong token", errno, syscall.EACCES)
	_, errno, _ = child.ask(fdconn.OpJoin, openBody, words(id+1), token)
	expect(t, "JOIN of another context", errno, syscall.EACCES)
	b, errno, files := child.ask(fdconn.OpJoin, openBody, words(id), token)
	if errno != 0 || files != 0 || binary.LittleEndian.Uint64(b[8:]) != id {
		t.Fatalf("JOIN: %v, %d descriptors, %x", errno, files, b)
	}
	ctx := w.dev.latest()
	ctx.take()
	parent.c.Close()
	eventually(t, "the parent's memory is dropped", func() bool { return slices.Equal(ctx.take(), []string{"DropProcess"}) })
	_, errno, _ = child.ask(fdconn.OpDoorbell, words(1))
	expect(t, "DOORBELL of the child", errno, 0)
	ctx.take()
	child.c.Close()
	eventually(t, "the context ends", func() bool { return w.dev.open.Load() == 0 })
	if got := ctx.take(); !slices.Equal(got, []string{"DropProcess", "Close"}) {
		t.Errorf("at the end: %v", got)
	}
	_, errno, _ = w.dial(t).ask(fdconn.OpJoin, openBody, words(id), token)
	expect(t, "JOIN of a closed context", errno, syscall.EACCES)
}

// TestJoinOtherTenant: a token is worth nothing in another container.
func TestJoinOtherTenant(t *testing.T) {
	w := newWorld(t)
	id, token := w.dial(t).open()
	if _, err := w.join(newTenant(testContainer, vnet.NamespaceID{}, 1), id, fdconn.Token(token)); !errors.Is(err, syscall.EACCES) {
		t.Errorf("error %v, want EACCES", err)
	}
}

func eventually(t testing.TB, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not in 5 s: %s", what)
		}
	}
}

// TestRemoveTenant: its programs are told, its contexts are closed when the call returns, and it is a stranger from then on.
func TestRemoveTenant(t *testing.T) {
	w := newWorld(t)
	c := w.dial(t)
	c.open()
	w.dev.latest().take()
	w.removeTenant(testContainer)
	if n := w.dev.open.Load(); n != 0 {
		t.Errorf("%d contexts are open", n)
	}
	if got := w.dev.latest().take(); !slices.Equal(got, []string{"Fatal", "DropProcess", "Close"}) {
		t.Errorf("asked of verbs: %v", got)
	}
	if _, err := c.c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("read: %v, want EOF", err)
	}
	_, errno, _ := w.dial(t).ask(fdconn.OpOpen, openBody)
	expect(t, "OPEN of the removed", errno, syscall.EACCES)
}

func TestLimits(t *testing.T) {
	w := newEmptyWorld(t)
	w.limit = 2
	w.addTenant(testContainer, ownNamespace(t))
	w.dial(t).open()
	second := w.dial(t)
	second.open()
	third := w.dial(t)
	if _, err := third.c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("third connection: %v, want EOF", err)
	}
	second.c.Close()
	eventually(t, "there is room again", func() bool { return w.dev.open.Load() == 1 })
	w.dial(t).open()
	for _, tt := range []struct {
		files uint64
		want  int
	}{{1 << 20, 4096}, {20000, 312}, {10, 1}} {
		if got := perContainer(tt.files); got != tt.want {
			t.Errorf("%d files: %d a container, want %d", tt.files, got, tt.want)
		}
	}
}

// TestSlowClient: one that asks and never reads is dropped, and does not hold up others.
func TestSlowClient(t *testing.T) {
	w := newWorld(t)
	slow, other := w.dial(t), w.dial(t)
	slow.open()
	other.open()
	if err := slow.c.SetWriteDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	var failed error
	for failed == nil {
		_, failed = slow.c.Write(requestBytes(fdconn.OpDoorbell, 0, words(1)))
		if errors.Is(failed, os.ErrDeadlineExceeded) {
			t.Fatal("the slow client is still served")
		}
		begin := time.Now()
		if _, errno, _ := other.ask(fdconn.OpDoorbell, words(1)); errno != 0 || time.Since(begin) > time.Second {
			t.Fatalf("the other client: %v after %v", errno, time.Since(begin))
		}
	}
}

// TestHostileClients sends random bytes, lengths that lie, real commands with flipped bits, and descriptors, and expects
// the server to be as it was before.
func TestHostileClients(t *testing.T) {
	w := newWorld(t)
	honest := w.dial(t)
	honest.open()
	before, goroutines := openFiles(t), runtime.NumGoroutine()
	rng := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		c := w.dial(t)
		if rng.IntN(2) == 0 {
			c.open()
		}
		for range rng.IntN(20) {
			if err := c.misbehave(rng); err != nil {
				break
			}
		}
		c.c.Close()
	}
	eventually(t, "all descriptors are closed", func() bool { return openFiles(t) <= before })
	eventually(t, "all goroutines have ended", func() bool { return runtime.NumGoroutine() <= goroutines })
	_, errno, _ := honest.ask(fdconn.OpDoorbell, words(1))
	expect(t, "DOORBELL of the honest client", errno, 0)
}

// misbehave sends one message that is not as it should be, and reads what comes back, if anything.
func (c *client) misbehave(rng *rand.Rand) error {
	b := make([]byte, rng.IntN(200))
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	var rights []byte
	switch rng.IntN(4) {
	case 0:
		b = requestBytes(fdconn.Op(rng.IntN(9)), rng.Uint64(), b)
	case 1:
		cmd := writes[rng.IntN(len(writes))].bytes()
		cmd[rng.IntN(len(cmd))] ^= 1 << rng.IntN(8)
		body := append(words(rng.Uint64N(2), uint64(len(cmd))), cmd...)
		b = requestBytes(fdconn.OpCommand, 0, append(body, make([]byte, -len(cmd)&7)...))
	case 2:
		rights = unix.UnixRights(0, 0, 0)
	}
	if _, _, err := c.c.WriteMsgUnix(b, rights, nil); err != nil {
		return err
	}
	if err := c.c.SetReadDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
		return err
	}
	oob := make([]byte, 1024)
	_, oobn, _, _, err := c.c.ReadMsgUnix(make([]byte, fdconn.MaxMessage), oob)
	for _, fd := range descriptorsIn(c.t, oob[:oobn]) {
		unix.Close(fd)
	}
	return err
}

func openFiles(t testing.TB) int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// TestThousandOpens: nothing is left of contexts that came and went.
func TestThousandOpens(t *testing.T) {
	w := newWorld(t)
	w.dial(t).open()
	before, goroutines := openFiles(t), runtime.NumGoroutine()
	for range 1000 {
		c := w.dial(t)
		c.open()
		c.c.Close()
	}
	eventually(t, "all contexts are closed", func() bool { return w.dev.open.Load() == 1 })
	eventually(t, "all descriptors are closed", func() bool { return openFiles(t) <= before })
	eventually(t, "all goroutines have ended", func() bool { return runtime.NumGoroutine() <= goroutines })
}
