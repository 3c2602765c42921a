package orchestrator

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"connectrpc.com/connect"
	clientv3 "go.etcd.io/etcd/client/v3"

	pb "github.com/freeflow-rdma/freeflow/api/freeflow/v1"
)

// usageService is the API's UsageService.
type usageService struct{ usage *UsageStore }

// Report is part of the API.
func (s usageService) Report(ctx context.Context, r *connect.Request[pb.UsageReport]) (*connect.Response[pb.UsageReportAnswer], error) {
	host, now := callerOf(ctx).Name, time.Now().UnixNano()
	u := s.usage
	if err := u.checkReport(host, r.Msg); err != nil {
		return nil, err
	}
	u.reports.Add(1)
	taken, settled, epoch, err := u.take(ctx, host, r.Msg)
	if err != nil {
		return nil, err
	}
	if taken {
		u.live.take(host, r.Msg, now)
	}
	return connect.NewResponse(&pb.UsageReportAnswer{
		IntervalMs: u.live.interval(now).Milliseconds(), Settled: settled, Inspect: u.live.wanted(host, now), Epoch: epoch,
	}), nil
}

// Get is part of the API.
func (s usageService) Get(ctx context.Context, r *connect.Request[pb.GetUsageRequest]) (*connect.Response[pb.GetUsageResponse], error) {
	answer, err := s.usage.query(ctx, r.Msg, time.Now())
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(answer), nil
}

// Live is part of the API.
func (s usageService) Live(_ context.Context, r *connect.Request[pb.LiveRequest]) (*connect.Response[pb.LiveResponse], error) {
	return connect.NewResponse(s.usage.live.view(r.Msg, time.Now().UnixNano())), nil
}

// WatchLive is part of the API.
func (s usageService) WatchLive(ctx context.Context, r *connect.Request[pb.LiveRequest], out *connect.ServerStream[pb.LiveResponse]) error {
	tick := time.NewTicker(watchInterval)
	defer tick.Stop()
	for {
		if err := out.Send(s.usage.live.view(r.Msg, time.Now().UnixNano())); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

const (
	inspectedMRs   = 256  // that are shown
	inspectedFlows = 100  // that are shown
	scannedMRs     = 5000 // of a host that are looked through
)

// Inspect is part of the API.
func (s usageService) Inspect(ctx context.Context, r *connect.Request[pb.InspectRequest]) (*connect.Response[pb.InspectResponse], error) {
	name, now := Name{cmp.Or(r.Msg.Network, DefaultNetwork), r.Msg.Name}, time.Now().UnixNano()
	l := s.usage.live
	view := l.mirror.scene(now)
	c := view.containers[name]
	if c == nil {
		return nil, failf(connect.CodeNotFound, "there is no container %s", name)
	}
	answer := &pb.InspectResponse{}
	if d := l.lookAt(name, now); d != nil && d.msg.Instance == c.Instance {
		answer.Details, answer.DetailsAt = d.msg, d.at
	}
	l.mu.Lock()
	answer.Container = l.shownContainer(c, view.tenants[name.Network], now, true)
	flows := l.flows(view)
	l.mu.Unlock()
	answer.Flows, _ = pageOfFlows(view, flows, &pb.Page{Container: name.String(), Limit: inspectedFlows}, inspectedFlows)
	answer.Policies = s.usage.board.matches(l.mirror, c, view.tenants[name.Network])
	var err error
	if answer.Mrs, answer.MrsTotal, err = s.usage.mrsOf(ctx, c); err != nil {
		return nil, err
	}
	return connect.NewResponse(answer), nil
}

// mrsOf are a container's memory regions, as far as there is room for them.
func (u *UsageStore) mrsOf(ctx context.Context, c *pb.Container) (list []*pb.MR, total uint32, err error) {
	if c.State != pb.Container_STATE_RUNNING {
		return nil, 0, nil
	}
	ctx, cancel := context.WithTimeout(ctx, opPatience)
	defer cancel()
	got, err := u.client.Get(ctx, u.keys.mrsOf(c.Host), clientv3.WithPrefix(), clientv3.WithLimit(scannedMRs))
	if err != nil {
		return nil, 0, fail("list memory regions", err)
	}
	for _, kv := range got.Kvs {
		mr := &pb.MR{}
		if decode(kv.Value, mr) != nil || mr.Network != c.Network || mr.Container != c.Name {
			continue
		}
		if total++; len(list) < inspectedMRs {
			list = append(list, mr)
		}
	}
	slices.SortFunc(list, func(a, b *pb.MR) int { return cmp.Compare(b.Length, a.Length) })
	return list, total, nil
}

// byName is a query's grouping as people write it.
func byName(by pb.GetUsageRequest_By) string {
	return strings.ToLower(strings.TrimPrefix(by.String(), "BY_"))
}
