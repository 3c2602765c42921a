package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/freeflow-rdma/freeflow/test/host"
)

// cases makes a test of every line "ok NAME" and "not ok NAME: why" that a program of test/programs says.
func cases(t *testing.T, r *host.Running, least int) {
	t.Helper()
	code := r.Wait(t)
	n := 0
	for line := range strings.Lines(r.Output()) {
		line = strings.TrimSpace(line)
		if name, ok := strings.CutPrefix(line, "ok "); ok {
			n++
			t.Run(name, func(*testing.T) {})
		} else if rest, ok := strings.CutPrefix(line, "not ok "); ok {
			n++
			name, why, _ := strings.Cut(rest, ": ")
			t.Run(name, func(t *testing.T) { t.Error(why) })
		} else if rest, ok := strings.CutPrefix(line, "skip "); ok {
			n++
			name, why, _ := strings.Cut(rest, ": ")
			t.Run(name, func(t *testing.T) { host.Skip(t, why) })
		} else if line != "" {
			t.Log(line)
		}
	}
	if n < least {
		t.Errorf("%d cases, expected %d or more", n, least)
	}
	if code != 0 && !t.Failed() {
		t.Errorf("exit status %d\n%s", code, r.Output())
	}
}

func TestErrors(t *testing.T) {
	h := host.Start(t, "auto")
	cases(t, h.Start(t, host.Options{}, host.Program(t, "errors")), 30)
	h.RouterAlive(t)
}

func TestStates(t *testing.T) {
	h := host.Start(t, "auto")
	cases(t, h.Start(t, host.Options{}, host.Program(t, "states")), 13)
	h.RouterAlive(t)
}

// TestMemory registers every kind of memory.
func TestMemory(t *testing.T) {
	h := host.Start(t, "auto")
	cases(t, h.Start(t, host.Options{Time: 2 * time.Minute}, host.Program(t, "memory")), 24)
	h.RouterAlive(t)
}

func TestWindows(t *testing.T) {
	h := host.Start(t, "auto")
	cases(t, h.Start(t, host.Options{}, host.Program(t, "windows")), 7)
	h.RouterAlive(t)
}
