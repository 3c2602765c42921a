package interop

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/freeflow-rdma/freeflow/test/host"
	"github.com/freeflow-rdma/freeflow/test/interop/guest"
	"github.com/freeflow-rdma/freeflow/test/rows"
)

// guestSide is a guest as a place of rows over RDMA-CM.
type guestSide struct {
	*guest.Guest
	address, address6 string
}

func (g guestSide) Address() (ip, ip6 string) { return g.address, g.address6 }

func (g guestSide) Begin(t testing.TB, script string, limit time.Duration) rows.Process {
	t.Helper()
	return guestProcess{g.Start(t, fmt.Sprintf("IP=%s; IP6=%s; DIR=/tmp\n%s", g.address, g.address6, script)).Within(limit), t}
}

// Listening asks the guest's kernel, which shows identifiers of its device.
func (g guestSide) Listening(t testing.TB, port int) error {
	t.Helper()
	return rows.Listening(g.Run(t, "rdma resource show cm_id"), port)
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

func (c containerSide) Address() (ip, ip6 string) { return hostIP, "" }

func (c containerSide) Begin(t testing.TB, script string, limit time.Duration) rows.Process {
	t.Helper()
	o := host.Options{IP: c.NewIP(), Time: limit}
	return containerProcess{c.Start(t, o, "sh", "-c", fmt.Sprintf("IP=%s; IP6=; DIR=%s\n%s", hostIP, c.dir, script)), c}
}

func (c containerSide) Listening(t testing.TB, port int) error {
	t.Helper()
	return rows.Listening(c.Freeflow(t, "get", "cm-ids"), port)
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
	for _, r := range rows.Ours() {
		bring(t, a, r.Name)
		bring(t, b, r.Name)
	}
	for _, name := range []string{"cmlocal", "cmraw"} {
		bring(t, a, name)
	}
	server, client := guestSide{a, "192.168.77.2", "fd77::2"}, guestSide{b, "192.168.77.3", "fd77::3"}
	everyCMRow(t, server, client, append(cmRows(), rows.Ours()...))
	// Not self_by_loopback and forked: kernels with rxe do neither.
	a.Run(t, `export CM_OWN=192.168.77.2 CM_FOREIGN=192.168.77.3
/tmp/cmraw && /tmp/cmlocal ports wildcards reuse two_listeners foreign nobody wrong_states self_by_address thousand devices`)
}

// overCM runs them between a container and a guest.
func overCM(t *testing.T, top topology) {
	of := containerSide{top.host, filepath.Dir(host.Program(t, "verify"))}
	peer := guestSide{top.guest, guestIP, ""}
	for _, r := range rows.Ours() {
		bring(t, top.guest, r.Name)
		host.Program(t, r.Name)
	}
	all := append(cmRows(), rows.Ours()...)
	t.Run("server in guest", func(t *testing.T) {
		// A kernel takes its time to ask once more where a backlog was full.
		everyCMRow(t, peer, of, rows.Without(all, func(r rows.Row) bool { return r.Name == "cmend" && !everything() }))
	})
	// A container has two addresses, one for RoCE with foreign peers and one for TCP, and a program that uses both knows one.
	one := rows.Without(all, func(r rows.Row) bool { return r.OwnTCP })
	t.Run("server in container", func(t *testing.T) { everyCMRow(t, of, peer, one) })
}
