package cluster

import (
	"syscall"
	"testing"
	"time"

	"github.com/freeflow-rdma/freeflow/test/host"
)

// TestPausedRouter stops a requester's router for longer than the retry time, as a machine with too much to do does. The peer has answered in
// the meantime: nothing may break.
func TestPausedRouter(t *testing.T) {
	defer took(t)()
	c := host.StartCluster(t, 2, host.Shape{})
	for _, options := range [][]string{{"-o"}, {"-w"}, {"-o", "-e", "-q", "16"}} {
		server, client := traffic(t, c, append(options, "-d", "3")...)
		pid := c.Hosts[1].RouterPID()
		if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		time.Sleep(1200 * time.Millisecond)
		if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		t.Logf("%v: %s", options, client.Succeed(t)+server.Succeed(t))
	}
	wantLife(t, c)
}
