package orchestrator

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"connectrpc.com/connect"
	clientv3 "go.etcd.io/etcd/client/v3"

	pb "github.com/freeflow-rdma/freeflow/api/freeflow/v1"
)

const (
	auditPage    = 200
	auditMaxPage = 1000
)

// auditService is the API's AuditService.
type auditService struct{ audit *auditLog }

// List is part of the API.
func (s auditService) List(ctx context.Context, r *connect.Request[pb.ListAuditRequest]) (*connect.Response[pb.ListAuditResponse], error) {
	answer, _, err := s.audit.list(ctx, r.Msg)
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(answer), nil
}

// list reads the latest events that match, and returns the revision that they are of.
func (a *auditLog) list(ctx context.Context, r *pb.ListAuditRequest) (*pb.ListAuditResponse, int64, error) {
	limit := min(cmp.Or(int(r.Limit), auditPage), auditMaxPage)
	if limit < 0 {
		return nil, 0, failf(connect.CodeInvalidArgument, "limit %d: want 1 to %d", r.Limit, auditMaxPage)
	}
	ctx, cancel := context.WithTimeout(ctx, loadPatience)
	defer cancel()
	from, end := a.keys.audit(auditID(r.Since)), clientv3.GetPrefixRangeEnd(a.keys.audit(""))
	if r.Until != 0 {
		end = a.keys.audit(auditID(r.Until + 1))
	}
	if r.Before != "" {
		end = min(end, a.keys.audit(r.Before))
	}
	answer := &pb.ListAuditResponse{DeniedTotal: a.total.Load()}
	var rev int64
	for from < end {
		opts := []clientv3.OpOption{clientv3.WithRange(end), clientv3.WithLimit(auditMaxPage), clientv3.WithSort(clientv3.SortByKey, clientv3.SortDescend)}
		if rev != 0 {
			opts = append(opts, clientv3.WithRev(rev))
		}
		got, err := a.client.Get(ctx, from, opts...)
		if err != nil {
			return nil, 0, fail("read the audit", err)
		}
		rev = cmp.Or(rev, got.Header.Revision)
		for _, kv := range got.Kvs {
			end = string(kv.Key)
			e, err := readEvent(kv.Value)
			if err != nil || !matches(e, r.Search) {
				continue
			}
			if len(answer.Events) == limit {
				answer.More = true
				return answer, rev, nil
			}
			answer.Events = append(answer.Events, e)
		}
		if !got.More {
			break
		}
	}
	return answer, rev, nil
}

// matches says whether an event has the words in it.
func matches(e *pb.AuditEvent, search string) bool {
	if search == "" {
		return true
	}
	search = strings.ToLower(search)
	return slices.ContainsFunc([]string{e.Actor, e.Action, e.Kind, e.Object, e.Reason, e.Source}, func(s string) bool {
		return strings.Contains(strings.ToLower(s), search)
	})
}

// Watch is part of the API.
func (s auditService) Watch(ctx context.Context, r *connect.Request[pb.ListAuditRequest], out *connect.ServerStream[pb.WatchAuditResponse]) error {
	first, rev, err := s.audit.list(ctx, r.Msg)
	if err != nil {
		return err
	}
	slices.Reverse(first.Events)
	if err := out.Send(&pb.WatchAuditResponse{Events: first.Events}); err != nil {
		return err
	}
	if rev == 0 {
		rev = 1
	}
	for got := range s.audit.client.Watch(clientv3.WithRequireLeader(ctx), s.audit.keys.audit(""), clientv3.WithPrefix(), clientv3.WithRev(rev+1)) {
		if err := got.Err(); err != nil {
			return fail("watch the audit", err)
		}
		var list []*pb.AuditEvent
		for _, ev := range got.Events {
			if ev.Type == clientv3.EventTypeDelete {
				continue
			}
			if e, err := readEvent(ev.Kv.Value); err == nil && matches(e, r.Msg.Search) {
				list = append(list, e)
			}
		}
		if len(list) == 0 {
			continue
		}
		if err := out.Send(&pb.WatchAuditResponse{Events: list}); err != nil {
			return err
		}
	}
	return ctx.Err()
}
