package container

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/freeflow-rdma/freeflow/internal/admin"
	"github.com/freeflow-rdma/freeflow/internal/vnet"
)

// Container is a container that exists. Its fields do not change.
type Container struct {
	Entry
	GIDs    []netip.Addr
	Root    string          // FREEFLOW_ROOT
	NetNS   *vnet.Namespace // the Host's; use its ID
	PID     int             // the process that registered it
	Created time.Time
}

// port is the container's connection to its network.
func (c *Container) port() vnet.Port {
	return vnet.Port{Container: c.ID, Network: c.Network, IP: c.IP, Prefix: c.Prefix}
}

// Host has the containers of one router: it gives each its address, its network and its tree of virtual
// device files, and takes all of it back. Its methods may be called from any goroutine.
type Host struct {
	runDir   string
	log      *slog.Logger
	registry *Registry
	further  []netip.Addr // GIDs that every container has besides its own
	net      *vnet.Host
	own      *vnet.Namespace // the router's

	mu          sync.Mutex
	containers  map[string]*Container // by ID
	byNamespace map[vnet.NamespaceID]*Container
	expiry      *time.Timer
}

// NewHost makes the Host of the router on runDir, in the network namespace of the calling thread. mode is
// that of containers that ask for none.
func NewHost(runDir, mode string, log *slog.Logger) (*Host, error) {
	// Programs of any user find their files below.
	for _, dir := range []string{runDir, containersDir(runDir)} {
		if err := errors.Join(os.MkdirAll(dir, 0o755), os.Chmod(dir, 0o755)); err != nil {
			return nil, fmt.Errorf("make run directory: %w", err)
		}
	}
	own, err := vnet.NamespaceOfThread()
	if err != nil {
		return nil, err
	}
	links, err := vnet.NewHost(runDir)
	if err != nil {
		own.Close()
		return nil, err
	}
	return &Host{
		runDir: runDir, log: log, registry: NewRegistry(mode), net: links, own: own,
		containers:  make(map[string]*Container),
		byNamespace: make(map[vnet.NamespaceID]*Container),
	}, nil
}

func containersDir(runDir string) string { return filepath.Join(runDir, "containers") }

func (h *Host) containerDir(id string) string { return filepath.Join(containersDir(h.runDir), id) }

// AddNetwork makes a network with its bridge; an mtu of 0 is the usual one.
func (h *Host) AddNetwork(name string, prefix netip.Prefix, mtu int) error {
	if err := h.registry.AddNetwork(name, prefix); err != nil {
		return err
	}
	return h.net.AddNetwork(name, mtu)
}

// ShareGID gives every container that is added from now on one more GID: the host's own address, from which peers are reached that are in
// none of the networks.
func (h *Host) ShareGID(ip netip.Addr) { h.further = []netip.Addr{netip.AddrFrom16(ip.As16())} }

// HasNetwork says whether AddNetwork has made the network.
func (h *Host) HasNetwork(name string) bool {
	_, ok := h.registry.Networks()[name]
	return ok
}

// Links are the host's ends of the networks, for joining them with other hosts'.
func (h *Host) Links() *vnet.Host { return h.net }

// Check refuses what cannot be served, and fills in ID, network and name. chosen says that the name is the caller's wish.
func (h *Host) Check(spec *admin.ContainerSpec) (chosen bool, err error) {
	if err := checkSpec(spec); err != nil {
		return false, err
	}
	if spec.ID == "" {
		spec.ID = newID()
	}
	if spec.Name == "" {
		spec.Name = ownName(spec.ID)
	}
	return spec.Name != ownName(spec.ID), nil
}

// Networks lists the networks.
func (h *Host) Networks() []admin.NetworkRow {
	used := make(map[string]int)
	for _, c := range h.List() {
		used[c.Network]++
	}
	var rows []admin.NetworkRow
	for name, prefix := range h.registry.Networks() {
		rows = append(rows, admin.NetworkRow{Name: name, CIDR: prefix, Bridge: vnet.BridgeName(h.runDir, name),
			MTU: h.net.MTU(name), Containers: used[name]})
	}
	slices.SortFunc(rows, func(a, b admin.NetworkRow) int { return cmp.Compare(a.Name, b.Name) })
	return rows
}

