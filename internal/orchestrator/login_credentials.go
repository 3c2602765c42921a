package orchestrator

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/freeflow-rdma/freeflow/internal/orchestrator/ca"
)

// Tokens, certificates of roles and sessions are records in etcd. This process has a copy of all of them, kept by a
// watch, so that no request asks etcd who its caller is; what is not in the copy is looked for in etcd once, since
// another orchestrator may have made it just now.

const dirSessions = "sessions/"

func (k keys) session(id string) string { return k.prefix + dirSessions + id }

// Kinds of credentials, as they are stored. A record without a kind is a join token.
const (
	kindJoin        = ""
	kindToken       = "token"
	kindCertificate = "certificate"
)

// credential is a record of a token or certificate, and whether it still is one.
type credential struct {
	tokenRecord
	id   string
	gone chan struct{} // closed when the record is no more
}

// sessionRecord is what is kept of a session, under the hash of its cookie.
type sessionRecord struct {
	Credential string    `json:"credential"` // by which it was begun, and with which it ends
	Created    time.Time `json:"created"`
	Expires    time.Time `json:"expires"`
}

type session struct {
	sessionRecord
	id   string
	gone chan struct{}
}

// credentials is the copy. Any goroutine may use it.
type credentials struct {
	client *clientv3.Client
	keys   keys
	log    *slog.Logger

	mu       sync.RWMutex
	rev      int64 // how far the watch has come
	tokens   map[string]*credential
	sessions map[string]*session
}

// openCredentials loads the records, and follows them until ctx ends.
func openCredentials(ctx context.Context, s *Store, active *sync.WaitGroup) (*credentials, error) {
	c := &credentials{client: s.client, keys: s.keys, log: s.log, tokens: map[string]*credential{}, sessions: map[string]*session{}}
	rev, err := c.load(ctx)
	if err != nil {
		return nil, err
	}
	active.Go(func() { c.follow(ctx, rev) })
	return c, nil
}

// load takes all records over, and returns the revision that they are of.
func (c *credentials) load(ctx context.Context) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, loadPatience)
	defer cancel()
	r, err := c.client.Txn(ctx).Then(clientv3.OpGet(c.keys.prefix+dirTokens, clientv3.WithPrefix()),
		clientv3.OpGet(c.keys.prefix+dirSessions, clientv3.WithPrefix())).Commit()
	if err != nil {
		return 0, fail("read tokens", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	there := make(map[string]bool)
	for _, got := range r.Responses {
		for _, kv := range got.GetResponseRange().Kvs {
			there[string(kv.Key)] = true
			c.apply(kv, false)
		}
	}
	for id := range c.tokens {
		if !there[c.keys.token(id)] {
			c.drop(dirTokens, id)
		}
	}
	for id := range c.sessions {
		if !there[c.keys.session(id)] {
			c.drop(dirSessions, id)
		}
	}
	return r.Header.Revision, nil
}

func (c *credentials) follow(ctx context.Context, rev int64) {
	for ctx.Err() == nil {
		err := c.track(ctx, rev)
		if ctx.Err() != nil {
			return
		}
		c.log.Warn("watch of tokens ended, loading them again", "err", err)
		for rev, err = c.load(ctx); err != nil && ctx.Err() == nil; rev, err = c.load(ctx) {
			sleepOr(ctx, time.Second)
		}
	}
}

func (c *credentials) track(ctx context.Context, rev int64) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	tokens := c.client.Watch(ctx, c.keys.prefix+dirTokens, clientv3.WithPrefix(), clientv3.WithRev(rev+1))
	sessions := c.client.Watch(ctx, c.keys.prefix+dirSessions, clientv3.WithPrefix(), clientv3.WithRev(rev+1))
	for {
		var r clientv3.WatchResponse
		var ok bool
		select {
		case r, ok = <-tokens:
		case r, ok = <-sessions:
		}
		if !ok {
			return errors.New("closed")
		}
		if err := r.Err(); err != nil {
			return err
		}
		c.mu.Lock()
		c.rev = max(c.rev, r.Header.Revision)
		for _, e := range r.Events {
			c.apply(e.Kv, e.Type == clientv3.EventTypeDelete)
		}
		c.mu.Unlock()
	}
}

