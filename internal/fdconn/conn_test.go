package fdconn

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// pair gives a Conn and a plain connection to it.
func pair(t *testing.T) (*Conn, *net.UnixConn) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	l, err := Listen(path, 0o666)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := net.DialUnix("unixpacket", nil, &net.UnixAddr{Name: path, Net: "unixpacket"})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close(); conn.Close() })
	return conn, client
}

// openFiles counts this process' descriptors.
func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

func TestReceive(t *testing.T) {
	conn, client := pair(t)
	for _, size := range []int{1, usual, usual + 1, MaxMessage} {
		want := bytes.Repeat([]byte{byte(size), 7}, size)[:size]
		if _, err := client.Write(want); err != nil {
			t.Fatal(err)
		}
		if got, err := conn.Receive(); err != nil || !bytes.Equal(got, want) {
			t.Errorf("received %d bytes, %v, want %d", len(got), err, size)
		}
	}
}

func TestReceiveRefuses(t *testing.T) {
	tests := []struct {
		name string
		send func(c *net.UnixConn) error
		want error
	}{
		{"too long", func(c *net.UnixConn) error { _, err := c.Write(make([]byte, MaxMessage+1)); return err }, ErrMalformed},
		{"empty", func(c *net.UnixConn) error { _, _, err := c.WriteMsgUnix(nil, nil, nil); return err }, io.EOF},
		{"closed", func(c *net.UnixConn) error { return c.Close() }, io.EOF},
	}
	for _, tt := range tests {
		conn, client := pair(t)
		if err := tt.send(client); err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		if _, err := conn.Receive(); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
}

// TestReceiveDropsDescriptors: what a client sends along never becomes a descriptor here.
func TestReceiveDropsDescriptors(t *testing.T) {
	conn, client := pair(t)
	file, err := os.Open("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	fds := make([]int, 253) // SCM_MAX_FD
	for i := range fds {
		fds[i] = int(file.Fd())
	}
	before := openFiles(t)
	if _, _, err := client.WriteMsgUnix([]byte("x"), unix.UnixRights(fds...), nil); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Receive(); !errors.Is(err, ErrMalformed) {
		t.Errorf("error %v, want ErrMalformed", err)
	}
	if after := openFiles(t); after != before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}

func TestReceiveDeadlineAndClose(t *testing.T) {
	conn, _ := pair(t)
	if err := conn.SetReceiveDeadline(time.Now().Add(10 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Receive(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("error %v, want deadline", err)
	}
	if err := conn.SetReceiveDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(10*time.Millisecond, func() { conn.Close() })
	if _, err := conn.Receive(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("error %v, want closed", err)
	}
}

func TestSend(t *testing.T) {
	conn, client := pair(t)
	file, err := os.CreateTemp(t.TempDir(), "f")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := conn.Send([]byte("hello"), file, file); err != nil {
		t.Fatal(err)
	}
	b, oob := make([]byte, 64), make([]byte, 64)
	n, oobn, _, _, err := client.ReadMsgUnix(b, oob)
	if err != nil || string(b[:n]) != "hello" {
		t.Fatalf("read %q, %v", b[:n], err)
	}
	messages, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil || len(messages) != 1 {
		t.Fatalf("%d control messages, %v", len(messages), err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 2 {
		t.Fatalf("%d descriptors, %v", len(fds), err)
	}
	for _, fd := range fds {
		unix.Close(fd)
	}
}

// TestSendToSilence: a client that reads nothing costs a bounded time.
func TestSendToSilence(t *testing.T) {
	conn, _ := pair(t)
	var err error
	for i := 0; i < 1000 && err == nil; i++ {
		err = conn.Send(make([]byte, 64<<10))
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("error %v, want deadline", err)
	}
}

func TestPeer(t *testing.T) {
	conn, _ := pair(t)
	p, err := conn.Peer()
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if p.PID != os.Getpid() || p.UID != uint32(os.Getuid()) || p.GID != uint32(os.Getgid()) {
		t.Errorf("peer %+v", p)
	}
	if err := p.Alive(); err != nil {
		t.Error(err)
	}
}

func TestListen(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "router.sock")
	if err := os.WriteFile(path, nil, 0o600); err != nil { // what a killed router left
		t.Fatal(err)
	}
	l, err := Listen(path, 0o666)
	if err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(path); err != nil || st.Mode() != os.ModeSocket|0o666 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("accept after close: %v", err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	_, err = Listen(filepath.Join(dir, strings.Repeat("x", 100)), 0o666)
	if err == nil || !strings.Contains(err.Error(), "shorter run directory") {
		t.Errorf("long path: %v", err)
	}
}

func TestOpString(t *testing.T) {
	if got := fmt.Sprint(OpOpen, OpCMCommand, Op(0), Op(10), Op(1<<31)); got != "OPEN CM_COMMAND op 0 op 10 op 2147483648" {
		t.Error(got)
	}
}
