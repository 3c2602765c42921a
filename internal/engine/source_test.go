package engine

import (
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// reader counts the bytes that arrive, one a call, and sends them on by its worker's egress.
type reader struct {
	fd    int
	out   *collector
	calls atomic.Int64
	worth int // as if it were so many bytes
}

func (r *reader) Ready(*Worker) (bytes int) {
	var b [1]byte
	if n, err := unix.Read(r.fd, b[:]); err == nil && n == 1 {
		r.calls.Add(1)
		r.out.held++
		return r.worth
	}
	return 0
}

// collector is an egress that counts what it was left.
type collector struct {
	held int // the worker's
	sent atomic.Int64
}

func (c *collector) Pressed() bool { return false }

func (c *collector) Flush() {
	c.sent.Add(int64(c.held))
	c.held = 0
}

// TestModeration: a source that brings much is looked at by timer, misses nothing, and is watched again when it has become quiet.
func TestModeration(t *testing.T) {
	e, err := New(slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	w := e.cores[0]
	out := &collector{}
	e.SetEgress(func(o *Worker) Egress {
		if o == w {
			return out
		}
		return &collector{}
	})
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(p[0])
	defer unix.Close(p[1])
	r := &reader{fd: p[0], out: out, worth: moderateBegin}
	if err := e.Watch(0, p[0], r); err != nil {
		t.Fatal(err)
	}
	sent := int64(0)
	send := func() {
		t.Helper()
		if _, err := unix.Write(p[1], []byte("x")); err != nil {
			t.Fatal(err)
		}
		sent++
		eventually(t, "what was sent", func() bool { return r.calls.Load() == sent })
	}
	for w.Moderated.Load() == 0 {
		send()
	}
	eventually(t, "something that is found by a look", func() bool {
		before := w.Arrivals.Load()
		send()
		return w.Arrivals.Load() == before
	})
	eventually(t, "watching it again", func() bool {
		before := w.Arrivals.Load()
		send()
		time.Sleep(5 * time.Millisecond)
		return w.Arrivals.Load() > before
	})
	for n := w.Moderated.Load(); w.Moderated.Load() == n; {
		send()
	}
	e.Forget(0, p[0]) // while it is looked at
	if _, err := unix.Write(p[1], []byte("late")); err != nil {
		t.Fatal(err)
	}
	time.Sleep(10 * time.Millisecond)
	if n := r.calls.Load(); n != sent {
		t.Error("a forgotten source was served")
	}
}

// TestSource: a readable descriptor is served until it is empty, on its worker, and what that leaves is sent before the worker sleeps.
func TestSource(t *testing.T) {
	e, err := New(slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	out := make([]*collector, e.Workers())
	e.SetEgress(func(w *Worker) Egress {
		out[w.Index()] = &collector{}
		return out[w.Index()]
	})
	core := len(e.CPUs()) - 1
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(p[0])
	defer unix.Close(p[1])
	r := &reader{fd: p[0], out: out[core]}
	if err := e.Watch(core, p[0], r); err != nil {
		t.Fatal(err)
	}
	if _, err := unix.Write(p[1], []byte("five!")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "five bytes", func() bool { return out[core].sent.Load() == 5 })
	if n := r.calls.Load(); n != 5 {
		t.Errorf("%d reads, want 5", n)
	}
	e.Forget(core, p[0])
	if _, err := unix.Write(p[1], []byte("late")); err != nil {
		t.Fatal(err)
	}
	time.Sleep(10 * time.Millisecond)
	if n := r.calls.Load(); n != 5 {
		t.Errorf("a forgotten source was served")
	}
}
