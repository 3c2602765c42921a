package e2e

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/freeflow-rdma/freeflow/test/host"
)

// hostileSeconds is how long a hostile container is at it: 3, or what FF_HOSTILE_SECONDS says (60 for acceptance).
func hostileSeconds(t *testing.T) int {
	t.Helper()
	text := os.Getenv("FF_HOSTILE_SECONDS")
	if text == "" {
		return 3
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("FF_HOSTILE_SECONDS=%q is no number of seconds", text)
	}
	return n
}

// healthy runs a checking pair for some seconds and gives what it moved in MB/s. It fails the test if a byte was wrong.
func healthy(t *testing.T, h *host.Host, seconds int) float64 {
	t.Helper()
	client, server := pair(t, h, []string{"-d", strconv.Itoa(seconds), "-s", "65536", "-o"})
	limit := time.Duration(seconds+30) * time.Second
	client.Within(limit).Succeed(t)
	out := server.Within(limit).Succeed(t)
	var messages, wrong uint64
	var rate float64
	line := out[strings.Index(out, "moved"):]
	if _, err := fmt.Sscanf(line, "moved %d messages, %f MB/s, wrong %d", &messages, &rate, &wrong); err != nil || wrong != 0 || messages < 1000 {
		t.Fatalf("the healthy pair: %v\n%s", err, out)
	}
	return rate
}

// TestHostile lets a container do its worst beside a pair that checks every byte: the router lives, the pair's data stay right, and it gets on.
func TestHostile(t *testing.T) {
	h := host.Start(t, "auto")
	hostile := host.Program(t, "attack")
	seconds := hostileSeconds(t)
	alone := healthy(t, h, 3)
	for _, what := range []string{"scribble", "commands", "rings"} {
		t.Run(what, func(t *testing.T) {
			bad := h.Start(t, host.Options{Time: time.Duration(seconds+60) * time.Second}, hostile, what, strconv.Itoa(seconds+1))
			bad.WaitFor(t, "at it")
			beside := healthy(t, h, seconds)
			t.Logf("healthy pair: alone %.0f MB/s, beside %.0f MB/s, ratio %.2f; %s", alone, beside, beside/alone, last(bad.Succeed(t)))
			h.RouterAlive(t)
		})
	}
	between(t, h, row{"ibv_rc_pingpong", "-g", "1", "-n", "1000", "-c"})
	h.Wait("nothing is left", 30*time.Second, h.Left)
}

func last(out string) string {
	lines := strings.Split(strings.TrimSpace(out), "\n")
	return lines[len(lines)-1]
}

// TestForeignKeys uses another container's registration from queue pairs of one's own, with the right key and its neighbours.
func TestForeignKeys(t *testing.T) {
	h := host.Start(t, "auto")
	hostile := host.Program(t, "attack")
	victim := h.Start(t, host.Options{}, hostile, "victim")
	victim.WaitFor(t, "key ")
	var key, address string
	if _, err := fmt.Sscanf(victim.Output()[strings.Index(victim.Output(), "key "):], "key %s %s", &key, &address); err != nil {
		t.Fatalf("%v: %s", err, victim.Output())
	}
	out := h.Run(t, host.Options{}, hostile, "keys", key, address)
	if !strings.Contains(out, "no key opens") {
		t.Error(out)
	}
	time.Sleep(200 * time.Millisecond)
	if strings.Contains(victim.Output(), "written") {
		t.Error(victim.Output())
	}
}
