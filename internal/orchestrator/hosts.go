package orchestrator

import (
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"slices"
	"strconv"
	"time"

	"connectrpc.com/connect"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/protobuf/proto"

	pb "github.com/freeflow-rdma/freeflow/api/freeflow/v1"
	"github.com/freeflow-rdma/freeflow/internal/orchestrator/ca"
)

// A host exists from Join until it is deleted. Its identity is the key that it joined with: a later Join under the
// same name with another key, possible only while the host is gone, makes the earlier certificate worthless.

// Join makes a host, and returns its certificate, DER.
func (s *Store) Join(ctx context.Context, r *pb.JoinRequest) ([]byte, error) {
	if err := ca.CheckHostName(r.Host); err != nil {
		return nil, failf(connect.CodeInvalidArgument, "%w", err)
	}
	underlay, err := parseUnderlay(r.Underlay)
	if err != nil {
		return nil, err
	}
	for range maxTries {
		token, err := s.checkToken(ctx, r.Token, time.Now())
		if err != nil {
			return nil, err
		}
		key, err := ca.ParseRequest(r.Csr)
		if err != nil {
			return nil, failf(connect.CodeInvalidArgument, "%w", err)
		}
		hash, err := keyHash(key)
		if err != nil {
			return nil, err
		}
		done, err := s.join(ctx, &pb.Host{Name: r.Host, Underlay: underlay.String(), Since: now(), Key: hash}, token)
		if err != nil {
			return nil, fail("join", err)
		}
		if done {
			holder := ca.Identity{Role: ca.RoleRouter, Name: r.Host, Underlay: underlay}
			return s.ca.Sign(ca.Subject{Identity: holder, Lifetime: ca.Lifetime}, key, time.Now())
		}
	}
	return nil, errBusy
}

func (s *Store) join(ctx context.Context, h *pb.Host, token tokenUse) (bool, error) {
	old, rev, err := s.host(ctx, h.Name)
	if err != nil {
		return false, err
	}
	when := []clientv3.Cmp{token.when, unchanged(s.keys.host(h.Name), rev)}
	then := append(slices.Clone(token.then), clientv3.OpPut(s.keys.host(h.Name), encode(h)), clientv3.OpPut(s.keys.underlay(h.Underlay), h.Name))
	if old != nil && old.Key != h.Key {
		if s.mirror.alive(h.Name) {
			return false, failf(connect.CodeAlreadyExists, "a host named %s is there already, with address %s: choose another name, or wait until its lease ends", h.Name, old.Underlay)
		}
		when = append(when, absent(s.keys.alive(h.Name)))
	}
	if old != nil && old.Underlay != h.Underlay {
		then = append(then, clientv3.OpDelete(s.keys.underlay(old.Underlay)))
	}
	owner, ownerRev, err := s.get(ctx, s.keys.underlay(h.Underlay))
	if err != nil {
		return false, err
	}
	when = append(when, unchanged(s.keys.underlay(h.Underlay), ownerRev))
	if other := string(owner); owner != nil && other != h.Name {
		if s.mirror.alive(other) {
			return false, failf(connect.CodeAlreadyExists, "address %s is host %s's", h.Underlay, other)
		}
		when = append(when, absent(s.keys.alive(other)))
	}
	return s.txn(ctx, when, then...)
}

// host reads a host's record from etcd; nil if there is none.
func (s *Store) host(ctx context.Context, name string) (*pb.Host, int64, error) {
	value, rev, err := s.get(ctx, s.keys.host(name))
	if err != nil || value == nil {
		return nil, 0, err
	}
	h := &pb.Host{}
	return h, rev, decode(value, h)
}

// alive says whether a host has a lease, as far as the mirror knows.
func (m *Mirror) alive(host string) bool {
	m.mu.RLock()
	defer m.mu.RUnlock()
	h := m.hosts[host]
	return h != nil && h.lease != 0
}

// Member checks that the holder of a certificate is the host that its name says, today.
func (s *Store) Member(ctx context.Context, id ca.Identity, cert *x509.Certificate) error {
	hash := ca.KeyHash(cert)
	s.mirror.mu.RLock()
	h := s.mirror.hosts[id.Name]
	known := h != nil && h.record != nil && h.record.Key == hash && h.record.Underlay == id.Underlay.String()
	s.mirror.mu.RUnlock()
	if known {
		return nil
	}
	record, _, err := s.host(ctx, id.Name) // the mirror may be late
	switch {
	case err != nil:
		return fail("check host", err)
	case record == nil:
		return failf(connect.CodeUnauthenticated, "host %s has been deleted: join again", id.Name)
	case record.Key != hash || record.Underlay != id.Underlay.String():
		return failf(connect.CodeUnauthenticated, "host %s has joined again with another key or address: this certificate is void", id.Name)
	}
	return nil
}

// Renew signs a new certificate for the key that the host has.
func (s *Store) Renew(_ context.Context, id ca.Identity, cert *x509.Certificate, csr []byte) ([]byte, error) {
	key, err := ca.ParseRequest(csr)
	if err != nil {
		return nil, failf(connect.CodeInvalidArgument, "%w", err)
	}
	hash, err := keyHash(key)
	if err != nil {
		return nil, err
	}
	if hash != ca.KeyHash(cert) {
		return nil, failf(connect.CodePermissionDenied, "a certificate is renewed for the same key only")
	}
	return s.ca.Sign(ca.Subject{Identity: id, Lifetime: ca.Lifetime}, key, time.Now())
}

