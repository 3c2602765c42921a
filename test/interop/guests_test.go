package interop

import (
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/freeflow-rdma/freeflow/test/host"
	"github.com/freeflow-rdma/freeflow/test/interop/guest"
)

// twoGuests boots them:
//
//	guest 192.168.77.2, fd77::2 ── bridge ── guest 192.168.77.3, fd77::3
func twoGuests(t *testing.T, mtu int) (n guest.Net, a, b *guest.Guest) {
	t.Helper()
	n = guest.NewNet(t, mtu)
	g := guest.StartAll(t, n, []string{"192.168.77.2/24", "fd77::2/64"}, []string{"192.168.77.3/24", "fd77::3/64"})
	return n, g[0], g[1]
}

// bring puts a program of test/programs into a guest, as /tmp/NAME.
func bring(t *testing.T, g *guest.Guest, name string) {
	t.Helper()
	data, err := os.ReadFile(host.Program(t, name))
	if err != nil {
		t.Fatal(err)
	}
	g.Put(t, "/tmp/"+name, data)
}

// lose makes a guest lose one packet in fifty of those that it sends and of those that it gets.
func lose(t *testing.T, g *guest.Guest) {
	t.Helper()
	g.Run(t, `set -e; tc qdisc replace dev eth0 root netem loss 2%
tc qdisc add dev eth0 clsact; tc filter add dev eth0 ingress matchall action pass random netrand drop 50`)
}

// TestGuests runs rows between two guests: Soft-RoCE with itself. It shows that the bed works; with FF_INTEROP_ALL every row shows that it is
// not at fault where it fails against FreeFlow.
func TestGuests(t *testing.T) {
	_, a, b := twoGuests(t, 1500)
	at := func(g *guest.Guest, ip string) place { return inGuest{g, netip.MustParseAddr(ip)} }
	v4a, v4b := at(a, "192.168.77.2"), at(b, "192.168.77.3")
	if !everything() {
		everyRow(t, v4a, v4b, []row{
			pingpongs()[0], perftests()[0],
			{"ib_write_bw -c RC -s 65536 -n 20 -x $GID -F", port, time.Minute},
			{"ib_send_bw -c UD -s 64 -n 20 -x $GID -F", port, time.Minute},
		})
		return
	}
	everyRow(t, v4a, v4b, append(pingpongs(), perftests()...))
	t.Run("IPv6", func(t *testing.T) {
		everyRow(t, at(a, "fd77::2"), at(b, "fd77::3"), []row{pingpongs()[0], perftests()[0]})
	})
	t.Run("verify", func(t *testing.T) {
		bring(t, a, "verify")
		bring(t, b, "verify")
		everyRow(t, v4a, v4b, []row{verify("rc"), verify("uc")})
	})
	t.Run("losses", func(t *testing.T) {
		lose(t, a)
		everyRow(t, v4a, v4b, lossy())
	})
}
