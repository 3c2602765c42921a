package orchestrator

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"

	"connectrpc.com/connect"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	pb "github.com/freeflow-rdma/freeflow/api/freeflow/v1"
)

// A registration goes through these steps, again from the top if the transaction finds that others were faster:
//
//	look     what is known of the name: from the mirror at first, from etcd when that was late
//	claim    may this host run it, and which address does it get (may be "any")
//	pick     if any: a free one of the pool; if none is free: that of a container that stopped long ago
//	txn      compare all that was looked at; write container and address
//
// A container has exactly one key under addresses/, which holds its name: both are always written together.

func asConnect(err error, into **connect.Error) bool { return errors.As(err, into) }

// Register starts a container on host, and returns it with its network.
func (s *Store) Register(ctx context.Context, host string, r *pb.RegisterContainerRequest) (*pb.Container, *pb.Network, error) {
	if err := checkRegistration(r); err != nil {
		return nil, nil, err
	}
	for try := range maxTries {
		v, err := s.look(ctx, Name{r.Network, r.Name}, try > 0)
		if err != nil {
			return nil, nil, fail("register container", err)
		}
		c, done, err := s.register(ctx, host, r, v, try)
		if err != nil {
			return nil, nil, fail("register container", err)
		}
		if done {
			return c, v.net.net, nil
		}
	}
	return nil, nil, errBusy
}

// view is what a decision about one container is based on.
type view struct {
	key       Name
	net       *networkEntry
	c         *pb.Container // nil: there is none
	rev       int64
	hostAlive bool // of the host that c names
}

// look sees from the mirror, or, if it was late before, from etcd.
func (s *Store) look(ctx context.Context, key Name, late bool) (*view, error) {
	if late {
		ctx, cancel := context.WithTimeout(ctx, opPatience)
		defer cancel()
		if err := s.mirror.Catch(ctx); err != nil {
			return nil, err
		}
	}
	m := s.mirror
	m.mu.RLock()
	defer m.mu.RUnlock()
	v := &view{key: key, net: m.nets[key.Network]}
	if v.net == nil {
		return nil, failf(connect.CodeNotFound, "there is no network %q", key.Network)
	}
	if e := m.byName[key]; e != nil {
		v.c, v.rev = e.c, e.rev
		h := m.hosts[e.c.Host]
		v.hostAlive = h != nil && h.lease != 0
	}
	return v, nil
}

// claim says which address the registration is to get, if it is to get a certain one, or why it gets none.
func claim(host string, r *pb.RegisterContainerRequest, v *view) (netip.Addr, error) {
	var want netip.Addr
	if r.Ip != "" {
		var err error
		if want, err = netip.ParseAddr(r.Ip); err != nil {
			return want, failf(connect.CodeInvalidArgument, "address %q: want an IPv4 address", r.Ip)
		}
		if want = want.Unmap(); !v.net.pool.has(want) {
			return want, failf(connect.CodeInvalidArgument, "address %s is not one that network %s (%s) can assign", want, v.key.Network, v.net.prefix)
		}
	}
	if v.c == nil {
		return want, nil
	}
	if v.c.State == pb.Container_STATE_RUNNING && v.c.Host != host && v.hostAlive {
		return want, failf(connect.CodeAlreadyExists, "container %s runs on host %s", v.key, v.c.Host)
	}
	if !want.IsValid() {
		if had := addrOf(v.c); v.net.pool.has(had) {
			return had, nil
		}
	}
	return want, nil
}

// register takes and carries out one decision. It is not done if the view was out of date.
func (s *Store) register(ctx context.Context, host string, r *pb.RegisterContainerRequest, v *view, try int) (*pb.Container, bool, error) {
	ip, err := claim(host, r, v)
	if err != nil {
		return nil, false, err
	}
	if same(v.c, host, r, ip) {
		return v.c, true, nil
	}
	var victim *containerEntry
	if !ip.IsValid() {
		if ip, victim, err = s.pick(v.net, try); err != nil {
			return nil, false, err
		}
		defer v.net.pool.letGo(ip)
	}
	c := &pb.Container{
		Network: r.Network, Name: r.Name, Ip: ip.String(), State: pb.Container_STATE_RUNNING, Host: host,
		Instance: r.Instance, Ephemeral: r.Ephemeral, Mode: r.Mode, Labels: maps.Clone(r.Labels), Since: now(),
	}
	when, then := s.registration(host, v, c, victim)
	at := s.keys.address(r.Network, c.Ip)
	done, got, err := s.txnElse(ctx, when, then, []clientv3.Op{clientv3.OpGet(at), clientv3.OpGet(s.keys.alive(host))})
	if err != nil || done {
		return c, done, err
	}
	if got.Responses[1].GetResponseRange().Count == 0 {
		return nil, false, failf(connect.CodeFailedPrecondition, "host %s has no lease: heartbeat first", host)
	}
	return nil, false, s.occupied(ctx, r, got.Responses[0].GetResponseRange().Kvs)
}

