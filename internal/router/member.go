package router

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/freeflow-rdma/freeflow/internal/admin"
	"github.com/freeflow-rdma/freeflow/internal/cluster"
	"github.com/freeflow-rdma/freeflow/internal/container"
	"github.com/freeflow-rdma/freeflow/internal/fabric"
	"github.com/freeflow-rdma/freeflow/internal/policy"
	"github.com/freeflow-rdma/freeflow/internal/rdmacm"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
	"github.com/freeflow-rdma/freeflow/internal/vnet"
)

// member is this host as a part of the cluster: it makes what the cluster's state says true here, and tells the cluster what is here.
//
//	cluster.Client ── state ──▶ routes (fabric.Table), tunnels of the bridges (vnet), revoked registrations
//	                ◀── containers, registrations
type member struct {
	cfg     Config
	log     *slog.Logger
	client  *cluster.Client
	host    *container.Host
	carrier *fabric.Carrier
	dev     *verbs.Device
	cm      *rdmacm.Host
	gov     *governor

	changed chan struct{} // has an entry while there is a state that is not true here yet
	mu      sync.Mutex    // one refresh at a time
	gone    map[string]bool
	mrs     sync.Map // LKey of each registration, by its ID
}

// settleTime is the least time between two states that are made true: changes come in crowds.
const settleTime = 10 * time.Millisecond

func newMember(cfg Config, client *cluster.Client, p parts) *member {
	m := &member{cfg: cfg, log: cfg.Log, client: client, host: p.host, carrier: p.carrier, dev: p.dev, cm: p.cm, changed: make(chan struct{}, 1)}
	m.gov = newGovernor(client.State, m.dev)
	m.dev.SetAccess(m.gov.mayTalk)
	m.dev.WatchMRs(m)
	return m
}

// parts are what the member rules.
type parts struct {
	host    *container.Host
	carrier *fabric.Carrier
	dev     *verbs.Device
	cm      *rdmacm.Host
}

// follow makes every state of the cluster true here until ctx ends.
func (m *member) follow(ctx context.Context) {
	cancel := m.client.Subscribe(func(*cluster.State) {
		select {
		case m.changed <- struct{}{}:
		default:
		}
	})
	defer cancel()
	for {
		select {
		case <-ctx.Done():
			return
		case <-m.changed:
			m.refresh()
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(settleTime):
		}
	}
}

// refresh makes the current state true here.
func (m *member) refresh() {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.client.State()
	remotes := m.routes(s)
	m.gov.refresh(s)
	m.tell(s)
	m.cm.PeersGone(func(c *verbs.Container, peer verbs.GID) bool { return m.isGone(s, c, peer) })
	if m.cfg.HostIP.IsValid() {
		m.tunnels(s, remotes)
	}
	for id := range s.Revoked() {
		m.revoke(id)
	}
}

// tell lets connected queue pairs look for their peers when a host has gone: a program that only waits for messages shall hear of it.
func (m *member) tell(s *cluster.State) {
	gone, more := map[string]bool{}, false
	for h := range s.Hosts() {
		if !h.Ready {
			gone[h.Name], more = true, more || !m.gone[h.Name]
		}
	}
	m.gone = gone
	if !more {
		return
	}
	for _, row := range m.dev.QPs() {
		if qp := m.dev.QP(row.Num); qp != nil && qp.Type == verbs.TypeRC {
			m.carrier.Wake(qp)
		}
	}
}

// isGone says whether a peer of one of our containers has stopped, or its host has. Who is outside the cluster speaks for himself.
func (m *member) isGone(s *cluster.State, c *verbs.Container, peer verbs.GID) bool {
	if m.dev.Lookup(c.Network, peer) != nil {
		return false
	}
	n, ip := s.Network(c.Network), vnet.IPOf(peer.Addr())
	if n == nil || !n.Prefix.Contains(ip) {
		return false
	}
	of := s.ContainerAt(c.Network, ip)
	if of == nil || !of.Running {
		return true
	}
	h := s.Host(of.Host)
	return h != nil && !h.Ready
}

// routes gives the carrier the way to every container of other hosts in the networks that this host has, and returns them by network.
func (m *member) routes(s *cluster.State) map[string][]vnet.Remote {
	table := fabric.NewTable(verbs.MTUBytes(m.dev.MTU()))
	for _, p := range m.cfg.External {
		table.AddExternal(p)
	}
	remotes := make(map[string][]vnet.Remote)
	for n := range s.Networks() {
		if m.host.HasNetwork(n.Name) {
			remotes[n.Name] = nil
		}
	}
	for c := range s.Containers() {
		_, mine := remotes[c.Network]
		h := s.Host(c.Host)
		if !mine || !c.Running || h == nil || c.Host == m.cfg.HostName || h.Underlay.IsLoopback() {
			continue
		}
		net := fabric.Network{VNI: s.Network(c.Network).VNI, Name: c.Network}
		table.Add(net, gidsOf(c.IP), fabric.Peer{Addr: h.Underlay, SACK: h.Has(featureSACK), Gone: !h.Ready})
		remotes[c.Network] = append(remotes[c.Network], vnet.Remote{IP: c.IP, Host: h.Underlay})
	}
	m.carrier.SetTable(table)
	return remotes
}

