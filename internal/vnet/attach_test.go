package vnet

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
)

// Two containers on one bridge, speaking TCP over IPv4 and over the link-local IPv6 addresses:
//
//	10.77.0.1 ── bridge ── 10.77.0.2
func TestAttachedContainersReachEachOther(t *testing.T) {
	h := newHost(t)
	a, b := newNamespace(t), newNamespace(t)
	for ns, ip := range map[*Namespace]string{a: "10.77.0.1", b: "10.77.0.2"} {
		if err := h.Attach(ns, port(ip)); err != nil {
			t.Fatal(err)
		}
	}
	local := LinkLocal(MAC(netip.MustParseAddr("10.77.0.2"))).String()
	for _, address := range []string{"10.77.0.2:4000", "[" + local + "%eth0]:4001"} {
		start := time.Now()
		if err := exchange(a, b, address); err != nil {
			t.Errorf("%s: %v", address, err)
		}
		if took := time.Since(start); took > 500*time.Millisecond {
			t.Errorf("%s: the first connection took %s: the network was not ready", address, took)
		}
	}
}

// exchange sends a line from a to a listener in b.
func exchange(a, b *Namespace, address string) error {
	var l net.Listener
	if err := b.Do(func() (err error) { l, err = net.Listen("tcp", address); return }); err != nil {
		return err
	}
	defer l.Close()
	go func() {
		if conn, err := l.Accept(); err == nil {
			io.WriteString(conn, "hello")
			conn.Close()
		}
	}()
	return a.Do(func() error {
		conn, err := net.DialTimeout("tcp", address, 5*time.Second)
		if err != nil {
			return err
		}
		defer conn.Close()
		got, err := io.ReadAll(conn)
		if err == nil && string(got) != "hello" {
			err = fmt.Errorf("read %q", got)
		}
		return err
	})
}

func TestAttachGivesAddressesThatFollowFromTheIP(t *testing.T) {
	h := newHost(t)
	ns := newNamespace(t)
	v6 := netip.MustParsePrefix("fd00::2/64")
	if err := h.Attach(ns, port("10.77.0.2"), v6); err != nil {
		t.Fatal(err)
	}
	var eth0 *net.Interface
	var addrs []net.Addr
	err := ns.Do(func() (err error) {
		if eth0, err = net.InterfaceByName("eth0"); err != nil {
			return err
		}
		addrs, err = eth0.Addrs()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := eth0.HardwareAddr.String(); got != "02:ff:0a:4d:00:02" {
		t.Errorf("MAC %s", got)
	}
	if eth0.MTU != DefaultMTU {
		t.Errorf("MTU %d", eth0.MTU)
	}
	want := map[string]bool{"10.77.0.2/16": true, "fe80::ff:aff:fe4d:2/64": true, "fd00::2/64": true}
	for _, a := range addrs {
		if !want[a.String()] {
			t.Errorf("unexpected address %s", a)
		}
		delete(want, a.String())
	}
	if len(want) > 0 {
		t.Errorf("missing addresses %v", want)
	}
}

func TestAttachManyAtOnce(t *testing.T) {
	h := newHost(t)
	const n = 50
	errs := make(chan error, n)
	var all sync.WaitGroup
	for i := range n {
		ns := newNamespace(t)
		all.Go(func() {
			p := port(fmt.Sprintf("10.77.1.%d", i+1))
			errs <- errors.Join(h.Attach(ns, p), h.Detach(p))
		})
	}
	all.Wait()
	for range n {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	wantLinks(t, h, 2) // lo and the bridge
}

func TestNamespaceTakesItsVethWithIt(t *testing.T) {
	h := newHost(t)
	ns := newNamespace(t)
	if err := h.Attach(ns, port("10.77.0.1")); err != nil {
		t.Fatal(err)
	}
	ns.Close()
	wantLinks(t, h, 2)
	if err := h.Detach(port("10.77.0.1")); err != nil {
		t.Errorf("detach what is gone: %v", err)
	}
}

// wantLinks waits a while for the kernel, which removes a dead namespace's links when it gets to it.
func wantLinks(t *testing.T, h *Host, want int) {
	t.Helper()
	var links []netlink.Link
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		var err error
		if links, err = h.links(); err != nil {
			t.Fatal(err)
		}
		if len(links) == want {
			return
		}
	}
	for _, l := range links {
		t.Errorf("link %s %s", l.Attrs().Name, l.Attrs().Alias)
	}
	t.Errorf("%d links, want %d", len(links), want)
}

func TestAttachRefusesNamespaceWithEth0(t *testing.T) {
	h := newHost(t)
	ns := newNamespace(t)
	if err := h.Attach(ns, port("10.77.0.1")); err != nil {
		t.Fatal(err)
	}
	if err := h.Attach(ns, port("10.77.0.2")); err == nil {
		t.Error("a second eth0 was accepted")
	}
	wantLinks(t, h, 3)
}
