package orchestrator

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	pb "github.com/freeflow-rdma/freeflow/api/freeflow/v1"
)

// The audit is in etcd: one event a key, and a key's order is that of time. What was done is written before the caller
// hears of it, and if that fails the log says it in its place; what was refused goes through denials, which bounds how
// often strangers can make us write, and is written by one goroutine. The oldest events make room for new ones.

const dirAudit = "audit/"

func (k keys) audit(id string) string { return k.prefix + dirAudit + id }

// Bounds of the audit; the first two are defaults of Config.
const (
	DefaultAuditEvents = 10000
	DefaultAuditAge    = 90 * 24 * time.Hour
	maxAuditText       = 4 << 10 // of before, of after
	maxAuditWord       = 256     // of everything else
	auditTick          = time.Second
	pruneInterval      = time.Minute
	deniedQueue        = 256
)

// auditLog writes and reads the audit. Any goroutine may use it.
type auditLog struct {
	client *clientv3.Client
	keys   keys
	log    *slog.Logger
	events int           // that are kept
	age    time.Duration // that they are kept
	total  atomic.Uint64 // attempts denied
	wrote  atomic.Uint64 // events
	failed atomic.Uint64 // events that could not be written

	mu      sync.Mutex
	denials denials
	queue   chan *pb.AuditEvent
}

// openAudit makes the audit, and keeps it within its bounds until ctx ends.
func openAudit(ctx context.Context, s *Store, cfg Config, active *sync.WaitGroup) *auditLog {
	a := newAudit(s, cfg)
	active.Go(func() { a.run(ctx) })
	return a
}

func newAudit(s *Store, cfg Config) *auditLog {
	return &auditLog{client: s.client, keys: s.keys, log: s.log, events: cmp.Or(cfg.AuditEvents, DefaultAuditEvents), age: cmp.Or(cfg.AuditAge, DefaultAuditAge),
		queue: make(chan *pb.AuditEvent, deniedQueue)}
}

// run writes what was denied, and prunes. At the end it writes what is left.
func (a *auditLog) run(ctx context.Context) {
	tick, prune := time.NewTicker(auditTick), time.NewTicker(pruneInterval)
	defer tick.Stop()
	defer prune.Stop()
	a.prune(ctx, time.Now())
	for {
		select {
		case <-ctx.Done():
			a.flush()
			return
		case e := <-a.queue:
			a.write(ctx, e)
		case t := <-tick.C:
			for _, e := range a.due(t.UnixNano()) {
				a.write(ctx, e)
			}
		case t := <-prune.C:
			a.prune(ctx, t)
		}
	}
}

func (a *auditLog) due(now int64) []*pb.AuditEvent {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.denials.due(now)
}

func (a *auditLog) flush() {
	ctx, cancel := context.WithTimeout(context.Background(), opPatience)
	defer cancel()
	for {
		select {
		case e := <-a.queue:
			a.write(ctx, e)
			continue
		default:
		}
		break
	}
	for _, e := range a.due(1<<63 - 1) {
		a.write(ctx, e)
	}
}

// changed is the Store's onChange.
func (a *auditLog) changed(ctx context.Context, by caller, before, after *pb.Change) {
	ref, action := refOf(cmp.Or(after, before)), "apply"
	if after == nil {
		action = "delete"
	}
	object := ref.name
	if ref.network != "" {
		object = ref.network + "/" + ref.name
	}
	kind := strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(ref.kind.String(), "KIND_"), "_", ""))
	if ref.kind == pb.Kind_KIND_REVOCATION {
		kind, action = "mr", "revoke"
	}
	a.done(ctx, by, &pb.AuditEvent{Action: action, Kind: kind, Object: object, Before: changeText(before), After: changeText(after)})
}

// changeText is the object of a change as JSON; empty if there is none.
func changeText(c *pb.Change) string {
	if c == nil {
		return ""
	}
	m := c.ProtoReflect()
	field := m.WhichOneof(m.Descriptor().Oneofs().Get(0))
	if field == nil {
		return ""
	}
	text, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(m.Get(field).Message().Interface())
	if err != nil {
		return ""
	}
	return string(text)
}

// done writes what a caller has done. It must not be lost because the caller has gone.
func (a *auditLog) done(ctx context.Context, by caller, e *pb.AuditEvent) {
	if by.Role == "" && by.source == "" {
		return // the orchestrator itself
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), opPatience)
	defer cancel()
	e.Result, e.Count = pb.AuditEvent_RESULT_DONE, 1
	e.Actor, e.Role, e.Source = by.actor(), shownRole(by.Role), by.source
	if by.credential != nil {
		e.Credential = by.credential.id
	}
	e.Time = time.Now().UnixNano()
	a.log.Info("audit", "actor", e.Actor, "source", e.Source, "action", e.Action, "kind", e.Kind, "object", e.Object)
	a.write(ctx, e)
}

