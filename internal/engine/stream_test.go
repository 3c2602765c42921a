package engine

import "testing"

// TestStreamTrial: a program that rings quickly is tried; finding a stream keeps the polling, finding one message at a look does not, and makes
// the next trial rarer.
func TestStreamTrial(t *testing.T) {
	var s stream
	now := int64(quickWake)
	woken := func() bool {
		now += quickWake - 1
		return s.woken(now)
	}
	s.last = now
	trials := func(n int) (at []int) {
		for i := range n {
			if woken() {
				at = append(at, i+1)
				s.looked(0)
				s.messages = 1 // a ping-pong: one message a look
				if s.looked(0) {
					t.Fatal("polling goes on for a ping-pong")
				}
			}
		}
		return at
	}
	got := trials(16 + 32 + 64)
	if len(got) != 3 || got[0] != 16 || got[1] != 48 || got[2] != 112 {
		t.Fatalf("trials after %v quick wake-ups, want 16, 48, 112", got)
	}
	for !woken() {
	}
	s.looked(0)
	for range 100 {
		s.messages = 50
		if !s.looked(0) {
			t.Fatal("polling ended in a stream")
		}
	}
	for i := 1; ; i++ {
		if !s.looked(0) {
			if i != idleTicks {
				t.Fatalf("polling ended %d empty looks after the stream, want %d", i, idleTicks)
			}
			break
		}
	}
}

// TestBulkIsAStream: what moves much is a stream for a while, however few its messages are.
func TestBulkIsAStream(t *testing.T) {
	s := stream{bulk: 1000}
	s.begin()
	for now := range int64(1000) {
		if !s.looked(now) {
			t.Fatalf("polling ended at %d", now)
		}
	}
	looks := 1
	for s.looked(1000) {
		looks++
	}
	if looks != 1+idleTicks {
		t.Errorf("polling ended after %d more looks, want %d", looks, 1+idleTicks)
	}
}

func TestSlowRingsAreNoStream(t *testing.T) {
	var s stream
	for i := range 10_000 {
		if s.woken(int64(i+1) * quickWake) {
			t.Fatal("a trial without quick wake-ups")
		}
	}
}

// TestQuiet: needless wake-ups are muted for ever longer pauses, and a message makes up for all.
func TestQuiet(t *testing.T) {
	var q quiet
	var pauses []int64
	for range 7 * needlessWakes {
		if p := q.woken(); p > 0 {
			pauses = append(pauses, p)
		}
	}
	want := []int64{pauseMin, 2 * pauseMin, 4 * pauseMin, 8 * pauseMin, pauseMax, pauseMax, pauseMax}
	if len(pauses) != len(want) {
		t.Fatalf("%d pauses, want %d", len(pauses), len(want))
	}
	for i := range want {
		if pauses[i] != want[i] {
			t.Fatalf("pauses %v, want %v", pauses, want)
		}
	}
	q.done = 1
	if q.woken() != 0 || q.pause != 0 {
		t.Fatal("a message did not make up for the past")
	}
}

// TestQuietHeld: a program whose work is held back may ring as often as it can post, but not for ever; a message done ends a mute.
func TestQuietHeld(t *testing.T) {
	var q quiet
	for i := range heldWakes - 1 {
		q.held = true
		if q.woken() != 0 {
			t.Fatalf("muted after %d", i)
		}
	}
	for i := 0; ; i++ {
		q.held = true
		if q.woken() > 0 {
			break
		}
		if i > needlessWakes {
			t.Fatal("never muted")
		}
	}
	if q.lifted() {
		t.Error("lifted for nothing")
	}
	if q.done = 1; !q.lifted() || q.woken() != 0 || q.waits != 0 {
		t.Error("a message changes nothing")
	}
}
