package guest

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/freeflow-rdma/freeflow/internal/vnet"
)

// Net is a bridge in a network namespace: the wire that guests are on.
type Net struct {
	NS     *vnet.Namespace
	Bridge string
	MTU    int // of the bridge and of the guests' eth0; rxe's active MTU is 4096 from about 4200 on, and 1024 at 1500
}

// NewNet makes a namespace that has nothing but a bridge, for guests alone. It ends with the test.
func NewNet(t testing.TB, mtu int) Net {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("guests need a network namespace and a bridge: run the tests as root")
	}
	ns, err := vnet.NewNamespace()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ns.Close() })
	n := Net{NS: ns, Bridge: "br", MTU: mtu}
	if err := n.AddBridge(); err != nil {
		t.Fatal(err)
	}
	return n
}

// AddBridge makes the bridge in the namespace, with the namespace's own addresses, if any.
func (n Net) AddBridge(addresses ...netip.Prefix) error {
	h, err := netlink.NewHandleAt(netns.NsHandle(n.NS.FD()))
	if err != nil {
		return err
	}
	defer h.Close()
	no := false
	bridge := &netlink.Bridge{LinkAttrs: netlink.NewLinkAttrs(), MulticastSnooping: &no}
	bridge.Name, bridge.MTU = n.Bridge, n.MTU
	if err := h.LinkAdd(bridge); err != nil {
		return fmt.Errorf("add bridge %s: %w", n.Bridge, err)
	}
	for _, a := range addresses {
		ip := &net.IPNet{IP: a.Addr().AsSlice(), Mask: net.CIDRMask(a.Bits(), a.Addr().BitLen())}
		if err := h.AddrAdd(bridge, &netlink.Addr{IPNet: ip, Flags: unix.IFA_F_NODAD}); err != nil {
			return fmt.Errorf("give bridge %s address %s: %w", n.Bridge, a, err)
		}
	}
	return h.LinkSetUp(bridge)
}

// Exec runs a command of this machine in the namespace to its end, which must be status 0, and gives what it said.
func (n Net) Exec(t testing.TB, args ...string) string {
	t.Helper()
	cmd, out := n.Begin(t, args...)
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v: %v\n%s", args, err, out)
	}
	return out.String()
}

// Begin starts a command of this machine in the namespace. It dies with the test process; the caller waits for its end, after which
// what it said may be read.
func (n Net) Begin(t testing.TB, args ...string) (cmd *exec.Cmd, out *bytes.Buffer) {
	t.Helper()
	out = &bytes.Buffer{}
	cmd = exec.Command(args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = out, out
	if err := spawn(cmd, n.NS); err != nil {
		t.Fatalf("start %v: %v", args, err)
	}
	return cmd, out
}

// tap makes a tap that is a port of the bridge. It is there for as long as somebody has the descriptor open.
func (n Net) tap() (f *os.File, err error) {
	err = n.NS.Do(func() error {
		fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("open /dev/net/tun: %w", err)
		}
		f = os.NewFile(uintptr(fd), "tap")
		request, err := unix.NewIfreq("gt%d") // the kernel fills the number in
		if err != nil {
			return err
		}
		request.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI | unix.IFF_VNET_HDR)
		if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, request); err != nil {
			return fmt.Errorf("make tap: %w", err)
		}
		return n.plug(request.Name())
	})
	if err != nil && f != nil {
		f.Close()
	}
	return f, err
}

// queue is how many packets wait for a guest: those of two messages of 8 MiB at MTU 1024. rxe has no congestion control, and each
// loss costs it a timeout, or a UC message. Tests that want losses make them.
const queue = 16384

// plug makes a link a port of the bridge. The calling thread is in the namespace.
func (n Net) plug(name string) error {
	tap, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	bridge, err := netlink.LinkByName(n.Bridge)
	if err != nil {
		return fmt.Errorf("bridge %s: %w", n.Bridge, err)
	}
	return errors.Join(netlink.LinkSetMTU(tap, n.MTU), netlink.LinkSetTxQLen(tap, queue), netlink.LinkSetMaster(tap, bridge), netlink.LinkSetUp(tap))
}
