package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/freeflow-rdma/freeflow/internal/admin"
	"github.com/freeflow-rdma/freeflow/test/host"
)

// column gives the first column of a table, without its head.
func column(table string) (names []string) {
	for i, line := range strings.Split(strings.TrimSpace(table), "\n") {
		if f := strings.Fields(line); i > 0 && len(f) > 0 {
			names = append(names, f[0])
		}
	}
	return names
}

// TestClusterLists asks the orchestrator for what there is, and finds there what the routers have.
func TestClusterLists(t *testing.T) {
	c := host.StartCluster(t, 2, host.Shape{})
	victim := host.Program(t, "victim")
	var running []*host.Running
	for i, h := range c.Hosts {
		r := h.Start(t, host.Options{Name: fmt.Sprintf("victim%d", i+1)}, victim)
		r.WaitFor(t, "memory")
		running = append(running, r)
	}
	if got := column(c.Freeflow("get", "hosts")); !slices.Equal(got, []string{"host1", "host2"}) {
		t.Errorf("hosts %q", got)
	}
	if got := column(c.Freeflow("get", "networks")); !slices.Equal(got, []string{"default"}) {
		t.Errorf("networks %q", got)
	}
	if got := column(c.Freeflow("get", "containers")); !slices.Equal(got, []string{"victim1", "victim2"}) {
		t.Errorf("containers %q", got)
	}
	local := append(column(c.Hosts[0].Freeflow(t, "get", "mrs")), column(c.Hosts[1].Freeflow(t, "get", "mrs"))...)
	slices.Sort(local)
	host.Eventually(t, "the orchestrator knows all memory regions", 10*time.Second, func() error {
		all := column(c.Freeflow("get", "mrs"))
		slices.Sort(all)
		if !slices.Equal(all, local) {
			return fmt.Errorf("it knows %q, the routers have %q", all, local)
		}
		return nil
	})
	running[0].Kill()
	host.Eventually(t, "victim1 is stopped", 10*time.Second, func() error {
		var rows []admin.ContainerRow
		if err := json.Unmarshal([]byte(c.Freeflow("get", "containers", "-o", "json")), &rows); err != nil {
			return err
		}
		if len(rows) != 2 || rows[0].State != admin.Stopped || rows[1].State != admin.Running || rows[1].Host != "host2" {
			return fmt.Errorf("containers %+v", rows)
		}
		return nil
	})
}

// TestDeleteMR deletes a memory region by the name that get mrs gives it: it is out of the memory map, and its RKey is void.
func TestDeleteMR(t *testing.T) {
	c := host.StartCluster(t, 1, host.Shape{})
	h := c.Hosts[0]
	h.Start(t, host.Options{}, host.Program(t, "victim")).WaitFor(t, "memory")
	name := column(h.Freeflow(t, "get", "mrs"))[0]
	host.Eventually(t, "the orchestrator knows "+name, 10*time.Second, func() error {
		if all := column(c.Freeflow("get", "mrs")); !slices.Contains(all, name) {
			return fmt.Errorf("it knows %q", all)
		}
		return nil
	})
	if out := c.Freeflow("delete", "mr", name); strings.TrimSpace(out) != "mr "+name+" deleted" {
		t.Errorf("delete mr: %q", out)
	}
	host.Eventually(t, name+" is revoked", 10*time.Second, func() error {
		if all := column(c.Freeflow("get", "mrs")); slices.Contains(all, name) {
			return fmt.Errorf("the orchestrator knows %q", all)
		}
		rows, err := h.Client().MRs(context.Background())
		if err != nil {
			return err
		}
		for _, r := range rows {
			if fmt.Sprintf("%s/%d", r.Host, r.ID) == name && r.RKey != 0 {
				return fmt.Errorf("it has the RKey %#x", r.RKey)
			}
		}
		return nil
	})
}

// TestCountersAndTop looks at two hosts from outside while messages go from one to the other.
func TestCountersAndTop(t *testing.T) {
	c := host.StartCluster(t, 2, host.Shape{})
	traffic := host.Program(t, "traffic")
	o := host.Options{Name: "server", IP: c.Hosts[0].NewIP()}
	server := c.Hosts[0].Start(t, o, traffic, "-d", "20")
	server.WaitListen(t, meeting)
	client := c.Hosts[1].Start(t, host.Options{Name: "client"}, traffic, "-d", "20", o.IP)
	client.WaitFor(t, "running")
	seen := c.Hosts[1].Freeflow(t, "top", "-b", "-n", "2", "-d", "0.5")
	for _, want := range []string{"host2", "client", "RC", "geneve", "bit/s"} {
		if !strings.Contains(seen, want) {
			t.Errorf("freeflow top does not say %q:\n%s", want, seen)
		}
	}
	var rows []admin.CounterRow
	if err := json.Unmarshal([]byte(c.Hosts[1].Freeflow(t, "get", "counters", "-o", "json")), &rows); err != nil {
		t.Fatal(err)
	}
	value := make(map[string]uint64)
	for _, r := range rows {
		value[r.Group+"/"+r.Name] = r.Value
	}
	port := "geneve " + host.UnderlayIP(2).String() + ":6081/"
	for _, name := range []string{port + "sent_packets", port + "received_packets", port + "receive_buffer"} {
		if value[name] == 0 {
			t.Errorf("%s is 0", name)
		}
	}
	for _, name := range []string{"fabric/drop_icrc", "fabric/drop_forged", port + "dropped_other"} {
		if v, ok := value[name]; !ok || v != 0 {
			t.Errorf("%s is %d (there: %v)", name, v, ok)
		}
	}
	if table := c.Hosts[1].Freeflow(t, "get", "counters"); !strings.Contains(table, "drop_icrc") {
		t.Errorf("the table has no drop_icrc:\n%s", table)
	}
}
