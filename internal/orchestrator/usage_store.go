package orchestrator

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"connectrpc.com/connect"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/protobuf/proto"

	pb "github.com/freeflow-rdma/freeflow/api/freeflow/v1"
)

// What hosts report is added up in memory and written once a minute, a bucket a host and minute; hours are made of minutes
// (usage_hours.go), and both go away when they are old. Values are messages of usage.proto, binary and compressed: there are many.

const (
	dirUsage        = "usage/"
	dirUsageState   = dirUsage + "state/"
	dirUsageMinutes = dirUsage + "minutes/"
	dirUsageHours   = dirUsage + "hours/"
)

func (k keys) usageState(host string) string { return k.prefix + dirUsageState + host }
func (k keys) usageMinute(minute int64, host string) string {
	return fmt.Sprintf("%s%s%010d/%s", k.prefix, dirUsageMinutes, minute, host)
}
func (k keys) usageHour(hour int64, host string) string {
	return fmt.Sprintf("%s%s%08d/%s", k.prefix, dirUsageHours, hour, host)
}
func (k keys) usageRolled() string { return k.prefix + dirUsage + "rolled" }

// Defaults and bounds.
const (
	DefaultUsageMinutes = 6 * time.Hour
	DefaultUsageHours   = 30 * 24 * time.Hour
	minUsageMinutes     = 2 * time.Hour
	maxUnpacked         = 64 << 20
	compactAfter        = 64 << 20 // bytes written to an etcd of our own
)

// UsageStore keeps what hosts use. Any goroutine may use it.
type UsageStore struct {
	store   *Store
	client  *clientv3.Client
	keys    keys
	log     *slog.Logger
	minutes time.Duration // that minutes are kept
	hours   time.Duration
	own     bool // etcd is inside this process: old revisions are ours to drop
	live    *live
	audit   *auditLog
	board   policyBoard

	reports, stale, refused, posted, failed atomic.Uint64 // for metrics
	begun, ended                            atomic.Uint64 // postings

	mu    sync.Mutex
	hosts map[string]*hostUsage

	compacting sync.Mutex
	written    int   // since the last compaction
	markRev    int64 // as of then
}

// hostUsage is one host's ledger, and what the store has of it.
type hostUsage struct {
	flushing sync.Mutex // one posting at a time; taken before mu

	mu     sync.Mutex
	loaded bool
	rev    int64 // of the state in the store
	ledger *ledger
	told   told // of the last posting: all up to there is settled
}

// openUsage makes the store, and writes what is reported until ctx ends.
func openUsage(ctx context.Context, s *Store, cfg Config, audit *auditLog, active *sync.WaitGroup) *UsageStore {
	u := newUsageStore(s, cfg, audit)
	active.Go(func() { u.run(ctx) })
	return u
}

func newUsageStore(s *Store, cfg Config, audit *auditLog) *UsageStore {
	return &UsageStore{
		store: s, client: s.client, keys: s.keys, log: s.log, audit: audit, own: len(cfg.EtcdEndpoints) == 0,
		minutes: max(cmp.Or(cfg.UsageMinutes, DefaultUsageMinutes), minUsageMinutes), hours: cmp.Or(cfg.UsageHours, DefaultUsageHours),
		hosts: make(map[string]*hostUsage), live: newLive(s.mirror),
	}
}

// run posts a little after each minute begins: what was told in it is then in the bucket of the minute before.
func (u *UsageStore) run(ctx context.Context) {
	for ctx.Err() == nil {
		now := time.Now()
		sleepOr(ctx, now.Truncate(time.Minute).Add(time.Minute-time.Second/2).Sub(now)%time.Minute+time.Second/10)
		if ctx.Err() != nil {
			break
		}
		u.postAll(ctx)
		if err := u.roll(ctx, time.Now()); err != nil && ctx.Err() == nil {
			u.log.Warn("usage of past hours could not be added up, trying again in a minute", "err", err)
		}
		u.compact(ctx)
		u.live.forget(time.Now().UnixNano())
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), opPatience)
	defer cancel()
	u.postAll(last)
}

// of is the host's part, made if need be.
func (u *UsageStore) of(host string) *hostUsage {
	u.mu.Lock()
	defer u.mu.Unlock()
	h := u.hosts[host]
	if h == nil {
		h = &hostUsage{ledger: newLedger()}
		u.hosts[host] = h
	}
	return h
}

// take takes a report over; false if it is old. settled is the sequence up to which the store has everything.
func (u *UsageStore) take(ctx context.Context, host string, r *pb.UsageReport) (taken bool, settled uint64, epoch int64, err error) {
	h := u.of(host)
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.loaded {
		if err := u.load(ctx, host, h); err != nil {
			return false, 0, 0, err
		}
	}
	if len(h.ledger.sources) > 3*maxSources {
		return false, 0, 0, failf(connect.CodeResourceExhausted, "host %s tells of new containers faster than they can be stored", host)
	}
	before := h.ledger.epoch
	if !h.ledger.take(r, u.live.tenant) {
		u.stale.Add(1)
		return false, 0, h.ledger.epoch, nil
	}
	u.refusals(host, h.ledger.refused(r.Refusals, before))
	if h.told.epoch == r.Epoch {
		settled = h.told.sequence
	}
	return true, settled, r.Epoch, nil
}

