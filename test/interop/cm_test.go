package interop

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/freeflow-rdma/freeflow/test/host"
	"github.com/freeflow-rdma/freeflow/test/interop/guest"
	"github.com/freeflow-rdma/freeflow/test/rows"
)

// guestSide is a guest as a place of rows over RDMA-CM.
type guestSide struct {
	*guest.Guest
	address string
}

func (g guestSide) Address() string { return g.address }

func (g guestSide) Begin(t testing.TB, script string, limit time.Duration) rows.Process {
	t.Helper()
	return guestProcess{g.Start(t, fmt.Sprintf("IP=%s; DIR=/tmp\n%s", g.address, script)).Within(limit), t}
}

// Listening asks the guest's kernel, which shows identifiers of its device.
func (g guestSide) Listening(t testing.TB, port int) error {
	t.Helper()
	return listening(g.Run(t, "rdma resource show cm_id"), port)
}

// listening looks for a listener in a table of identifiers of RDMA-CM, a line each, as the rdma tool and freeflow print it; for one of UDP
// if the port is 0.
func listening(table string, port int) error {
	for line := range strings.Lines(table) {
		if f := " " + strings.Join(strings.Fields(line), " ") + " "; port == 0 && strings.Contains(f, " UDP ") ||
			port != 0 && strings.Contains(strings.ToUpper(f), " LISTEN ") && strings.Contains(f, fmt.Sprintf(":%d ", port)) {
			return nil
		}
	}
	return fmt.Errorf("no identifier with port %d in:\n%s", port, table)
}

// guestProcess is gone when Kill returns, so that the next row can have its port.
type guestProcess struct {
	*guest.Process
	t testing.TB
}

func (p guestProcess) Kill() {
	p.Process.Kill()
	p.Wait(p.t)
}

// containerSide begins each script in a container of its own, which peers that are no routers find at the host's address.
type containerSide struct {
	*host.Host
	dir string
}

func (c containerSide) Address() string { return hostIP }

func (c containerSide) Begin(t testing.TB, script string, limit time.Duration) rows.Process {
	t.Helper()
	o := host.Options{IP: c.NewIP(), Time: limit}
	return containerProcess{c.Start(t, o, "sh", "-c", fmt.Sprintf("IP=%s; DIR=%s\n%s", hostIP, c.dir, script)), c}
}

func (c containerSide) Listening(t testing.TB, port int) error {
	t.Helper()
	return listening(c.Freeflow(t, "get", "cm-ids"), port)
}

// containerProcess is gone when Kill returns, and its container too: the host's address is all containers'.
type containerProcess struct {
	*host.Running
	side containerSide
}

func (p containerProcess) Kill() {
	p.Running.Kill()
	p.side.Wait("the container is gone", 10*time.Second, p.side.Left)
}

// everyCMRow runs rows over RDMA-CM one after the other: guests have one processor, and containers one address for foreign peers.
func everyCMRow(t *testing.T, server, client rows.Place, all []rows.Row) {
	for _, r := range all {
		if r.Dispensable && !everything() {
			continue
		}
		t.Run(r.Name, func(t *testing.T) {
			start := time.Now()
			rows.Between(t, server, client, r)
			if took := time.Since(start); took > 5*time.Second {
				fmt.Printf("slow: %s: %.1f s\n", t.Name(), took.Seconds())
			}
		})
	}
}

// cmRows are all rows over RDMA-CM.
func cmRows() []rows.Row { return append(append(rows.RDMACM(), rows.Perftest()...), rows.Qperf()...) }

// TestGuestsCM runs all rows over RDMA-CM between two guests, whose kernels say what is right.
func TestGuestsCM(t *testing.T) {
	if !everything() {
		host.Skip(t, "kernels with themselves: FF_INTEROP_ALL=1 runs it")
	}
	_, a, b := twoGuests(t, 1500)
	everyCMRow(t, guestSide{a, "192.168.77.2"}, guestSide{b, "192.168.77.3"}, cmRows())
}
