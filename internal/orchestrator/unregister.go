package orchestrator

import (
	"context"
	"errors"

	"connectrpc.com/connect"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/protobuf/proto"

	pb "github.com/freeflow-rdma/freeflow/api/freeflow/v1"
)

// Unregister stops a container on host: only its reservation stays, and nothing of an ephemeral one. It does
// nothing if that instance does not run there.
func (s *Store) Unregister(ctx context.Context, host string, key Name, instance string) error {
	for try := range maxTries {
		v, err := s.look(ctx, key, try > 0)
		if connect.CodeOf(err) == connect.CodeNotFound {
			return nil
		}
		if err != nil {
			return fail("unregister container", err)
		}
		if v.c == nil || v.c.State != pb.Container_STATE_RUNNING || v.c.Host != host || v.c.Instance != instance {
			if try == 0 {
				continue // the mirror may not know of its start yet
			}
			return nil
		}
		done, err := s.stop(ctx, v)
		if err != nil || done {
			return fail("unregister container", err)
		}
	}
	return errBusy
}

func (s *Store) stop(ctx context.Context, v *view) (bool, error) {
	key := s.keys.container(v.key)
	when := []clientv3.Cmp{unchanged(key, v.rev)}
	if v.c.Ephemeral {
		return s.txn(ctx, when, clientv3.OpDelete(key), clientv3.OpDelete(s.keys.address(v.key.Network, v.c.Ip)))
	}
	return s.txn(ctx, when, clientv3.OpPut(key, encode(stopped(v.c))))
}

func stopped(c *pb.Container) *pb.Container {
	c = proto.CloneOf(c)
	c.State, c.Since = pb.Container_STATE_STOPPED, now()
	return c
}

// Sync makes the containers that run on host be those, and tells which of them cannot be.
func (s *Store) Sync(ctx context.Context, host string, running []*pb.RegisterContainerRequest) ([]*pb.SyncContainersResponse_Lost, error) {
	if err := s.mirror.Catch(ctx); err != nil {
		return nil, fail("synchronise containers", err)
	}
	here := make(map[Name]bool, len(running))
	for _, r := range running {
		here[Name{r.Network, r.Name}] = true
	}
	for _, c := range s.mirror.runningOn(host) {
		key := Name{c.Network, c.Name}
		if here[key] {
			continue
		}
		if err := s.Unregister(ctx, host, key, c.Instance); err != nil {
			return nil, err
		}
	}
	var lost []*pb.SyncContainersResponse_Lost
	for _, r := range running {
		_, _, err := s.Register(ctx, host, r)
		switch connect.CodeOf(err) {
		case connect.CodeAlreadyExists, connect.CodeNotFound, connect.CodeInvalidArgument, connect.CodeResourceExhausted:
			var c *connect.Error
			errors.As(err, &c)
			lost = append(lost, &pb.SyncContainersResponse_Lost{Network: r.Network, Name: r.Name, Instance: r.Instance, Reason: c.Message()})
		default:
			if err != nil {
				return nil, err
			}
		}
	}
	return lost, nil
}

// runningOn lists the containers that run on a host, as far as the mirror knows.
func (m *Mirror) runningOn(host string) []*pb.Container {
	m.mu.RLock()
	defer m.mu.RUnlock()
	var list []*pb.Container
	for _, e := range m.byName {
		if e.c.Host == host && e.c.State == pb.Container_STATE_RUNNING {
			list = append(list, e.c)
		}
	}
	return list
}
