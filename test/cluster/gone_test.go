package cluster

import (
	"strings"
	"testing"
	"time"

	"github.com/freeflow-rdma/freeflow/test/host"
)

// TestGoneHost kills a host, that is its router and all its containers, and waits for the lease to end: peers elsewhere get errors, also those
// that would wait for ever.
func TestGoneHost(t *testing.T) {
	defer took(t)()
	const lease = 2 * time.Second
	c := host.StartCluster(t, 2, host.Shape{Orchestrator: []string{"--host-ttl", lease.String()}})
	server, client := between(c, 0, 1).start(t, host.Program(t, "gone"))
	client.WaitFor(t, "running")
	start := time.Now()
	c.Hosts[0].KillRouter()
	server.KillProgram(t)
	server.Kill()
	other := c.Hosts[1]
	other.Wait("the host is gone", hears, func() error {
		return rowHas(other.Freeflow(t, "get", "hosts"), "host1", "gone")
	})
	t.Logf("gone %.2f s after it was killed; its lease is %s", time.Since(start).Seconds(), lease)
	client.Within(hears)
	cases(t, client, 4)
	t.Logf("all queue pairs had heard %.2f s after the host was killed", time.Since(start).Seconds())

	c.Hosts[0].StartRouter()
	other.Wait("the host is back", hears, func() error { return rowHas(other.Freeflow(t, "get", "hosts"), "host1", "ready") })
	between(c, 0, 1).succeed(t, host.Program(t, "traffic"), "-d", "1")
	if err := rowHas(c.Freeflow("get", "hosts"), "host1", "ready"); err != nil {
		t.Error(err)
	}
	wantLife(t, c)
}

// rowHas checks that the line of a table that begins with a name has a word.
func rowHas(table, name, word string) error {
	for line := range strings.Lines(table) {
		if f := strings.Fields(line); len(f) > 0 && f[0] == name {
			for _, x := range f {
				if x == word {
					return nil
				}
			}
		}
	}
	return missing{table, name, word}
}

type missing struct{ table, name, word string }

func (m missing) Error() string { return "no " + m.name + " that is " + m.word + " in:\n" + m.table }
