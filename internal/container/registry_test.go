package container

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"testing"

	"github.com/freeflow-rdma/freeflow/internal/admin"
)

func newRegistry(t *testing.T, prefix string) *Registry {
	t.Helper()
	r := NewRegistry("auto")
	if err := r.AddNetwork("default", netip.MustParsePrefix(prefix)); err != nil {
		t.Fatal(err)
	}
	return r
}

func add(t *testing.T, r *Registry, spec admin.ContainerSpec) Entry {
	t.Helper()
	e, err := r.Add(spec)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestRegistryGivesTheLowestFreeAddress(t *testing.T) {
	r := newRegistry(t, "10.77.0.0/29")
	var entries []Entry
	for i := range 6 { // eight addresses less the network's and the broadcast address
		e := add(t, r, admin.ContainerSpec{})
		if want := fmt.Sprintf("10.77.0.%d", i+1); e.IP.String() != want {
			t.Errorf("address %s, want %s", e.IP, want)
		}
		entries = append(entries, e)
	}
	if _, err := r.Add(admin.ContainerSpec{}); !errors.Is(err, admin.ErrConflict) {
		t.Errorf("a seventh address of six: %v", err)
	}
	r.Remove(entries[2].ID)
	r.Remove(entries[2].ID)
	if e := add(t, r, admin.ContainerSpec{}); e.IP != entries[2].IP {
		t.Errorf("address %s, want the one that became free, %s", e.IP, entries[2].IP)
	}
}

func TestRegistryCompletesSpecs(t *testing.T) {
	r := newRegistry(t, "10.77.0.0/16")
	e := add(t, r, admin.ContainerSpec{})
	if e.Network != "default" || e.Mode != "auto" || e.Name == "" || !idPattern.MatchString(e.ID) || e.Prefix.String() != "10.77.0.0/16" {
		t.Errorf("completed to %+v", e)
	}
	if e := add(t, r, admin.ContainerSpec{IP: netip.MustParseAddr("::ffff:10.77.255.254"), Mode: "fast"}); e.IP.String() != "10.77.255.254" || e.Mode != "fast" {
		t.Errorf("taken as %+v", e)
	}
}

func TestRegistryRefuses(t *testing.T) {
	r := newRegistry(t, "10.77.0.0/16")
	a := add(t, r, admin.ContainerSpec{Name: "a", IP: netip.MustParseAddr("10.77.0.9")})
	for name, c := range map[string]struct {
		spec admin.ContainerSpec
		want error
	}{
		"name taken":        {admin.ContainerSpec{Name: "a"}, admin.ErrConflict},
		"address taken":     {admin.ContainerSpec{IP: a.IP}, admin.ErrConflict},
		"ID taken":          {admin.ContainerSpec{ID: a.ID}, admin.ErrConflict},
		"network's address": {admin.ContainerSpec{IP: netip.MustParseAddr("10.77.0.0")}, admin.ErrInvalid},
		"broadcast":         {admin.ContainerSpec{IP: netip.MustParseAddr("10.77.255.255")}, admin.ErrInvalid},
		"outside":           {admin.ContainerSpec{IP: netip.MustParseAddr("10.78.0.1")}, admin.ErrInvalid},
		"IPv6":              {admin.ContainerSpec{IP: netip.MustParseAddr("fd00::1")}, admin.ErrInvalid},
		"network":           {admin.ContainerSpec{Network: "other"}, admin.ErrNotFound},
		"mode":              {admin.ContainerSpec{Mode: "turbo"}, admin.ErrInvalid},
		"name":              {admin.ContainerSpec{Name: "../a"}, admin.ErrInvalid},
		"ID":                {admin.ContainerSpec{ID: "../../../../"}, admin.ErrInvalid},
		"label":             {admin.ContainerSpec{Labels: map[string]string{"a b": ""}}, admin.ErrInvalid},
	} {
		if _, err := r.Add(c.spec); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	if b := add(t, r, admin.ContainerSpec{Name: "b"}); b.IP.String() != "10.77.0.1" {
		t.Errorf("a refused container kept an address: the next got %s", b.IP)
	}
	if err := r.AddNetwork("default", netip.MustParsePrefix("10.1.0.0/16")); !errors.Is(err, admin.ErrConflict) {
		t.Errorf("a second network of one name: %v", err)
	}
	for _, prefix := range []string{"fd00::/64", "10.1.0.0/31"} {
		if err := r.AddNetwork("n", netip.MustParsePrefix(prefix)); !errors.Is(err, admin.ErrInvalid) {
			t.Errorf("network %s: %v", prefix, err)
		}
	}
}

func TestRegistryKeepsAddressesForThoseWhoComeBack(t *testing.T) {
	r := newRegistry(t, "10.77.0.0/16")
	one, two := netip.MustParseAddr("10.77.0.1"), netip.MustParseAddr("10.77.0.2")
	r.Expect("aaaaaaaaaaaa", "default", one)
	r.Expect("bbbbbbbbbbbb", "default", two)
	if e := add(t, r, admin.ContainerSpec{}); e.IP.String() != "10.77.0.3" {
		t.Errorf("a new container got %s", e.IP)
	}
	if _, err := r.Add(admin.ContainerSpec{IP: one}); !errors.Is(err, admin.ErrConflict) {
		t.Errorf("a new container took an expected one's address: %v", err)
	}
	add(t, r, admin.ContainerSpec{ID: "aaaaaaaaaaaa", IP: one})
	if r.Retire("aaaaaaaaaaaa") {
		t.Error("a container that came back was retired")
	}
	if !r.Retire("bbbbbbbbbbbb") {
		t.Error("a container that did not come back was not retired")
	}
	for _, spec := range []admin.ContainerSpec{{ID: "bbbbbbbbbbbb", IP: two}, {IP: two}} {
		if _, err := r.Add(spec); !errors.Is(err, admin.ErrConflict) {
			t.Errorf("the address was given away before what is left was removed: %v", err)
		}
	}
	r.Forget("bbbbbbbbbbbb")
	add(t, r, admin.ContainerSpec{IP: two})
}

func TestRegistryConcurrently(t *testing.T) {
	r := newRegistry(t, "10.77.0.0/16")
	var all sync.WaitGroup
	var seen sync.Map
	for range 200 {
		all.Go(func() {
			e, err := r.Add(admin.ContainerSpec{})
			if err != nil {
				t.Error(err)
				return
			}
			if _, twice := seen.LoadOrStore(e.IP, true); twice {
				t.Errorf("%s was given twice", e.IP)
			}
		})
	}
	all.Wait()
}
