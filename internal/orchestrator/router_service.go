package orchestrator

import (
	"context"
	"strings"

	"connectrpc.com/connect"

	pb "github.com/freeflow-rdma/freeflow/api/freeflow/v1"
)

// routerService answers routers. The host is always the one that the caller's certificate names.
type routerService struct{ store *Store }

// Join is part of the API.
func (s routerService) Join(ctx context.Context, r *connect.Request[pb.JoinRequest]) (*connect.Response[pb.JoinResponse], error) {
	cert, err := s.store.Join(ctx, r.Msg)
	if err != nil {
		return nil, err
	}
	s.store.log.Info("host joined", "host", r.Msg.Host, "underlay", r.Msg.Underlay)
	return connect.NewResponse(&pb.JoinResponse{Certificate: cert, Ca: s.store.ca.Cert.Raw, Cluster: clusterName(s.store.ca)}), nil
}

// Renew is part of the API.
func (s routerService) Renew(ctx context.Context, r *connect.Request[pb.RenewRequest]) (*connect.Response[pb.RenewResponse], error) {
	c := callerOf(ctx)
	cert, err := s.store.Renew(ctx, c.Identity, c.cert, r.Msg.Csr)
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&pb.RenewResponse{Certificate: cert}), nil
}

// Heartbeat is part of the API.
func (s routerService) Heartbeat(ctx context.Context, r *connect.Request[pb.HeartbeatRequest]) (*connect.Response[pb.HeartbeatResponse], error) {
	lease, err := s.store.Heartbeat(ctx, callerOf(ctx).Identity, r.Msg)
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&pb.HeartbeatResponse{Lease: lease, TtlMs: s.store.ttl.Milliseconds()}), nil
}

// RegisterContainer is part of the API.
func (s routerService) RegisterContainer(ctx context.Context, r *connect.Request[pb.RegisterContainerRequest]) (*connect.Response[pb.RegisterContainerResponse], error) {
	c, n, err := s.store.Register(ctx, callerOf(ctx).Name, r.Msg)
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&pb.RegisterContainerResponse{Container: c, ItsNetwork: n}), nil
}

// UnregisterContainer is part of the API.
func (s routerService) UnregisterContainer(ctx context.Context, r *connect.Request[pb.UnregisterContainerRequest]) (*connect.Response[pb.UnregisterContainerResponse], error) {
	err := s.store.Unregister(ctx, callerOf(ctx).Name, Name{r.Msg.Network, r.Msg.Name}, r.Msg.Instance)
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&pb.UnregisterContainerResponse{}), nil
}

// SyncContainers is part of the API.
func (s routerService) SyncContainers(ctx context.Context, r *connect.Request[pb.SyncContainersRequest]) (*connect.Response[pb.SyncContainersResponse], error) {
	lost, err := s.store.Sync(ctx, callerOf(ctx).Name, r.Msg.Containers)
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&pb.SyncContainersResponse{Lost: lost}), nil
}

// ReportMRs is part of the API.
func (s routerService) ReportMRs(ctx context.Context, r *connect.Request[pb.ReportMRsRequest]) (*connect.Response[pb.ReportMRsResponse], error) {
	if err := s.store.ReportMRs(ctx, callerOf(ctx).Name, r.Msg); err != nil {
		return nil, err
	}
	return connect.NewResponse(&pb.ReportMRsResponse{}), nil
}

// Watch is part of the API.
func (s routerService) Watch(ctx context.Context, r *connect.Request[pb.WatchRequest], out *connect.ServerStream[pb.WatchResponse]) error {
	host, cluster := callerOf(ctx).Name, clusterName(s.store.ca)
	rev := r.Msg.Revision
	if r.Msg.Cluster != cluster {
		rev = 0
	}
	w := s.store.mirror.Watch(ctx, rev, func(c *pb.Change) bool { return concerns(host, c) })
	// What the caller has may be current for long: it is to know at once that it is connected.
	if err := out.Send(&pb.WatchResponse{Cluster: cluster, Revision: rev, Snapshot: rev == 0, More: rev == 0}); err != nil {
		return err
	}
	for {
		b, err := w.Next(ctx)
		if err != nil {
			return err
		}
		if err := sendBatch(out, cluster, b); err != nil {
			return err
		}
	}
}

// concerns says whether a router is told of a change: all but other hosts' revocations.
func concerns(host string, c *pb.Change) bool {
	switch w := c.What.(type) {
	case *pb.Change_Revocation:
		return w.Revocation.Host == host
	case *pb.Change_Removed:
		return w.Removed.Kind != pb.Kind_KIND_REVOCATION || strings.HasPrefix(w.Removed.Name, host+"/")
	}
	return true
}

func sendBatch(out *connect.ServerStream[pb.WatchResponse], cluster string, b batch) error {
	for {
		n := min(chunk, len(b.changes))
		m := &pb.WatchResponse{Cluster: cluster, Revision: b.rev, Snapshot: b.snapshot, Changes: b.changes[:n], More: n < len(b.changes)}
		if err := out.Send(m); err != nil {
			return err
		}
		if b.changes = b.changes[n:]; len(b.changes) == 0 {
			return nil
		}
	}
}
