package e2e

import (
	"fmt"
	"testing"
	"time"

	"github.com/freeflow-rdma/freeflow/test/host"
)

// TestNothingLeaks makes and unmakes 10,000 registrations, 10,000 queue pairs and 1,000 contexts, in one program each and again, and holds the
// router's memory, descriptors, threads and mappings after the second time against those after the first.
func TestNothingLeaks(t *testing.T) {
	h := host.Start(t, "auto")
	churn := host.Program(t, "churn")
	for _, what := range []row{{churn, "mrs", "10000"}, {churn, "qps", "10000"}, {churn, "contexts", "1000"}} {
		t.Run(what[1], func(t *testing.T) {
			h.Run(t, host.Options{}, what...)
			settled := usage(t, h)
			h.Run(t, host.Options{}, what...)
			h.Wait("the router is where it was", 30*time.Second, func() error {
				u := usage(t, h)
				if u.Files > settled.Files || u.Threads > settled.Threads+3 || u.Maps > settled.Maps+50 || u.RSS > settled.RSS+16<<10 {
					return fmt.Errorf("before: %v; after: %v", settled, u)
				}
				t.Logf("before: %v; after: %v", settled, u)
				return nil
			})
		})
	}
	h.RouterAlive(t)
}

// usage is what the router holds once the last container has gone.
func usage(t *testing.T, h *host.Host) host.Usage {
	t.Helper()
	h.Wait("nothing is left", 15*time.Second, h.Left)
	return host.UsageOf(t, h.RouterPID())
}

// TestHundredContainers starts a hundred at once, each of which opens the device.
func TestHundredContainers(t *testing.T) {
	h := host.Start(t, "auto")
	host.Need(t, "ibv_devinfo")
	var all []*host.Running
	for range 100 {
		all = append(all, h.Start(t, host.Options{}, "ibv_devinfo"))
	}
	for _, r := range all {
		r.Succeed(t)
	}
	h.Wait("nothing is left", 60*time.Second, h.Left)
	h.RouterAlive(t)
}
