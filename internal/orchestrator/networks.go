package orchestrator

import (
	"context"
	"net/netip"

	"connectrpc.com/connect"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/protobuf/proto"

	pb "github.com/freeflow-rdma/freeflow/api/freeflow/v1"
)

// DefaultNetwork is there from a cluster's first start on.
const DefaultNetwork = "default"

// ensureDefault makes the network default if there is none.
func (s *Store) ensureDefault(ctx context.Context, cidr netip.Prefix) error {
	s.mirror.mu.RLock()
	have := s.mirror.nets[DefaultNetwork] != nil
	s.mirror.mu.RUnlock()
	if have {
		return nil
	}
	n := &pb.Object{Spec: &pb.Object_Network{Network: &pb.Network{Name: DefaultNetwork, Cidr: cidr.String()}}}
	_, err := s.apply(ctx, &pb.ApplyRequest{Objects: []*pb.Object{n}}, true)
	return err
}

// planNetwork says what makes the network be as given. The one in force is old; nil: there is none.
func (p *plan) planNetwork(n *pb.Network) (*pb.Network, error) {
	if field, err := checkNetwork(n); err != nil {
		return nil, p.wrong(field, "%w", err)
	}
	old := p.view.networks[n.Name]
	n = proto.CloneOf(n)
	if old != nil && n.Vni == 0 {
		n.Vni = old.Vni
	}
	if n.Vni == 0 {
		n.Vni = p.view.freeVNI()
	}
	key := p.keys.network(n.Name)
	p.when = append(p.when, unchanged(key, p.view.revs[n.Name]))
	if old != nil {
		if proto.Equal(old, n) {
			p.done(pb.ApplyResponse_ACTION_UNCHANGED)
			return n, nil
		}
		if n.Vni != old.Vni {
			return nil, p.wrong("spec.vni", "network %s has %d: it stays until the network is deleted", n.Name, old.Vni)
		}
		if err := p.fits(n, old); err != nil {
			return nil, err
		}
		p.then = append(p.then, clientv3.OpPut(key, encode(n)))
		p.view.networks[n.Name] = n
		p.changes = append(p.changes, changed{networkChange(old), networkChange(n)})
		p.done(pb.ApplyResponse_ACTION_CHANGED)
		return n, nil
	}
	if owner := p.view.vnis[n.Vni]; owner != "" {
		return nil, p.wrong("spec.vni", "%d is network %s's", n.Vni, owner)
	}
	p.when = append(p.when, absent(p.keys.vni(n.Vni)))
	p.then = append(p.then, clientv3.OpPut(key, encode(n)), clientv3.OpPut(p.keys.vni(n.Vni), n.Name))
	p.view.networks[n.Name], p.view.vnis[n.Vni] = n, n.Name
	p.changes = append(p.changes, changed{nil, networkChange(n)})
	p.done(pb.ApplyResponse_ACTION_CREATED)
	return n, nil
}

// fits says whether the containers that there are have addresses in the network's new prefix.
func (p *plan) fits(n, old *pb.Network) error {
	if n.Cidr == old.Cidr {
		return nil
	}
	// No container may come in between.
	p.when = append(p.when, clientv3.Compare(clientv3.ModRevision(p.keys.containersOf(n.Name)), "<", p.view.rev+1).WithPrefix())
	pool := newPool(netip.MustParsePrefix(n.Cidr)) // checked
	for key, c := range p.view.containers {
		if key.Network == n.Name && !pool.has(addrOf(c)) {
			return p.wrong("spec.cidr", "container %s has %s, which %s cannot assign", key, c.Ip, n.Cidr)
		}
	}
	return nil
}

// DeleteNetwork removes a network that has no containers, not even stopped ones.
func (s *Store) DeleteNetwork(ctx context.Context, name string) error {
	if name == DefaultNetwork {
		return failf(connect.CodeFailedPrecondition, "network %s stays", name)
	}
	if err := s.mirror.Catch(ctx); err != nil {
		return fail("delete network", err)
	}
	s.mirror.mu.RLock()
	e := s.mirror.nets[name]
	s.mirror.mu.RUnlock()
	if e == nil {
		return failf(connect.CodeNotFound, "there is no network %q", name)
	}
	inUse := s.keys.containersOf(name)
	done, err := s.txn(ctx,
		[]clientv3.Cmp{unchanged(s.keys.network(name), e.rev), absent(inUse).WithPrefix()},
		clientv3.OpDelete(s.keys.network(name)), clientv3.OpDelete(s.keys.vni(e.net.Vni)))
	if err != nil {
		return fail("delete network", err)
	}
	if !done {
		return failf(connect.CodeFailedPrecondition, "network %s has containers, running or stopped: freeflow get containers", name)
	}
	s.tell(ctx, networkChange(e.net), nil)
	return nil
}
