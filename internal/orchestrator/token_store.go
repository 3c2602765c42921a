package orchestrator

import (
	"context"
	"encoding/json"
	"time"

	"connectrpc.com/connect"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/freeflow-rdma/freeflow/internal/orchestrator/ca"
)

// DefaultTokenTTL is how long a join token is good for, unless told otherwise.
const DefaultTokenTTL = 24 * time.Hour

const maxTokenTTL = 10 * 365 * 24 * time.Hour

// tokenRecord is what is kept of a join token: never its secret.
type tokenRecord struct {
	Hash      string    `json:"hash"` // of the secret
	Expires   time.Time `json:"expires"`
	SingleUse bool      `json:"single_use,omitempty"`
}

// CreateToken makes a join token; ttl 0 is the default.
func (s *Store) CreateToken(ctx context.Context, ttl time.Duration, singleUse bool) (ca.Token, time.Time, error) {
	if ttl == 0 {
		ttl = DefaultTokenTTL
	}
	if ttl < time.Second || ttl > maxTokenTTL {
		return ca.Token{}, time.Time{}, failf(connect.CodeInvalidArgument, "token lifetime %s: want a second to ten years", ttl)
	}
	ctx, cancel := context.WithTimeout(ctx, opPatience)
	defer cancel()
	token, expires := ca.NewToken(s.ca), time.Now().Add(ttl)
	record, err := json.Marshal(tokenRecord{token.SecretHash(), expires.UTC(), singleUse})
	if err != nil {
		return ca.Token{}, time.Time{}, err
	}
	// The lease only cleans up; what counts is the time in the record.
	lease, err := s.client.Grant(ctx, int64(ttl/time.Second)+60)
	if err != nil {
		return ca.Token{}, time.Time{}, fail("create token", err)
	}
	_, err = s.client.Put(ctx, s.keys.token(token.ID), string(record), clientv3.WithLease(lease.ID))
	return token, expires, fail("create token", err)
}

// tokenUse is a token that may be used: what a transaction must compare, and what it must do.
type tokenUse struct {
	when clientv3.Cmp
	then []clientv3.Op
}

// checkToken says whether a token lets a host in. Why it does not is told only as far as that helps its owner.
func (s *Store) checkToken(ctx context.Context, text string, now time.Time) (tokenUse, error) {
	token, err := ca.ParseToken(text)
	if err != nil {
		return tokenUse{}, failf(connect.CodeUnauthenticated, "%w", err)
	}
	if token.Fingerprint != ca.Fingerprint(s.ca.Cert) {
		return tokenUse{}, failf(connect.CodeUnauthenticated, "join token is another cluster's")
	}
	key := s.keys.token(token.ID)
	value, rev, err := s.get(ctx, key)
	if err != nil {
		return tokenUse{}, fail("check token", err)
	}
	var record tokenRecord
	if value != nil {
		if err := json.Unmarshal(value, &record); err != nil {
			return tokenUse{}, failf(connect.CodeInternal, "token record: %w", err)
		}
	}
	if value == nil || !token.Proves(record.Hash) {
		return tokenUse{}, failf(connect.CodeUnauthenticated, "join token is unknown: it has expired, or was for one use and is used up")
	}
	if now.After(record.Expires) {
		return tokenUse{}, failf(connect.CodeUnauthenticated, "join token has expired at %s", record.Expires.Format(time.RFC3339))
	}
	use := tokenUse{when: unchanged(key, rev)}
	if record.SingleUse {
		use.then = []clientv3.Op{clientv3.OpDelete(key)}
	}
	return use, nil
}