// featureSACK is what routers that understand selective acknowledgements announce.
const featureSACK = "sack"

// gidsOf are the GIDs of the container that has an address.
func gidsOf(ip netip.Addr) (gids []verbs.GID) {
	for _, g := range container.GIDs(ip) {
		gids = append(gids, verbs.GIDOf(g))
	}
	return gids
}

// tunnels joins the bridges of this host with those of others.
func (m *member) tunnels(s *cluster.State, remotes map[string][]vnet.Remote) {
	for name, list := range remotes {
		if err := m.host.Links().SetRemotes(name, s.Network(name).VNI, m.cfg.HostIP, list); err != nil {
			m.log.Error("containers of other hosts cannot be reached by IP", "network", name, "error", err)
		}
	}
}

// register gives a container that starts here its name and address, and this host its network. The container as policies see it.
func (m *member) register(ctx context.Context, spec *admin.ContainerSpec) (policy.Subject, error) {
	chosen, err := m.host.Check(spec)
	if err != nil {
		return policy.Subject{}, err
	}
	r := cluster.Registration{Name: cluster.Name{Network: spec.Network, Name: spec.Name}, IP: spec.IP, Instance: spec.ID, Ephemeral: !chosen,
		Mode: spec.Mode, Labels: spec.Labels}
	a, err := m.client.Register(ctx, r)
	if err != nil {
		return policy.Subject{}, adminError(err)
	}
	spec.IP = a.IP
	subject := m.client.Subject(r, a)
	if m.host.HasNetwork(a.Network.Name) {
		return subject, nil
	}
	if err := m.addNetwork(&a.Network); err != nil {
		m.unregister(spec.Network, spec.Name, spec.ID)
		return subject, err
	}
	m.refresh()
	return subject, nil
}

// addNetwork gives this host a network's bridge.
func (m *member) addNetwork(n *cluster.Network) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.host.HasNetwork(n.Name) {
		return nil
	}
	mtu := n.MTU
	if mtu == 0 && m.cfg.HostIP.IsValid() {
		var err error
		if mtu, err = m.host.Links().OverlayMTU(m.cfg.HostIP); err != nil {
			return fmt.Errorf("network %s: %w", n.Name, err)
		}
	}
	if err := m.host.AddNetwork(n.Name, n.Prefix, mtu); err != nil {
		return err
	}
	for _, to := range m.cfg.External {
		if err := m.host.Links().RouteExternal(n.Name, n.Prefix, to); err != nil {
			m.log.Warn("containers cannot reach the outside by IP", "network", n.Name, "error", err)
		}
	}
	return nil
}

func (m *member) unregister(network, name, id string) {
	m.client.Unregister(cluster.Name{Network: network, Name: name}, id)
}

// adminError says what kind of error one of the cluster's is to whoever asked for a container.
func adminError(err error) error {
	kind := map[error]error{cluster.ErrConflict: admin.ErrConflict, cluster.ErrInvalid: admin.ErrInvalid, cluster.ErrNotFound: admin.ErrNotFound,
		cluster.ErrExhausted: admin.ErrConflict}
	for of, k := range kind {
		if errors.Is(err, of) {
			return fmt.Errorf("%w: %w", err, k)
		}
	}
	return err
}

// recover takes over what an earlier router of this host has left: networks first, for the containers are known by them.
func (m *member) recover() error {
	known := m.client.Registered()
	s := m.client.State()
	for _, r := range known {
		if n := s.Network(r.Network); n != nil {
			if err := m.addNetwork(n); err != nil {
				return err
			}
		}
	}
	alive, err := m.host.Recover(m.forget)
	if err != nil {
		return err
	}
	for _, r := range known {
		if !alive[r.Instance] {
			m.unregister(r.Network, r.Name.Name, r.Instance)
		}
	}
	return nil
}

// forget unregisters a container that did not come back.
func (m *member) forget(id string) {
	for _, r := range m.client.Registered() {
		if r.Instance == id {
			m.unregister(r.Network, r.Name.Name, id)
		}
	}
}

// AddMR is verbs.MRWatch's.
func (m *member) AddMR(r verbs.MRRow) {
	m.mrs.Store(r.ID, r.LKey)
	m.client.AddMR(cluster.MR{ID: r.ID, Container: cluster.Name{Network: r.Container.Network, Name: r.Container.Name}, PID: uint32(r.PID),
		LKey: uint32(r.LKey), RKey: uint32(r.RKey), Addr: r.Start, Length: r.Length, Access: uint32(r.Access)})
}

// RemoveMR is verbs.MRWatch's.
func (m *member) RemoveMR(id uint64) {
	m.mrs.Delete(id)
	m.client.RemoveMR(id)
}

// revoke takes a registration out of peers' reach.
func (m *member) revoke(id uint64) {
	if key, ok := m.mrs.Load(id); ok {
		if err := m.dev.RevokeMR(verbs.RKey(key.(verbs.LKey))); err == nil {
			m.log.Info("registration revoked", "id", id)
		}
	}
	m.client.RemoveMR(id)
}
