package container

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"github.com/freeflow-rdma/freeflow/internal/admin"
)

// DefaultNetwork is the network of a container that names none.
const DefaultNetwork = "default"

// Entry is what the Registry decided for one container.
type Entry struct {
	ID      string
	Name    string
	Network string
	IP      netip.Addr
	Prefix  netip.Prefix // the network's
	Mode    string
	Labels  map[string]string
	Command []string
}

// Registry gives names and addresses to containers. It does no I/O. A name and an address belong to at
// most one container at a time, and are free again after Remove.
type Registry struct {
	mu       sync.Mutex
	mode     string
	networks map[string]*network
	entries  map[string]*Entry // by ID
	names    map[string]string // name to ID
	retired  map[string]bool   // IDs that cannot come back yet
}

type network struct {
	prefix netip.Prefix
	owners map[netip.Addr]string // to the container's ID, of living and of expected containers
}

// NewRegistry makes a registry without networks; mode is that of containers that ask for none.
func NewRegistry(mode string) *Registry {
	return &Registry{
		mode:     mode,
		networks: make(map[string]*network),
		entries:  make(map[string]*Entry),
		names:    make(map[string]string),
		retired:  make(map[string]bool),
	}
}

// AddNetwork makes name a network with the addresses of prefix.
func (r *Registry) AddNetwork(name string, prefix netip.Prefix) error {
	if err := checkName("network name", name); err != nil {
		return err
	}
	if !prefix.Addr().Is4() || prefix.Bits() > 30 {
		return fmt.Errorf("network %s: %s: want an IPv4 prefix of at most 30 bits: %w", name, prefix, admin.ErrInvalid)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.networks[name]; ok {
		return fmt.Errorf("network %s exists already: %w", name, admin.ErrConflict)
	}
	r.networks[name] = &network{prefix: prefix.Masked(), owners: make(map[netip.Addr]string)}
	return nil
}

// Networks returns the networks' prefixes by name.
func (r *Registry) Networks() map[string]netip.Prefix {
	r.mu.Lock()
	defer r.mu.Unlock()
	prefixes := make(map[string]netip.Prefix, len(r.networks))
	for name, n := range r.networks {
		prefixes[name] = n.prefix
	}
	return prefixes
}

// Expect keeps the address of a container that is alive but unknown, because it registered with an
// earlier router: only a container with the same ID gets it, until Forget.
func (r *Registry) Expect(id, network string, ip netip.Addr) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n, ok := r.networks[network]
	if ok && n.owners[ip] == "" && n.assignable(ip) {
		n.owners[ip] = id
	}
}

// Retire ends the wait for an expected container: it can no longer register. It reports false if the
// container has registered. Its address is free only after Forget, so that in between what is left of the
// container can be removed.
func (r *Registry) Retire(id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, alive := r.entries[id]; alive {
		return false
	}
	r.retired[id] = true
	return true
}

// Forget frees the address of a retired container.
func (r *Registry) Forget(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.retired, id)
	for _, n := range r.networks {
		maps.DeleteFunc(n.owners, func(_ netip.Addr, owner string) bool { return owner == id })
	}
}

// Add takes a container in, and completes what its spec leaves open.
func (r *Registry) Add(spec admin.ContainerSpec) (Entry, error) {
	if err := checkSpec(&spec); err != nil {
		return Entry{}, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	n, ok := r.networks[spec.Network]
	if !ok {
		return Entry{}, fmt.Errorf("there is no network %q (there are: %s): %w", spec.Network,
			strings.Join(slices.Sorted(maps.Keys(r.networks)), ", "), admin.ErrNotFound)
	}
	if spec.ID == "" {
		spec.ID = newID()
	}
	if _, taken := r.entries[spec.ID]; taken || r.retired[spec.ID] {
		return Entry{}, fmt.Errorf("container ID %s is in use: %w", spec.ID, admin.ErrConflict)
	}
	if spec.Name == "" {
		spec.Name = ownName(spec.ID)
	}
	if _, taken := r.names[spec.Name]; taken {
		return Entry{}, fmt.Errorf("a container named %q is running already: choose another --name: %w", spec.Name, admin.ErrConflict)
	}
	ip, err := n.take(spec)
	if err != nil {
		return Entry{}, err
	}
	if spec.Mode == "" {
		spec.Mode = r.mode
	}
	e := &Entry{ID: spec.ID, Name: spec.Name, Network: spec.Network, IP: ip, Prefix: n.prefix,
		Mode: spec.Mode, Labels: spec.Labels, Command: spec.Command}
	r.entries[e.ID], r.names[e.Name] = e, e.ID
	return *e, nil
}

// Remove frees the container's name and address. Removing twice does nothing.
func (r *Registry) Remove(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e, ok := r.entries[id]
	if !ok {
		return
	}
	delete(r.entries, id)
	delete(r.names, e.Name)
	delete(r.networks[e.Network].owners, e.IP)
}

// take claims an address for the container: the one it asks for, or the lowest free one.
func (n *network) take(spec admin.ContainerSpec) (netip.Addr, error) {
	if spec.IP.IsValid() {
		if !n.assignable(spec.IP) {
			return netip.Addr{}, fmt.Errorf("address %s is not one that network %s (%s) can assign: %w", spec.IP, spec.Network, n.prefix, admin.ErrInvalid)
		}
		if owner := n.owners[spec.IP]; owner != "" && owner != spec.ID {
			return netip.Addr{}, fmt.Errorf("address %s is in use by container %s: choose another --ip: %w", spec.IP, owner, admin.ErrConflict)
		}
		n.owners[spec.IP] = spec.ID
		return spec.IP, nil
	}
	for ip := n.prefix.Addr().Next(); n.assignable(ip); ip = ip.Next() {
		if owner, taken := n.owners[ip]; !taken || owner == spec.ID {
			n.owners[ip] = spec.ID
			return ip, nil
		}
	}
	return netip.Addr{}, fmt.Errorf("network %s (%s) has no free address left: %w", spec.Network, n.prefix, admin.ErrConflict)
}

// assignable says whether ip may be a container's: inside the prefix, neither its first address (the
// network's own) nor its last (broadcast).
func (n *network) assignable(ip netip.Addr) bool {
	return n.prefix.Contains(ip) && ip != n.prefix.Addr() && n.prefix.Contains(ip.Next())
}

// ownName is the name of a container that nobody named.
func ownName(id string) string { return "c-" + id }

// newID makes an ID that no container had before.
func newID() string {
	var b [6]byte
	rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}
