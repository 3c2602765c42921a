package relay

import (
	"errors"
	"os"
	"sync"
	"testing"
	"time"
)

// Relay is a running wire.
type Relay struct {
	ends [2]*os.File
	ways [2]*way
	done sync.WaitGroup
}

// way is one direction.
type way struct {
	mu      sync.Mutex // held for one frame; others only look at the counts, or change the rates
	mangler *mangler
	from    *os.File
	to      *os.File
}

// patience is how long a frame is held back that no other passes.
const patience = 2 * time.Millisecond

// Start joins the two links by a wire that does what c says, until the test ends. It needs root.
func Start(t testing.TB, c Config, a, b Link) *Relay {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("this test makes network links: run it as root")
	}
	r := &Relay{}
	t.Cleanup(r.close)
	for i, l := range []Link{a, b} {
		if l.Name == "" {
			l.Name = "eth0"
		}
		if l.MTU == 0 {
			l.MTU = 1500
		}
		var err error
		if r.ends[i], err = l.open(); err != nil {
			t.Fatal(err)
		}
	}
	for i := range r.ways {
		r.ways[i] = &way{mangler: newMangler(c, uint64(i)), from: r.ends[i], to: r.ends[1-i]}
		r.done.Go(r.ways[i].run)
	}
	t.Cleanup(func() {
		if t.Failed() {
			ab, ba := r.Counts()
			t.Logf("the wire: a to b %+v, b to a %+v", ab, ba)
		}
	})
	return r
}

// Set changes what the wire does from now on; the seed stays.
func (r *Relay) Set(c Config) {
	for _, w := range r.ways {
		w.mu.Lock()
		w.mangler.Config = c
		w.mu.Unlock()
	}
}

// Counts is what became of the packets of the two directions so far.
func (r *Relay) Counts() (ab, ba Counts) {
	var out [2]Counts
	for i, w := range r.ways {
		if w == nil {
			continue // Start failed
		}
		w.mu.Lock()
		out[i] = w.mangler.Counts
		w.mu.Unlock()
	}
	return out[0], out[1]
}

func (r *Relay) close() {
	for _, end := range r.ends {
		if end != nil {
			end.Close()
		}
	}
	r.done.Wait()
}

// run carries frames until a link is closed.
func (w *way) run() {
	frame := make([]byte, 1<<16)
	waiting := false // frames are held back, and a deadline is set for them
	for {
		n, err := w.from.Read(frame)
		w.mu.Lock()
		switch {
		case err == nil:
			w.mangler.pass(frame[:n], w.emit)
		case errors.Is(err, os.ErrDeadlineExceeded):
			w.mangler.flush(w.emit)
		default:
			w.mu.Unlock()
			return
		}
		holds := len(w.mangler.held) > 0
		w.mu.Unlock()
		if holds == waiting {
			continue
		}
		var deadline time.Time
		if holds {
			deadline = time.Now().Add(patience)
		}
		if err := w.from.SetReadDeadline(deadline); err != nil {
			return
		}
		waiting = holds
	}
}

// emit sends a frame on. A host that cannot take it has lost it, as on any wire.
func (w *way) emit(frame []byte) { _, _ = w.to.Write(frame) }