// deniedCall notes that a caller may not call a method.
func (a *auditLog) deniedCall(by caller, procedure string, err error, now time.Time) {
	e := &pb.AuditEvent{Actor: by.actor(), Role: shownRole(by.Role), Source: by.source, Action: "call", Object: methodName(procedure), Reason: plainError(err).Error()}
	if by.credential != nil {
		e.Credential = by.credential.id
	}
	a.denied(e, now)
}

// denied notes something that was refused, count times (0 is once). It waits for nothing.
func (a *auditLog) denied(e *pb.AuditEvent, now time.Time) {
	e.Result, e.Count, e.Time = pb.AuditEvent_RESULT_DENIED, max(e.Count, 1), now.UnixNano()
	clip(e)
	a.total.Add(e.Count)
	a.mu.Lock()
	defer a.mu.Unlock()
	first := a.denials.add(e, now.UnixNano())
	if first == nil {
		return
	}
	select {
	case a.queue <- first:
	default:
		a.denials.again(first)
	}
}

// write puts an event into etcd. The key is made here: what was held back comes when it is written.
func (a *auditLog) write(ctx context.Context, e *pb.AuditEvent) {
	ctx, cancel := context.WithTimeout(ctx, opPatience)
	defer cancel()
	clip(e)
	var tail [3]byte
	rand.Read(tail[:]) // never fails
	e.Id = auditID(e.Time) + "-" + hex.EncodeToString(tail[:])
	if e.First == 0 {
		e.First = e.Time
	}
	if e.Result == pb.AuditEvent_RESULT_DENIED {
		a.log.Warn("denied", "actor", e.Actor, "source", e.Source, "action", e.Action, "object", e.Object, "reason", e.Reason, "count", e.Count)
	}
	if _, err := a.client.Put(ctx, a.keys.audit(e.Id), encode(e)); err != nil {
		a.failed.Add(1)
		a.log.Error("an event of the audit could not be kept", "err", err, "event", encode(e))
		return
	}
	a.wrote.Add(1)
}

// auditID is how ids of events of that time begin.
func auditID(ns int64) string { return fmt.Sprintf("%019d", max(ns, 0)) }

// clip keeps an event within bounds, whatever it is made of.
func clip(e *pb.AuditEvent) {
	for _, s := range []*string{&e.Actor, &e.Credential, &e.Source, &e.Action, &e.Kind, &e.Object, &e.Reason} {
		*s = clipped(*s, maxAuditWord)
	}
	e.Before, e.After = clipped(e.Before, maxAuditText), clipped(e.After, maxAuditText)
}

func clipped(s string, size int) string {
	s = strings.ToValidUTF8(s, "�")
	if len(s) <= size {
		return s
	}
	s = s[:size-len("…")]
	for len(s) > 0 && !utf8.ValidString(s) {
		s = s[:len(s)-1]
	}
	return s + "…"
}

// prune removes what is too old, and the oldest of what is too much.
func (a *auditLog) prune(ctx context.Context, now time.Time) {
	ctx, cancel := context.WithTimeout(ctx, loadPatience)
	defer cancel()
	if err := a.pruneNow(ctx, now); err != nil && ctx.Err() == nil {
		a.log.Warn("the audit cannot be pruned", "err", err)
	}
}

func (a *auditLog) pruneNow(ctx context.Context, now time.Time) error {
	first, oldest := a.keys.audit(""), a.keys.audit(auditID(now.Add(-a.age).UnixNano()))
	if _, err := a.client.Delete(ctx, first, clientv3.WithRange(oldest)); err != nil {
		return err
	}
	got, err := a.client.Get(ctx, first, clientv3.WithPrefix(), clientv3.WithCountOnly())
	if err != nil || got.Count <= int64(a.events) {
		return err
	}
	extra, err := a.client.Get(ctx, first, clientv3.WithPrefix(), clientv3.WithKeysOnly(), clientv3.WithLimit(got.Count-int64(a.events)))
	if err != nil || len(extra.Kvs) == 0 {
		return err
	}
	last := extra.Kvs[len(extra.Kvs)-1].Key
	_, err = a.client.Delete(ctx, first, clientv3.WithRange(string(last)+"\x00"))
	return err
}

// readEvent reads an event out of its value.
func readEvent(value []byte) (*pb.AuditEvent, error) {
	e := &pb.AuditEvent{}
	return e, decode(value, e)
}

// clone is an event that may be changed.
func clone(e *pb.AuditEvent) *pb.AuditEvent { return proto.CloneOf(e) }
