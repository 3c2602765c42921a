package cluster

import (
	"strings"
	"testing"
	"time"

	"github.com/freeflow-rdma/freeflow/test/host"
)

// TestRevokedRegion takes a memory region out of the reach of a peer on another host that writes to it.
func TestRevokedRegion(t *testing.T) {
	defer took(t)()
	c := host.StartCluster(t, 2, host.Shape{})
	_, client := traffic(t, c, "-w")
	var id string
	for line := range strings.Lines(c.Hosts[0].Freeflow(t, "get", "mrs")) {
		if f := strings.Fields(line); strings.HasPrefix(f[0], "host1/") {
			id = f[0]
		}
	}
	if id == "" {
		t.Fatalf("no memory region in:\n%s", c.Hosts[0].Freeflow(t, "get", "mrs"))
	}
	host.Eventually(t, "the orchestrator knows the region", 5*time.Second, func() error {
		return rowHas(c.Freeflow("get", "mrs"), id, id)
	})
	start := time.Now()
	t.Log(c.Freeflow("delete", "mr", id))
	wantErrors(t, "client", client, access)
	t.Logf("the client had ended %.2f s after the order, with: %s", time.Since(start).Seconds(), client.Output())
	wantGone := func() error {
		if rowHas(c.Freeflow("get", "mrs"), id, id) == nil {
			return missing{c.Freeflow("get", "mrs"), id, "gone"}
		}
		return nil
	}
	host.Eventually(t, "the region is gone", 5*time.Second, wantGone)
}
