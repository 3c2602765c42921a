package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	pb "github.com/freeflow-rdma/freeflow/api/freeflow/v1"
)

// Mirror is a copy of the cluster's state in this process, as of one revision of etcd, kept current by a watch.
// It may be late by the time that etcd takes to tell; decisions that are based on it are confirmed by etcd.
type Mirror struct {
	client *clientv3.Client
	keys   keys
	log    *slog.Logger

	watching atomic.Int64 // watchers that wait

	mu        sync.RWMutex
	rev       int64
	hosts     map[string]*hostEntry
	nets      map[string]*networkEntry
	byName    map[Name]*containerEntry
	revoked   map[string]*pb.Revocation // by the end of its key
	policies  map[policyKey]*pb.Policy
	policyRev int64 // of the latest change of any
	past      *history
	changed   chan struct{} // closed and made anew with every change
}

type hostEntry struct {
	record *pb.Host // as stored; nil while only alive/ is known
	rev    int64
	lease  int64    // 0: gone
	shown  *pb.Host // what routers and operators see
}

type networkEntry struct {
	net    *pb.Network
	prefix netip.Prefix
	rev    int64
	pool   *pool
}

type containerEntry struct {
	c   *pb.Container
	rev int64
}

func newMirror(client *clientv3.Client, k keys, log *slog.Logger) *Mirror {
	return &Mirror{client: client, keys: k, log: log, changed: make(chan struct{})}
}

// load takes the whole state from etcd.
func (m *Mirror) load(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, loadPatience)
	defer cancel()
	fresh := &Mirror{keys: m.keys, log: m.log}
	fresh.reset()
	var rev int64
	for _, dir := range []string{dirNetworks, dirHosts, dirAlive, dirContainers, dirRevocations, dirPolicies} {
		opts := []clientv3.OpOption{clientv3.WithPrefix()}
		if rev != 0 {
			opts = append(opts, clientv3.WithRev(rev))
		}
		got, err := m.client.Get(ctx, m.keys.prefix+dir, opts...)
		if err != nil {
			return fmt.Errorf("read the cluster's state: %w", err)
		}
		if rev == 0 {
			rev = got.Header.Revision
		}
		for _, kv := range got.Kvs {
			fresh.apply(kv, false)
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.hosts, m.nets, m.byName, m.revoked = fresh.hosts, fresh.nets, fresh.byName, fresh.revoked
	m.policies, m.policyRev = fresh.policies, fresh.policyRev
	m.rev, m.past = rev, newHistory(rev)
	m.announce()
	return nil
}

const loadPatience = 30 * time.Second

func (m *Mirror) reset() {
	m.hosts, m.nets = make(map[string]*hostEntry), make(map[string]*networkEntry)
	m.byName, m.revoked = make(map[Name]*containerEntry), make(map[string]*pb.Revocation)
	m.policies, m.policyRev = make(map[policyKey]*pb.Policy), 0
	m.past = newHistory(0)
}

// announce wakes those who wait. The caller holds mu.
func (m *Mirror) announce() {
	close(m.changed)
	m.changed = make(chan struct{})
}

// follow applies what etcd tells. If that comes to an end, because etcd has thrown away what we missed, the
// state is loaded again, and those who watch get all of it again.
func (m *Mirror) follow(ctx context.Context) {
	for ctx.Err() == nil {
		err := m.track(ctx)
		if ctx.Err() != nil {
			return
		}
		m.log.Warn("watch of etcd ended, loading the state again", "err", err)
		for m.load(ctx) != nil && ctx.Err() == nil {
			select {
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
		}
	}
}

func (m *Mirror) track(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	from := m.Revision() + 1
	for r := range m.client.Watch(ctx, m.keys.prefix, clientv3.WithPrefix(), clientv3.WithRev(from)) {
		if err := r.Err(); err != nil {
			return err
		}
		m.mu.Lock()
		for _, e := range r.Events {
			m.apply(e.Kv, e.Type == clientv3.EventTypeDelete)
		}
		m.rev = max(m.rev, r.Header.Revision)
		m.announce()
		m.mu.Unlock()
	}
	return errors.New("closed")
}

// apply takes one key's new value, or its end, over. The caller holds mu.
func (m *Mirror) apply(kv *mvccpb.KeyValue, deleted bool) {
	dir, rest := m.keys.split(string(kv.Key))
	var change *pb.Change
	var err error
	switch dir {
	case dirHosts, dirAlive:
		change, err = m.applyHost(dir, rest, kv, deleted)
	case dirNetworks:
		change, err = m.applyNetwork(rest, kv, deleted)
	case dirContainers:
		change, err = m.applyContainer(rest, kv, deleted)
	case dirRevocations:
		change, err = m.applyRevocation(rest, kv, deleted)
	case dirPolicies:
		change, err = m.applyPolicy(rest, kv, deleted)
	}
	if err != nil {
		m.log.Error("a value in etcd cannot be read", "key", string(kv.Key), "err", err)
	}
	if change != nil {
		m.past.add(event{kv.ModRevision, change})
	}
}

// Revision is how far the mirror is.
func (m *Mirror) Revision() int64 {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.rev
}

// Wait returns when the mirror has reached that revision.
func (m *Mirror) Wait(ctx context.Context, rev int64) error {
	for {
		m.mu.RLock()
		reached, changed := m.rev >= rev, m.changed
		m.mu.RUnlock()
		if reached {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for revision %d of etcd: %w", rev, ctx.Err())
		case <-changed:
		}
	}
}

// Catch brings the mirror up to what etcd holds now: what was done before, through whichever orchestrator, is in it.
func (m *Mirror) Catch(ctx context.Context) error {
	got, err := m.client.Get(ctx, m.keys.ca(), clientv3.WithCountOnly())
	if err != nil {
		return err
	}
	if m.Revision() >= got.Header.Revision {
		return nil
	}
	// Others may use this etcd: revisions that concern us not are told only when asked for.
	if err := m.client.RequestProgress(ctx); err != nil {
		return err
	}
	return m.Wait(ctx, got.Header.Revision)
}
