package bench

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/freeflow-rdma/freeflow/internal/vnet"
)

func testUnderlay(t *testing.T, mtu int) *underlay {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("network namespaces need root: run the tests with sudo")
	}
	u, err := newUnderlay(hostCount, mtu)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(u.close)
	return u
}

// Every host has its address, and the underlay's MTU all the way.
func TestUnderlay(t *testing.T) {
	u := testUnderlay(t, 9000)
	for i, ns := range u.hosts {
		err := inside(ns, func(nl *netlink.Handle) error {
			link, err := nl.LinkByName(underlayLink)
			if err != nil {
				return err
			}
			addrs, err := nl.AddrList(link, netlink.FAMILY_V4)
			if err != nil {
				return err
			}
			if len(addrs) != 1 || !addrs[0].IP.Equal(underlayIP(i+1).AsSlice()) || link.Attrs().MTU != 9000 {
				t.Errorf("host %d: addresses %v, MTU %d", i+1, addrs, link.Attrs().MTU)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
	err := inside(u.ns, func(nl *netlink.Handle) error {
		links, err := nl.LinkList()
		for _, l := range links {
			if l.Attrs().Name != "lo" && l.Attrs().MTU != 9000 {
				t.Errorf("%s: MTU %d", l.Attrs().Name, l.Attrs().MTU)
			}
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestStartIn(t *testing.T) {
	u := testUnderlay(t, 1500)
	own, err := vnet.NamespaceOfThread()
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	for ns, want := range map[*vnet.Namespace]vnet.NamespaceID{u.hosts[0]: u.hosts[0].ID(), nil: own.ID()} {
		var out strings.Builder
		cmd := exec.Command("readlink", "/proc/self/ns/net")
		cmd.Stdout = &out
		if err := startIn(ns, cmd); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err != nil || strings.TrimSpace(out.String()) != want.String() {
			t.Errorf("it ran in %s, want %s: %v", out.String(), want, err)
		}
	}
}

// A host's shell starts programs in the host's network, and takes them along when it ends.
func TestShell(t *testing.T) {
	u := testUnderlay(t, 1500)
	w := &World{ns: u.hosts[1], HostIP: underlayIP(2), dir: t.TempDir()}
	defer w.Close()
	c, err := w.Shell(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	text, err := c.Run(context.Background(), "readlink", "/proc/self/ns/net")
	if err != nil || strings.TrimSpace(text) != u.hosts[1].ID().String() {
		t.Errorf("it ran in %q, want %s: %v", text, u.hosts[1].ID(), err)
	}
	sleep, err := c.Start(context.Background(), "sleep", "600")
	if err != nil {
		t.Fatal(err)
	}
	w.Close()
	err = poll(context.Background(), func() (bool, error) { return ended(sleep.PID), nil })
	if err != nil {
		sleep.kill()
		t.Error("what the shell started outlived it")
	}
}

// ended says whether a process has ended, waited for or not.
func ended(pid int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return true
	}
	f := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	return len(f) > 0 && f[0] == "Z"
}