// refusals tells the audit what a router has not let happen.
func (u *UsageStore) refusals(host string, news []*pb.Refusal) {
	for _, f := range news {
		e := &pb.AuditEvent{
			Actor: "container " + f.Network + "/" + f.Container, Source: host, Action: f.What, Count: f.Count, Reason: f.Policy,
			Kind: "container", Object: cmp.Or(f.Peer, f.Resource),
		}
		u.audit.denied(e, time.Now())
	}
}

// load reads what the store has. The caller holds mu.
func (u *UsageStore) load(ctx context.Context, host string, h *hostUsage) error {
	value, rev, err := u.store.get(ctx, u.keys.usageState(host))
	if err != nil {
		return fail("read usage", err)
	}
	state := &pb.UsageState{}
	if err := unpack(value, state); err != nil {
		return failf(connect.CodeInternal, "usage of %s: %w", host, err)
	}
	h.ledger.adopt(state)
	h.loaded, h.rev = true, rev
	return nil
}

// postAll writes what is pending of all hosts.
func (u *UsageStore) postAll(ctx context.Context) {
	u.mu.Lock()
	all := make(map[string]*hostUsage, len(u.hosts))
	for name, h := range u.hosts {
		all[name] = h
	}
	u.mu.Unlock()
	for name, h := range all {
		if err := u.post(ctx, name, h, time.Now()); err != nil {
			u.failed.Add(1)
			u.log.Warn("usage could not be stored, trying again in a minute", "host", name, "err", err)
		}
	}
}

// post writes what is pending of a host into the bucket of that time.
func (u *UsageStore) post(ctx context.Context, host string, h *hostUsage, now time.Time) error {
	h.flushing.Lock()
	defer h.flushing.Unlock()
	for range maxTries {
		h.mu.Lock()
		if !h.loaded {
			h.mu.Unlock()
			return nil
		}
		p, rev, at := h.ledger.post(), h.rev, told{h.ledger.epoch, h.ledger.sequence}
		if p == nil {
			h.told = at
			h.mu.Unlock()
			return nil
		}
		u.begun.Add(1) // until what is written is settled here too, a query sees it twice
		h.mu.Unlock()
		put, done, err := u.putPosting(ctx, host, p, rev, now)
		if err != nil {
			u.ended.Add(1)
			return err // if it was written all the same, the next try finds another state
		}
		h.mu.Lock()
		if done {
			h.ledger.settle(p)
			h.rev, h.told = put, at
			u.posted.Add(1)
		} else {
			err = u.load(ctx, host, h)
		}
		u.ended.Add(1)
		h.mu.Unlock()
		if done || err != nil {
			return err
		}
	}
	return errBusy
}

// putPosting writes state and bucket, if the state is still that of rev; it returns the state's new revision.
func (u *UsageStore) putPosting(ctx context.Context, host string, p *posting, rev int64, now time.Time) (int64, bool, error) {
	ctx, cancel := context.WithTimeout(ctx, opPatience)
	defer cancel()
	state, minute := u.keys.usageState(host), u.keys.usageMinute(now.Unix()/60, host)
	then := []clientv3.Op{clientv3.OpPut(state, string(pack(p.state)))}
	if len(p.entries) > 0 {
		// Whoever writes this bucket writes the state too, so what is read here still holds if that is unchanged.
		value, _, err := u.store.get(ctx, minute)
		if err != nil {
			return 0, false, err
		}
		bucket := &pb.UsageBucket{}
		if err := unpack(value, bucket); err != nil {
			return 0, false, err
		}
		merged := mergeEntries(append(bucket.Entries, p.entries...))
		then = append(then, clientv3.OpPut(minute, string(pack(&pb.UsageBucket{Entries: merged}))))
	}
	r, err := u.client.Txn(ctx).If(unchanged(state, rev)).Then(then...).Commit()
	if err != nil {
		return 0, false, err
	}
	u.wrote(then, r.Header.Revision)
	return r.Header.Revision, r.Succeeded, nil
}

func (u *UsageStore) wrote(ops []clientv3.Op, rev int64) {
	u.compacting.Lock()
	defer u.compacting.Unlock()
	for _, op := range ops {
		u.written += len(op.ValueBytes())
	}
	if u.markRev == 0 {
		u.markRev = rev
	}
}

// compact drops old revisions of an etcd of our own when they are many bytes: it counts revisions alone, and ours are large.
func (u *UsageStore) compact(ctx context.Context) {
	u.compacting.Lock()
	defer u.compacting.Unlock()
	if !u.own || u.written < compactAfter {
		return
	}
	if _, err := u.client.Compact(ctx, u.markRev); err != nil && ctx.Err() == nil {
		u.log.Debug("etcd was not compacted", "err", err)
	}
	u.written, u.markRev = 0, u.store.mirror.Revision()
}

// pack makes a value of a message.
func pack(m proto.Message) []byte {
	raw, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		panic(err) // only text that is not UTF-8 fails, and names have been checked
	}
	var out bytes.Buffer
	w, _ := gzip.NewWriterLevel(&out, gzip.BestSpeed)
	_, _ = w.Write(raw) // to memory
	_ = w.Close()
	return out.Bytes()
}

// unpack reads a value; none is an empty message.
func unpack(value []byte, m proto.Message) error {
	if len(value) == 0 {
		return nil
	}
	r, err := gzip.NewReader(bytes.NewReader(value))
	if err != nil {
		return fmt.Errorf("usage value: %w", err)
	}
	raw, err := io.ReadAll(io.LimitReader(r, maxUnpacked))
	if err != nil {
		return fmt.Errorf("usage value: %w", err)
	}
	return proto.Unmarshal(raw, m)
}
