package vnet

import (
	"net/netip"
	"os"
	"testing"
)

// needRoot fails a test that cannot run without privileges: a skipped test would pass for a green one.
func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("this test makes network namespaces and links: run it as root")
	}
}

// newHost makes a Host in a namespace of its own, which takes everything with it, whatever the test does.
func newHost(t *testing.T) *Host {
	t.Helper()
	needRoot(t)
	ns := newNamespace(t)
	var h *Host
	err := ns.Do(func() error {
		var err error
		h, err = NewHost(t.TempDir())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	if err := h.AddNetwork("default", 0); err != nil {
		t.Fatal(err)
	}
	return h
}

func newNamespace(t *testing.T) *Namespace {
	t.Helper()
	ns, err := NewNamespace()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ns.Close() })
	return ns
}

func port(ip string) Port {
	return Port{Container: "0123456789ab", Network: "default", IP: netip.MustParseAddr(ip), Prefix: netip.MustParsePrefix("10.77.0.0/16")}
}
