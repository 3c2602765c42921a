package orchestrator

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"connectrpc.com/connect"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/protobuf/proto"

	pb "github.com/freeflow-rdma/freeflow/api/freeflow/v1"
)

// The memory map is in etcd alone: no orchestrator mirrors it, since nobody but an operator reads it.

const (
	// MaxMRs is how many regions one report may add or remove.
	MaxMRs = 2000
	// mrsPerTxn leaves room for a revocation beside each removal.
	mrsPerTxn = 50
)

// ReportMRs adds to and removes from a host's part of the memory map. It ends with the host's lease.
func (s *Store) ReportMRs(ctx context.Context, host string, r *pb.ReportMRsRequest) error {
	if len(r.Added)+len(r.Removed) > MaxMRs {
		return failf(connect.CodeInvalidArgument, "%d regions in one report: want at most %d", len(r.Added)+len(r.Removed), MaxMRs)
	}
	s.mirror.mu.RLock()
	var lease int64
	if h := s.mirror.hosts[host]; h != nil {
		lease = h.lease
	}
	s.mirror.mu.RUnlock()
	if lease == 0 {
		return failf(connect.CodeFailedPrecondition, "host %s has no lease: heartbeat first", host)
	}
	if r.Reset_ {
		if err := s.writeMRs(ctx, host, []clientv3.Op{clientv3.OpDelete(s.keys.mrsOf(host), clientv3.WithPrefix())}); err != nil {
			return err
		}
	}
	var ops []clientv3.Op
	flush := func(limit int) error {
		if len(ops) < limit {
			return nil
		}
		err := s.writeMRs(ctx, host, ops)
		ops = nil
		return err
	}
	seen := make(map[uint64]bool)
	for _, id := range r.Removed {
		if seen[id] {
			continue
		}
		seen[id] = true
		ops = append(ops, clientv3.OpDelete(s.keys.mr(host, id)), clientv3.OpDelete(s.keys.revocation(host, id)))
		if err := flush(2 * mrsPerTxn); err != nil {
			return err
		}
	}
	for _, mr := range r.Added {
		mr = s.checkedMR(host, mr)
		if mr == nil || seen[mr.Id] {
			continue
		}
		seen[mr.Id] = true
		ops = append(ops, clientv3.OpPut(s.keys.mr(host, mr.Id), encode(mr), clientv3.WithLease(clientv3.LeaseID(lease))))
		if err := flush(2 * mrsPerTxn); err != nil {
			return err
		}
	}
	return flush(1)
}

// checkedMR is the region as the host may report it; nil if the container is not one that it runs.
func (s *Store) checkedMR(host string, mr *pb.MR) *pb.MR {
	s.mirror.mu.RLock()
	defer s.mirror.mu.RUnlock()
	e := s.mirror.byName[Name{mr.GetNetwork(), mr.GetContainer()}]
	if e == nil || e.c.Host != host || e.c.State != pb.Container_STATE_RUNNING {
		return nil
	}
	mr = proto.CloneOf(mr)
	mr.Host = host
	return mr
}

func (s *Store) writeMRs(ctx context.Context, host string, ops []clientv3.Op) error {
	ctx, cancel := context.WithTimeout(ctx, opPatience)
	defer cancel()
	r, err := s.client.Txn(ctx).If(present(s.keys.alive(host))).Then(ops...).Commit()
	if err != nil {
		return fail("report memory regions", err)
	}
	if !r.Succeeded {
		return failf(connect.CodeFailedPrecondition, "host %s has no lease: heartbeat first", host)
	}
	return nil
}

// MRs lists the memory map in the order of hosts and numbers.
func (s *Store) MRs(ctx context.Context) ([]*pb.Change, int64, error) {
	ctx, cancel := context.WithTimeout(ctx, loadPatience)
	defer cancel()
	got, err := s.client.Get(ctx, s.keys.mrs(), clientv3.WithPrefix())
	if err != nil {
		return nil, 0, fail("list memory regions", err)
	}
	var list []*pb.Change
	for _, kv := range got.Kvs {
		mr := &pb.MR{}
		if err := decode(kv.Value, mr); err != nil {
			return nil, 0, failf(connect.CodeInternal, "%s: %w", kv.Key, err)
		}
		list = append(list, &pb.Change{What: &pb.Change_Mr{Mr: mr}})
	}
	return list, got.Header.Revision, nil
}

// RevokeMR asks the region's router to make it useless.
func (s *Store) RevokeMR(ctx context.Context, host string, id uint64) error {
	r := &pb.Revocation{Host: host, Id: id}
	done, err := s.txn(ctx, []clientv3.Cmp{present(s.keys.mr(host, id))}, clientv3.OpPut(s.keys.revocation(host, id), encode(r)))
	if err != nil {
		return fail("revoke memory region", err)
	}
	if !done {
		return failf(connect.CodeNotFound, "host %q has no memory region %d", host, id)
	}
	s.tell(ctx, nil, &pb.Change{What: &pb.Change_Revocation{Revocation: r}})
	return nil
}

// mrName is how a region is called: HOST/ID.
func mrName(host string, id uint64) string { return fmt.Sprintf("%s/%d", host, id) }

// ParseMRName reads HOST/ID.
func ParseMRName(name string) (host string, id uint64, err error) {
	host, number, ok := strings.Cut(name, "/")
	id, err = strconv.ParseUint(number, 10, 64)
	if !ok || host == "" || err != nil {
		return "", 0, fmt.Errorf("memory region %q: want HOST/ID, as `freeflow get mrs` shows them", name)
	}
	return host, id, nil
}