// Add makes a container of the peer's network namespace, which is the Host's from then on. It leaves
// nothing behind when it fails.
func (h *Host) Add(peer admin.Peer, spec admin.ContainerSpec) (*Container, error) {
	if peer.NetNS.ID() == h.own.ID() {
		return nil, fmt.Errorf("the process is in the router's own network namespace: %w", admin.ErrInvalid)
	}
	entry, err := h.registry.Add(spec)
	if err != nil {
		return nil, err
	}
	c := &Container{
		Entry: entry, GIDs: GIDs(entry.IP, h.further...), Root: filepath.Join(h.containerDir(entry.ID), "root"),
		NetNS: peer.NetNS, PID: peer.PID, Created: time.Now(),
	}
	if err := h.enter(c); err != nil {
		h.registry.Remove(c.ID)
		return nil, err
	}
	if err := h.furnish(c); err != nil {
		h.clear(c)
		return nil, fmt.Errorf("set up container %s: %w", c.Name, err)
	}
	return c, nil
}

// enter lists the container. From here on its programs are known by their namespace.
func (h *Host) enter(c *Container) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if other, taken := h.byNamespace[c.NetNS.ID()]; taken {
		return fmt.Errorf("the process is in container %s already: %w", other.Name, admin.ErrConflict)
	}
	h.containers[c.ID], h.byNamespace[c.NetNS.ID()] = c, c
	return nil
}

func (h *Host) furnish(c *Container) error {
	if err := h.net.Attach(c.NetNS, c.port()); err != nil {
		return err
	}
	for _, dir := range []string{h.containerDir(c.ID), c.Root} {
		if err := errors.Join(os.MkdirAll(dir, 0o755), os.Chmod(dir, 0o755)); err != nil {
			return fmt.Errorf("make container directory: %w", err)
		}
	}
	return WriteTree(c.Root, Tree{GIDs: c.GIDs, NodeGUID: NodeGUID(vnet.MAC(c.IP))})
}

// Remove ends a container: processes that are left in its namespace are killed, then its network, its
// files, its name and its address are given up, in this order, so that the next to get the name or the
// address finds nothing of this one.
func (h *Host) Remove(id string) {
	h.mu.Lock()
	c, ok := h.containers[id]
	h.mu.Unlock()
	if !ok {
		return
	}
	if err := c.NetNS.Kill(c.PID); err != nil {
		h.log.Warn("a container's processes are left", "container", c.Name, "error", err)
	}
	h.clear(c)
	c.NetNS.Close()
}

// clear takes everything back except the namespace.
func (h *Host) clear(c *Container) {
	if err := h.net.Detach(c.port()); err != nil {
		h.log.Warn("a container's network is left", "container", c.Name, "error", err)
	}
	if err := os.RemoveAll(h.containerDir(c.ID)); err != nil {
		h.log.Warn("a container's files are left", "container", c.Name, "error", err)
	}
	h.mu.Lock()
	delete(h.containers, c.ID)
	delete(h.byNamespace, c.NetNS.ID())
	h.mu.Unlock()
	h.registry.Remove(c.ID)
}

// ByNamespace finds the container that has the network namespace id.
func (h *Host) ByNamespace(id vnet.NamespaceID) (*Container, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	c, ok := h.byNamespace[id]
	return c, ok
}

// ByID finds a container.
func (h *Host) ByID(id string) (*Container, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	c, ok := h.containers[id]
	return c, ok
}

// List returns the containers, by name.
func (h *Host) List() []*Container {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.SortedFunc(maps.Values(h.containers), func(a, b *Container) int { return cmp.Compare(a.Name, b.Name) })
}

// Info is what the container's holder is told.
func (h *Host) Info(c *Container) admin.ContainerInfo {
	return admin.ContainerInfo{
		ID: c.ID, Name: c.Name, Network: c.Network, IP: c.IP, Prefix: c.Prefix,
		MAC: vnet.MAC(c.IP).String(), GIDs: c.GIDs, Mode: c.Mode,
		RunDir: h.runDir, Root: c.Root, Library: LibraryPath(h.runDir),
	}
}

// Close removes the bridges. Containers are not ended: their processes live on, with their eth0 and their
// files, and register with the next router.
func (h *Host) Close() error {
	h.mu.Lock()
	if h.expiry != nil {
		h.expiry.Stop()
	}
	for _, c := range h.containers {
		c.NetNS.Close()
	}
	clear(h.containers)
	clear(h.byNamespace)
	h.mu.Unlock()
	h.own.Close()
	return h.net.Close()
}
