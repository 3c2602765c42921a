package orchestrator

import (
	"cmp"
	"context"
	"slices"
	"time"

	"connectrpc.com/connect"
	clientv3 "go.etcd.io/etcd/client/v3"

	pb "github.com/freeflow-rdma/freeflow/api/freeflow/v1"
	"github.com/freeflow-rdma/freeflow/internal/orchestrator/policies"
)

// clusterService answers operators.
type clusterService struct{ store *Store }

var listed = []pb.Kind{pb.Kind_KIND_HOST, pb.Kind_KIND_NETWORK, pb.Kind_KIND_CONTAINER, pb.Kind_KIND_MR, pb.Kind_KIND_POLICY}

func checkKind(k pb.Kind) error {
	if !slices.Contains(listed, k) && !policies.IsKind(k) {
		return failf(connect.CodeInvalidArgument, "kind %s cannot be listed", k)
	}
	return nil
}

// ofKind is a filter for watchers.
func ofKind(k pb.Kind) func(*pb.Change) bool {
	if k == pb.Kind_KIND_POLICY {
		return func(c *pb.Change) bool { return policies.IsKind(refOf(c).kind) }
	}
	return func(c *pb.Change) bool { return refOf(c).kind == k }
}

// List is part of the API.
func (s clusterService) List(ctx context.Context, r *connect.Request[pb.ListRequest]) (*connect.Response[pb.ListResponse], error) {
	if err := checkKind(r.Msg.Kind); err != nil {
		return nil, err
	}
	if r.Msg.Kind == pb.Kind_KIND_MR {
		items, rev, err := s.store.MRs(ctx)
		if err != nil {
			return nil, err
		}
		return connect.NewResponse(&pb.ListResponse{Revision: rev, Items: items}), nil
	}
	wait, cancel := context.WithTimeout(ctx, opPatience)
	defer cancel()
	if err := s.store.mirror.Catch(wait); err != nil {
		return nil, fail("list", err)
	}
	b, _ := (&watcher{m: s.store.mirror, want: ofKind(r.Msg.Kind)}).take()
	sortByName(b.changes)
	return connect.NewResponse(&pb.ListResponse{Revision: b.rev, Items: b.changes}), nil
}

func sortByName(list []*pb.Change) {
	slices.SortFunc(list, func(a, b *pb.Change) int {
		x, y := refOf(a), refOf(b)
		return cmp.Or(cmp.Compare(x.kind, y.kind), cmp.Compare(x.network, y.network), cmp.Compare(x.name, y.name))
	})
}

// Watch is part of the API.
func (s clusterService) Watch(ctx context.Context, r *connect.Request[pb.ListRequest], out *connect.ServerStream[pb.WatchListResponse]) error {
	if err := checkKind(r.Msg.Kind); err != nil {
		return err
	}
	if r.Msg.Kind == pb.Kind_KIND_MR {
		return s.watchMRs(ctx, out)
	}
	w := s.store.mirror.Watch(ctx, 0, ofKind(r.Msg.Kind))
	for {
		b, err := w.Next(ctx)
		if err != nil {
			return err
		}
		if b.snapshot {
			sortByName(b.changes)
		}
		if err := out.Send(&pb.WatchListResponse{Revision: b.rev, Snapshot: b.snapshot, Items: b.changes}); err != nil {
			return err
		}
	}
}

// watchMRs sends the whole memory map, again after each change but not more often than people can read.
func (s clusterService) watchMRs(ctx context.Context, out *connect.ServerStream[pb.WatchListResponse]) error {
	changes := s.store.client.Watch(ctx, s.store.keys.mrs(), clientv3.WithPrefix())
	for {
		items, rev, err := s.store.MRs(ctx)
		if err != nil {
			return err
		}
		if err := out.Send(&pb.WatchListResponse{Revision: rev, Snapshot: true, Items: items}); err != nil {
			return err
		}
		for seen := rev; seen <= rev; {
			r, ok := <-changes
			if !ok || r.Err() != nil {
				return fail("watch memory regions", cmp.Or(r.Err(), ctx.Err(), context.Canceled))
			}
			if len(r.Events) > 0 {
				seen = r.Events[len(r.Events)-1].Kv.ModRevision
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Second / 2):
		}
	}
}

// Apply is part of the API.
func (s clusterService) Apply(ctx context.Context, r *connect.Request[pb.ApplyRequest]) (*connect.Response[pb.ApplyResponse], error) {
	answer, err := s.store.Apply(ctx, r.Msg)
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(answer), nil
}

// Delete is part of the API.
func (s clusterService) Delete(ctx context.Context, r *connect.Request[pb.DeleteRequest]) (*connect.Response[pb.DeleteResponse], error) {
	ref := r.Msg.GetRef()
	var err error
	switch ref.GetKind() {
	case pb.Kind_KIND_HOST:
		err = s.store.DeleteHost(ctx, ref.Name, r.Msg.Force)
	case pb.Kind_KIND_NETWORK:
		err = s.store.DeleteNetwork(ctx, ref.Name)
	case pb.Kind_KIND_CONTAINER:
		err = s.store.DeleteContainer(ctx, Name{cmp.Or(ref.Network, DefaultNetwork), ref.Name})
	case pb.Kind_KIND_MR:
		err = s.revoke(ctx, ref.Name)
	case pb.Kind_KIND_POLICY, pb.Kind_KIND_ACCESS_POLICY, pb.Kind_KIND_QUOTA, pb.Kind_KIND_RATE_LIMIT, pb.Kind_KIND_PRIORITY, pb.Kind_KIND_ENGINE_MODE:
		err = s.store.DeletePolicy(ctx, ref.Kind, ref.Name)
	default:
		err = failf(connect.CodeInvalidArgument, "kind %s cannot be deleted", ref.GetKind())
	}
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&pb.DeleteResponse{}), nil
}

func (s clusterService) revoke(ctx context.Context, name string) error {
	host, id, err := ParseMRName(name)
	if err != nil {
		return failf(connect.CodeInvalidArgument, "%w", err)
	}
	return s.store.RevokeMR(ctx, host, id)
}

// RevokeMR is part of the API.
func (s clusterService) RevokeMR(ctx context.Context, r *connect.Request[pb.RevokeMRRequest]) (*connect.Response[pb.RevokeMRResponse], error) {
	if err := s.store.RevokeMR(ctx, r.Msg.Host, r.Msg.Id); err != nil {
		return nil, err
	}
	return connect.NewResponse(&pb.RevokeMRResponse{}), nil
}

// CreateToken is part of the API.
func (s clusterService) CreateToken(ctx context.Context, r *connect.Request[pb.CreateTokenRequest]) (*connect.Response[pb.CreateTokenResponse], error) {
	token, expires, err := s.store.CreateToken(ctx, time.Duration(r.Msg.TtlMs)*time.Millisecond, r.Msg.SingleUse)
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&pb.CreateTokenResponse{Token: token.String(), Expires: expires.UnixNano()}), nil
}
