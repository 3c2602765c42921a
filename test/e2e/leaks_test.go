package e2e

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/freeflow-rdma/freeflow/test/host"
)

// returns checks that the router gets back to what it held, with some room for what a runtime keeps.
func returns(t *testing.T, h *host.Host, before host.Usage) {
	t.Helper()
	const slackRSS, slackThreads, slackMaps = 24 << 10, 6, 12
	host.Eventually(t, "the router holds what it held", 15*time.Second, func() error {
		after := host.UsageOf(t, h.RouterPID())
		if after.Files > before.Files || after.Threads > before.Threads+slackThreads ||
			after.Maps > before.Maps+slackMaps || after.RSS > before.RSS+slackRSS {
			return fmt.Errorf("before %v, after %v", before, after)
		}
		return nil
	})
	t.Logf("before %v, after %v", before, host.UsageOf(t, h.RouterPID()))
}

// TestNothingLeaks makes and ends 10,000 registrations, 10,000 queue pairs and 1,000 contexts in one program, after a tenth of
// that has made the router as big as it gets.
func TestNothingLeaks(t *testing.T) {
	h := host.Start(t, "auto")
	leaks := host.Program(t, "leaks")
	h.Run(t, host.Options{}, leaks, "all", "1000")
	before := host.UsageOf(t, h.RouterPID())
	cases(t, h.Start(t, host.Options{Time: 2 * time.Minute}, leaks, "all", "10000"), 4)
	returns(t, h, before)
}

// TestNothingLeaksWhenKilled does so with programs that are killed in the middle.
func TestNothingLeaksWhenKilled(t *testing.T) {
	h := host.Start(t, "auto")
	leaks := host.Program(t, "leaks")
	abandon := func() {
		if code := h.Start(t, host.Options{}, leaks, "abandon", "20").Wait(t); code != 128+9 {
			t.Fatalf("exit status %d", code)
		}
	}
	for range 8 { // numbers are used in turn: the tables of them grow at first
		abandon()
	}
	h.Wait("nothing is left", 15*time.Second, h.Left)
	before := host.UsageOf(t, h.RouterPID())
	for range 12 {
		abandon()
	}
	h.Wait("nothing is left", 15*time.Second, h.Left)
	returns(t, h, before)
}

// TestIdle logs what the router uses while ten containers have queue pairs and nothing to do. The bar is 1 % of a core; what
// fails the test is three times that, since others may use the machine.
func TestIdle(t *testing.T) {
	for _, mode := range []string{"auto", "low"} {
		t.Run(mode, func(t *testing.T) {
			h := host.Start(t, mode)
			victim := host.Program(t, "victim")
			for range 10 {
				h.Start(t, host.Options{}, victim).WaitFor(t, "memory")
			}
			time.Sleep(500 * time.Millisecond)
			const watched = 3 * time.Second
			before := host.CPUTime(t, h.RouterPID())
			time.Sleep(watched)
			used := host.CPUTime(t, h.RouterPID()) - before
			percent := 100 * used.Seconds() / watched.Seconds()
			t.Logf("the router uses %.2f %% of a core (%v in %v)", percent, used, watched)
			if percent >= 3 {
				t.Errorf("the router uses %.2f %% of a core while nothing happens", percent)
			}
		})
	}
}

// TestHundred runs a hundred containers at once.
func TestHundred(t *testing.T) {
	host.Need(t, "ibv_devinfo")
	h := host.Start(t, "auto")
	const n = 100
	start := time.Now()
	var running []*host.Running
	for range n {
		running = append(running, h.Start(t, host.Options{Time: 2 * time.Minute}, "sh", "-c", "ibv_devinfo && exec sleep 1"))
	}
	for _, r := range running {
		r.Succeed(t)
	}
	t.Logf("%d containers in %s", n, time.Since(start).Round(10*time.Millisecond))
	h.Wait("nothing is left", 10*time.Second, h.Left)
}

// TestNothingStays kills runners, programs and the router at once, in every order that comes of it: the next router leaves
// nothing of them.
func TestNothingStays(t *testing.T) {
	h := host.Start(t, "auto")
	victim := host.Program(t, "victim")
	var running []*host.Running
	for range 8 {
		r := h.Start(t, host.Options{}, victim)
		r.WaitFor(t, "memory")
		running = append(running, r)
	}
	for _, r := range running[:4] {
		go r.Kill()
	}
	h.KillRouter()
	for _, r := range running[4:] {
		r.Kill()
	}
	for _, r := range running[:4] {
		r.Kill()
	}
	pids, err := os.ReadDir(h.RunDir + "/containers")
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d directories are left for the next router", len(pids))
	h.StartRouter()
	// A container that was still dying at the start is waited for, 30 seconds.
	h.Wait("nothing is left", host.GivenUp, h.Left)
	between(t, h, row{"ibv_rc_pingpong", "-g", "1", "-n", "100", "-c"})
}
