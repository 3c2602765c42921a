package guest

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/freeflow-rdma/freeflow/test/interop/guest/proto"
)

const qemu = "qemu-system-x86_64"

// patience is for what takes two seconds on an idle machine: boot, or a script that was given no limit.
const patience = 60 * time.Second

// Guest is a virtual machine with eth0 and rxe0 up.
type Guest struct {
	IP string // the first address, as programs take it

	net     Net
	cmd     *exec.Cmd
	console output
	ended   chan struct{} // closed when QEMU has ended
	status  error         // of its end
	ready   chan struct{}

	mu      sync.Mutex // of what follows
	port    net.Conn
	last    int
	scripts map[int]*Process
}

// Start boots a guest whose eth0 is on the net and has the addresses, and waits until its rxe0 is there. It ends with the test.
func Start(t testing.TB, n Net, addresses ...string) *Guest {
	t.Helper()
	return StartAll(t, n, addresses)[0]
}

// StartAll does so for several guests at the same time, each with addresses of its own.
func StartAll(t testing.TB, n Net, addresses ...[]string) (guests []*Guest) {
	t.Helper()
	image := Build(t)
	for _, own := range addresses {
		g, err := boot(image, n, own)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { g.clean(t) })
		guests = append(guests, g)
	}
	for i, g := range guests {
		select {
		case <-g.ready:
		case <-g.ended:
			t.Fatalf("guest %s has ended: %v\n%s", g.IP, g.status, g.console.tail())
		case <-time.After(patience):
			t.Fatalf("guest %s does not boot\n%s", g.IP, g.console.tail())
		}
		g.Run(t, setup(n, addresses[i]))
	}
	return guests
}

func (g *Guest) clean(t testing.TB) {
	g.Kill()
	if t.Failed() {
		t.Logf("console of guest %s:\n%s", g.IP, g.console.tail())
	}
}

// setup is the script that brings eth0 and rxe0 up. Addresses are usable at once: nobody else is on the bridge with them.
func setup(n Net, addresses []string) string {
	var b strings.Builder
	fmt.Fprintln(&b, "set -e; echo 0 >/proc/sys/net/ipv6/conf/all/accept_dad; echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad")
	fmt.Fprintf(&b, "echo 0 >/proc/sys/net/ipv6/conf/eth0/accept_dad; ip link set lo up; ip link set eth0 mtu %d up\n", n.MTU)
	for _, a := range addresses {
		fmt.Fprintf(&b, "ip addr add %s dev eth0\n", a)
	}
	fmt.Fprintln(&b, "rdma link add rxe0 type rxe netdev eth0")
	fmt.Fprintln(&b, "until [ $(cat /sys/class/net/eth0/operstate) = up ]; do usleep 10000; done") // its work queue takes its time
	return b.String()
}

// boot starts QEMU. The guest's agent speaks over a socket pair, so that nothing of it is in the file system.
func boot(image *Image, n Net, addresses []string) (*Guest, error) {
	if len(addresses) == 0 {
		return nil, errors.New("a guest needs an address")
	}
	first, err := netip.ParsePrefix(addresses[0])
	if err != nil {
		return nil, err
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "agent"), os.NewFile(uintptr(pair[1]), "agent")
	defer theirs.Close()
	port, err := net.FileConn(ours)
	ours.Close()
	if err != nil {
		return nil, err
	}
	tap, err := n.tap()
	if err != nil {
		port.Close()
		return nil, err
	}
	defer tap.Close()
	g := &Guest{IP: first.Addr().String(), net: n, port: port, scripts: map[int]*Process{},
		ended: make(chan struct{}), ready: make(chan struct{})}
	g.cmd = exec.Command(qemu, arguments(image, mac(first.Addr()), n.MTU)...)
	g.cmd.ExtraFiles = []*os.File{tap, theirs} // 3 and 4
	g.cmd.Stdout, g.cmd.Stderr = &g.console, &g.console
	if err := spawn(g.cmd, n.NS); err != nil {
		port.Close()
		return nil, fmt.Errorf("start %s: %w", qemu, err)
	}
	go g.follow()
	go func() {
		g.status = g.cmd.Wait()
		close(g.ended)
	}()
	return g, nil
}

// arguments of QEMU. Nehalem has no carry-less multiply, whose emulation makes rxe's checksum slow.
func arguments(image *Image, mac string, mtu int) []string {
	return []string{
		"-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
		"-machine", "pc,accel=tcg", "-cpu", "Nehalem", "-m", "384", "-smp", "1",
		"-kernel", image.Kernel, "-initrd", image.Initrd,
		"-append", "console=ttyS0 quiet panic=-1 mitigations=off tsc=reliable no_timer_check random.trust_bootloader=on",
		"-serial", "stdio",
		"-chardev", "socket,id=a,fd=4", "-device", "virtio-serial-pci", "-device", "virtserialport,chardev=a,nr=1",
		"-netdev", "tap,id=n,fd=3", "-device", "virtio-net-pci,netdev=n,romfile=,mac=" + mac + ",host_mtu=" + strconv.Itoa(mtu),
	}
}

// mac is locally administered and follows from the address, so that one can be known by the other.
func mac(ip netip.Addr) string {
	b := ip.As16()
	return net.HardwareAddr{0x02, 0x9e, b[12], b[13], b[14], b[15]}.String()
}

// follow hands the agent's reports to the scripts that they are about.
func (g *Guest) follow() {
	in := json.NewDecoder(g.port)
	for {
		var r proto.Report
		if err := in.Decode(&r); err != nil {
			return
		}
		if r.ID == 0 {
			g.console.Write(r.Output)
			close(g.ready)
			continue
		}
		g.mu.Lock()
		p := g.scripts[r.ID]
		g.mu.Unlock()
		if p != nil {
			p.report(r)
		}
	}
}

func (g *Guest) ask(r proto.Request) error {
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	_, err = g.port.Write(text)
	return err
}

// Console is the end of what kernel and QEMU have said.
func (g *Guest) Console() string { return g.console.tail() }

// Kill ends the guest as a power failure does, and waits for that.
func (g *Guest) Kill() {
	g.cmd.Process.Kill()
	<-g.ended
	g.port.Close()
}