// Heartbeat keeps host's lease, or begins one if lease is not its lease any more. It returns the lease.
func (s *Store) Heartbeat(ctx context.Context, id ca.Identity, r *pb.HeartbeatRequest) (int64, error) {
	if len(r.Features) > maxFeatures || len(r.Version) > maxInstance || !textPattern.MatchString(r.Version) {
		return 0, failf(connect.CodeInvalidArgument, "features or version: too many or unprintable")
	}
	for _, f := range r.Features {
		if !NamePattern.MatchString(f) {
			return 0, failf(connect.CodeInvalidArgument, "feature %q: want letters, digits and _.-", f)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, opPatience)
	defer cancel()
	if r.Lease != 0 && s.holds(ctx, id.Name, r.Lease) {
		_, err := s.client.KeepAliveOnce(ctx, clientv3.LeaseID(r.Lease))
		if err == nil || !errors.Is(err, rpctypes.ErrLeaseNotFound) {
			return r.Lease, fail("heartbeat", err)
		}
	}
	lease, err := s.client.Grant(ctx, int64((s.ttl+time.Second-1)/time.Second))
	if err != nil {
		return 0, fail("heartbeat", err)
	}
	if err := s.begin(ctx, id, r, lease.ID); err != nil {
		_, _ = s.client.Revoke(ctx, lease.ID) // it ends by itself if not
		return 0, fail("heartbeat", err)
	}
	return int64(lease.ID), nil
}

const maxFeatures = 64

// holds says whether lease is the host's: nobody keeps another's alive.
func (s *Store) holds(ctx context.Context, host string, lease int64) bool {
	s.mirror.mu.RLock()
	h := s.mirror.hosts[host]
	held := h != nil && h.lease == lease
	s.mirror.mu.RUnlock()
	if held {
		return true
	}
	value, _, err := s.get(ctx, s.keys.alive(host))
	return err == nil && string(value) == strconv.FormatInt(lease, 10)
}

// begin writes that the host is there.
func (s *Store) begin(ctx context.Context, id ca.Identity, r *pb.HeartbeatRequest, lease clientv3.LeaseID) error {
	for range maxTries {
		h, rev, err := s.host(ctx, id.Name)
		if err != nil {
			return err
		}
		if h == nil {
			return failf(connect.CodeUnauthenticated, "host %s has been deleted: join again", id.Name)
		}
		h = proto.CloneOf(h)
		h.Features, h.Version, h.Since = r.Features, r.Version, now()
		at := s.keys.underlay(h.Underlay)
		done, got, err := s.txnElse(ctx,
			[]clientv3.Cmp{unchanged(s.keys.host(id.Name), rev), clientv3.Compare(clientv3.Value(at), "=", id.Name)},
			[]clientv3.Op{clientv3.OpPut(s.keys.host(id.Name), encode(h)),
				clientv3.OpPut(s.keys.alive(id.Name), strconv.FormatInt(int64(lease), 10), clientv3.WithLease(lease))},
			[]clientv3.Op{clientv3.OpGet(at)})
		if err != nil || done {
			return err
		}
		if kvs := got.Responses[0].GetResponseRange().Kvs; len(kvs) == 0 || string(kvs[0].Value) != id.Name {
			return failf(connect.CodeUnauthenticated, "address %s has gone to another host: join again", h.Underlay)
		}
	}
	return errBusy
}

// DeleteHost makes a host be no more: its certificate is void, its containers are stopped. One that is there needs force.
func (s *Store) DeleteHost(ctx context.Context, name string, force bool) error {
	h, rev, err := s.host(ctx, name)
	if err != nil {
		return fail("delete host", err)
	}
	if h == nil {
		return failf(connect.CodeNotFound, "there is no host %q", name)
	}
	if err := s.mirror.Catch(ctx); err != nil {
		return fail("delete host", err)
	}
	when := []clientv3.Cmp{unchanged(s.keys.host(name), rev)}
	if !force {
		if s.mirror.alive(name) {
			return failf(connect.CodeFailedPrecondition, "host %s is there: end its router first, or delete it with --force", name)
		}
		when = append(when, absent(s.keys.alive(name)))
	}
	then := []clientv3.Op{clientv3.OpDelete(s.keys.host(name)), clientv3.OpDelete(s.keys.alive(name)),
		clientv3.OpDelete(s.keys.mrsOf(name), clientv3.WithPrefix()), clientv3.OpDelete(s.keys.revocationsOf(name), clientv3.WithPrefix())}
	if owner, _, err := s.get(ctx, s.keys.underlay(h.Underlay)); err == nil && string(owner) == name {
		when = append(when, clientv3.Compare(clientv3.Value(s.keys.underlay(h.Underlay)), "=", name))
		then = append(then, clientv3.OpDelete(s.keys.underlay(h.Underlay)))
	}
	done, err := s.txn(ctx, when, then...)
	if err != nil {
		return fail("delete host", err)
	}
	if !done {
		return failf(connect.CodeAborted, "host %s has changed just now: look again", name)
	}
	s.tell(ctx, hostChange(h), nil)
	_, err = s.Sync(ctx, name, nil)
	return err
}

// keyHash is ca.KeyHash of a key that has no certificate yet.
func keyHash(key *ecdsa.PublicKey) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return "", failf(connect.CodeInvalidArgument, "public key: %w", err)
	}
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:]), nil
}