// apply takes one record, or its end, over. The caller holds mu.
func (c *credentials) apply(kv *mvccpb.KeyValue, deleted bool) {
	dir, id := c.keys.split(string(kv.Key))
	if deleted {
		c.drop(dir, id)
		return
	}
	var err error
	switch {
	case dir == dirTokens && c.tokens[id] == nil: // a record never changes
		t := &credential{id: id, gone: make(chan struct{})}
		if err = json.Unmarshal(kv.Value, &t.tokenRecord); err == nil {
			c.tokens[id] = t
		}
	case dir == dirSessions && c.sessions[id] == nil:
		s := &session{id: id, gone: make(chan struct{})}
		if err = json.Unmarshal(kv.Value, &s.sessionRecord); err == nil {
			c.sessions[id] = s
		}
	}
	if err != nil {
		c.log.Error("a value in etcd cannot be read", "key", string(kv.Key), "err", err)
	}
}

// drop forgets a record and ends what waits for its end. The caller holds mu.
func (c *credentials) drop(dir, id string) {
	switch dir {
	case dirTokens:
		if t := c.tokens[id]; t != nil {
			close(t.gone)
			delete(c.tokens, id)
		}
	case dirSessions:
		if s := c.sessions[id]; s != nil {
			close(s.gone)
			delete(c.sessions, id)
		}
	}
}

// find is the record of a token or certificate; nil if there is none. ask says whether etcd may be asked.
func (c *credentials) find(ctx context.Context, id string, ask func() bool) *credential {
	c.mu.RLock()
	t := c.tokens[id]
	c.mu.RUnlock()
	if t != nil || !c.fetch(ctx, c.keys.token(id), ask) {
		return t
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.tokens[id]
}

// findSession is the session of a cookie's hash, with its credential; nil if either is none.
func (c *credentials) findSession(ctx context.Context, id string, ask func() bool) (*session, *credential) {
	c.mu.RLock()
	s := c.sessions[id]
	c.mu.RUnlock()
	if s == nil && c.fetch(ctx, c.keys.session(id), ask) {
		c.mu.RLock()
		s = c.sessions[id]
		c.mu.RUnlock()
	}
	if s == nil {
		return nil, nil
	}
	t := c.find(ctx, s.Credential, ask)
	if t == nil {
		return nil, nil
	}
	return s, t
}

// fetch looks for one record in etcd.
func (c *credentials) fetch(ctx context.Context, key string, ask func() bool) bool {
	if !ask() {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, opPatience)
	defer cancel()
	for range maxTries {
		got, err := c.client.Get(ctx, key)
		if err != nil || len(got.Kvs) == 0 {
			return false
		}
		if c.take(got.Kvs[0], got.Header.Revision) {
			return true
		}
	}
	return false
}

// take applies what was read at a revision, unless the watch has gone past it: then that record may be gone already.
func (c *credentials) take(kv *mvccpb.KeyValue, rev int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.rev > rev {
		return false
	}
	c.apply(kv, false)
	return true
}

// list is all credentials, and how many sessions each has.
func (c *credentials) list() ([]*credential, map[string]int32) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	all, count := make([]*credential, 0, len(c.tokens)), make(map[string]int32)
	for _, t := range c.tokens {
		all = append(all, t)
	}
	for _, s := range c.sessions {
		count[s.Credential]++
	}
	return all, count
}

// sessionsOf are the sessions that a credential has begun.
func (c *credentials) sessionsOf(id string) []*session {
	c.mu.RLock()
	defer c.mu.RUnlock()
	var list []*session
	for _, s := range c.sessions {
		if s.Credential == id {
			list = append(list, s)
		}
	}
	return list
}

// called are the credentials whose id begins so.
func (c *credentials) called(prefix string) []*credential {
	c.mu.RLock()
	defer c.mu.RUnlock()
	var list []*credential
	for id, t := range c.tokens {
		if strings.HasPrefix(id, prefix) {
			list = append(list, t)
		}
	}
	return list
}

// good says whether the credential may be used as one of that kind now.
func (t *credential) good(kind string, now time.Time) bool {
	return t != nil && t.Kind == kind && now.Before(t.Expires) && roleSets[ca.Role(t.Role)]&readers != 0
}

// sleepOr waits, but not longer than ctx.
func sleepOr(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
