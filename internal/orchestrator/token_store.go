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

// tokenRecord is what is kept of a token, or of a certificate that has a role: never a secret.
type tokenRecord struct {
	Hash      string    `json:"hash"` // of the secret; of a certificate: of its public key
	Expires   time.Time `json:"expires"`
	SingleUse bool      `json:"single_use,omitempty"`
	Kind      string    `json:"kind,omitempty"` // kindJoin, kindToken, kindCertificate
	Role      string    `json:"role,omitempty"` // not of a join token
	Name      string    `json:"name,omitempty"`
	Created   time.Time `json:"created,omitzero"`
	CreatedBy string    `json:"created_by,omitempty"`
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
	token, now := ca.NewToken(s.ca), time.Now()
	expires := now.Add(ttl)
	err := s.putLeased(ctx, s.keys.token(token.ID), tokenRecord{Hash: token.SecretHash(), Expires: expires.UTC(), SingleUse: singleUse,
		Created: now.UTC(), CreatedBy: callerOf(ctx).actor()}, ttl)
	return token, expires, fail("create token", err)
}

// putLeased keeps a record for a while. The lease only cleans up; what counts is the time in the record.
func (s *Store) putLeased(ctx context.Context, key string, record any, ttl time.Duration) error {
	text, err := json.Marshal(record)
	if err != nil {
		return err
	}
	lease, err := s.client.Grant(ctx, int64(ttl/time.Second)+60)
	if err != nil {
		return err
	}
	_, err = s.client.Put(ctx, key, string(text), clientv3.WithLease(lease.ID))
	return err
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
	if value == nil || record.Kind != kindJoin || !token.Proves(record.Hash) {
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