// same says that the container is already as it is asked to be.
func same(c *pb.Container, host string, r *pb.RegisterContainerRequest, ip netip.Addr) bool {
	return c != nil && c.State == pb.Container_STATE_RUNNING && c.Host == host && c.Instance == r.Instance &&
		c.Ip == ip.String() && c.Mode == r.Mode && c.Ephemeral == r.Ephemeral && maps.Equal(c.Labels, r.Labels)
}

// registration is the transaction that makes the container be c.
func (s *Store) registration(host string, v *view, c *pb.Container, victim *containerEntry) ([]clientv3.Cmp, []clientv3.Op) {
	key, at := s.keys.container(v.key), s.keys.address(c.Network, c.Ip)
	when := []clientv3.Cmp{
		unchanged(key, v.rev), unchanged(s.keys.network(c.Network), v.net.rev), present(s.keys.alive(host)),
	}
	then := []clientv3.Op{clientv3.OpPut(key, encode(c))}
	if v.c != nil && v.c.State == pb.Container_STATE_RUNNING && v.c.Host != host {
		when = append(when, absent(s.keys.alive(v.c.Host)))
	}
	if v.c != nil && v.c.Ip == c.Ip {
		return when, then
	}
	then = append(then, clientv3.OpPut(at, v.key.Name))
	if v.c != nil {
		then = append(then, clientv3.OpDelete(s.keys.address(c.Network, v.c.Ip)))
	}
	if victim == nil {
		return append(when, absent(at)), then
	}
	old := s.keys.container(Name{victim.c.Network, victim.c.Name})
	when = append(when, unchanged(old, victim.rev))
	if victim.c.State == pb.Container_STATE_RUNNING {
		when = append(when, absent(s.keys.alive(victim.c.Host)))
	}
	return when, append(then, clientv3.OpDelete(old))
}

// occupied decides what it means that the address is taken: an error if it was asked for, another try if not.
func (s *Store) occupied(ctx context.Context, r *pb.RegisterContainerRequest, holder []*mvccpb.KeyValue) error {
	if len(holder) == 0 {
		return nil
	}
	name := string(holder[0].Value)
	if r.Ip != "" && name != r.Name {
		return failf(connect.CodeAlreadyExists, "address %s belongs to container %s/%s (if that is no longer wanted: freeflow delete container %s)",
			r.Ip, r.Network, name, name)
	}
	// Before the next pick the mirror must know that this one is taken.
	ctx, cancel := context.WithTimeout(ctx, opPatience)
	defer cancel()
	return s.mirror.Wait(ctx, holder[0].ModRevision)
}

// pick finds an address for a container that may have any. Orchestrators begin at the lowest free one, and so
// get in each other's way; whoever has lost a few times looks elsewhere.
func (s *Store) pick(n *networkEntry, try int) (netip.Addr, *containerEntry, error) {
	var from uint32
	if try > 2 {
		from = rand.Uint32()
	}
	if ip, ok := n.pool.pick(from); ok {
		return ip, nil, nil
	}
	victim := s.mirror.idleFor(n.net.Name, try)
	if victim == nil {
		return netip.Addr{}, nil, failf(connect.CodeResourceExhausted, "network %s (%s) has no free address left", n.net.Name, n.prefix)
	}
	return addrOf(victim.c), victim, nil
}

// idleFor is the container that stopped first, or, if all run, an ephemeral one whose host is gone; nil if there is none.
// At a later try it is one that stopped a little later: others are after the first.
func (m *Mirror) idleFor(network string, try int) *containerEntry {
	m.mu.RLock()
	defer m.mu.RUnlock()
	var list []*containerEntry
	for _, e := range m.byName {
		if e.c.Network == network && m.idle(e.c) {
			list = append(list, e)
		}
	}
	if len(list) == 0 {
		return nil
	}
	slices.SortFunc(list, func(a, b *containerEntry) int { return idleBefore(a.c, b.c) })
	return list[rand.IntN(min(len(list), try+1))]
}

func (m *Mirror) idle(c *pb.Container) bool {
	if c.State == pb.Container_STATE_STOPPED {
		return c.Host != "" // a reservation that an operator made and nobody has used yet stays
	}
	h := m.hosts[c.Host]
	return c.Ephemeral && (h == nil || h.lease == 0)
}

func idleBefore(a, b *pb.Container) int {
	if a.State != b.State {
		if a.State == pb.Container_STATE_STOPPED {
			return -1
		}
		return 1
	}
	return cmp.Compare(a.Since, b.Since)
}
