package interop

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/freeflow-rdma/freeflow/internal/vnet"
	"github.com/freeflow-rdma/freeflow/test/host"
	"github.com/freeflow-rdma/freeflow/test/interop/guest"
)

// Addresses of the underlay, and of the containers' network.
const (
	hostIP     = "192.168.77.1"
	guestIP    = "192.168.77.2"
	underlay   = "192.168.77.0/24"
	containers = "10.77.0.0/16"
)

// atHost stands in for the freeflow binary (FREEFLOW_BIN): the router's namespace gets its underlay before the router starts.
const atHost = `#!/bin/sh
[ "$1" = up ] || exec %[1]s "$@"
shift
ip link show dev br >/dev/null 2>&1 || {
	ip link add name br mtu %[2]d type bridge mcast_snooping 0 && ip address add %[3]s/24 dev br && ip link set dev br up || exit 1
}
ip link set dev lo up
exec %[1]s up --listen none --host-ip %[3]s --external %[4]s "$@"
`

// binary is FREEFLOW_BIN, or what make builds. Packages are tested at the same time, and share the library's build directory.
func binary(t *testing.T) string {
	t.Helper()
	if bin := os.Getenv("FREEFLOW_BIN"); bin != "" {
		path, err := filepath.Abs(bin)
		if err != nil {
			t.Fatal(err)
		}
		return path
	}
	lock, err := os.OpenFile(filepath.Join(os.TempDir(), "freeflow-test-build.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(t.TempDir(), "freeflow")
	if out, err := exec.Command("make", "-s", "-C", "../..", "build", "BIN="+bin).CombinedOutput(); err != nil {
		t.Fatalf("make build: %v\n%s", err, out)
	}
	return bin
}

// topology is a FreeFlow host and a guest that is no FreeFlow host:
//
//	guest ── tap ── bridge br 192.168.77.1 ── router ── bridge fb… 10.77.255.254 ── veth ── container 10.77.1.n
//	192.168.77.2             └─────────────── namespace of the host ────────────┘
//
// RoCEv2 goes between 192.168.77.1 and .2; TCP, by which programs meet, between the guest's and the container's own addresses.
type topology struct {
	host      *host.Host
	guest     *guest.Guest
	container place
	peer      place
}

func start(t *testing.T, mtu int) topology {
	t.Helper()
	wrapper := filepath.Join(t.TempDir(), "freeflow")
	if err := os.WriteFile(wrapper, fmt.Appendf(nil, atHost, strconv.Quote(binary(t)), mtu, hostIP, underlay), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("FREEFLOW_BIN", wrapper)
	h := host.Start(t, "auto")
	ns, err := vnet.NamespaceOfProcess(h.RouterPID())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ns.Close() })
	g := guest.Start(t, guest.Net{NS: ns, Bridge: "br", MTU: mtu}, guestIP+"/24")
	g.Run(t, fmt.Sprintf("ip route add %s via %s", containers, hostIP))
	bring(t, g, "verify")
	return topology{
		host: h, guest: g,
		container: &inContainer{Host: h, gid: netip.MustParseAddr(hostIP), dir: filepath.Dir(host.Program(t, "verify"))},
		peer:      inGuest{g, netip.MustParseAddr(guestIP)},
	}
}

// TestFreeFlow runs rows between a container and a guest, both ways; every size of each with FF_INTEROP_ALL.
func TestFreeFlow(t *testing.T) {
	top := start(t, 1500)
	rows := append(pingpongs(), perftests()...)
	t.Run("server in guest", func(t *testing.T) { everyRow(t, top.peer, top.container, rows) })
	t.Run("server in container", func(t *testing.T) { everyRow(t, top.container, top.peer, rows) })
	t.Run("verify", func(t *testing.T) { everyByte(t, top) })
	t.Run("cm", func(t *testing.T) { overCM(t, top) })
	t.Run("denied", func(t *testing.T) { denied(t, top) })
	t.Run("losses", func(t *testing.T) {
		lose(t, top.guest)
		t.Run("server in guest", func(t *testing.T) { everyRow(t, top.peer, top.container, lossy()) })
		t.Run("server in container", func(t *testing.T) { everyRow(t, top.container, top.peer, lossy()) })
	})
	top.host.RouterAlive(t)
	top.host.Wait("nothing is left", 10*time.Second, top.host.Left)
}

// everyByte is of RC only: on a network a UC WRITE may come later than the TCP message that says it was sent, and a UD message is no
// longer than the path MTU here.
func everyByte(t *testing.T, top topology) {
	rows := []row{verify("rc")}
	if everything() {
		t.Run("server in guest", func(t *testing.T) { everyRow(t, top.peer, top.container, rows) })
	}
	t.Run("server in container", func(t *testing.T) { everyRow(t, top.container, top.peer, rows) })
}
