package orchestrator

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"time"

	"connectrpc.com/connect"

	pb "github.com/freeflow-rdma/freeflow/api/freeflow/v1"
	"github.com/freeflow-rdma/freeflow/internal/orchestrator/ca"
)

const (
	// DefaultRoleTTL is how long a role's token or certificate is good for, unless told otherwise.
	DefaultRoleTTL = 30 * 24 * time.Hour
	sessionTTL     = 12 * time.Hour
	maxSessions    = 32   // of one token; the one that ends first makes room
	maxCredentials = 5000 // that are good at a time
)

// accessService gives access: it is the API's AccessService.
type accessService struct {
	*doorman
	audit *auditLog
}

// Login is part of the API.
func (s accessService) Login(ctx context.Context, r *connect.Request[pb.LoginRequest]) (*connect.Response[pb.LoginResponse], error) {
	now, from := time.Now(), callerOf(ctx).source
	if !s.tries.allow(from, now) {
		s.audit.denied(&pb.AuditEvent{Actor: "nobody", Source: from, Action: "login", Reason: "too many attempts"}, now)
		return nil, failf(connect.CodeResourceExhausted, "too many attempts: wait a few seconds")
	}
	t, err := s.checkBearer(ctx, r.Msg.Token, from, now)
	if err != nil {
		s.audit.denied(&pb.AuditEvent{Actor: "nobody", Source: from, Action: "login", Reason: plainError(err).Error()}, now)
		return nil, err
	}
	var secret [32]byte
	rand.Read(secret[:]) // never fails
	value := hex.EncodeToString(secret[:])
	record := sessionRecord{Credential: t.id, Created: now.UTC(), Expires: now.Add(min(sessionTTL, t.Expires.Sub(now))).UTC()}
	if err := s.makeRoom(ctx, t.id); err != nil {
		return nil, fail("log in", err)
	}
	if err := s.store.putLeased(ctx, s.store.keys.session(cookieHash(value)), record, record.Expires.Sub(now)); err != nil {
		return nil, fail("log in", err)
	}
	s.audit.done(ctx, t.holder(from), &pb.AuditEvent{Action: "login", Kind: "session"})
	answer := connect.NewResponse(&pb.LoginResponse{Role: shownRole(ca.Role(t.Role)), Name: t.Name, Expires: record.Expires.UnixNano()})
	answer.Header().Add("Set-Cookie", cookie(value, record.Expires.Sub(now)).String())
	return answer, nil
}

// cookie is the session's: scripts do not see it, and no other site's request carries it.
func cookie(value string, ttl time.Duration) *http.Cookie {
	c := &http.Cookie{Name: cookieName, Value: value, Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteStrictMode, MaxAge: int(ttl / time.Second)}
	if value == "" {
		c.MaxAge = -1
	}
	return c
}

// makeRoom ends the sessions that would be too many.
func (s accessService) makeRoom(ctx context.Context, id string) error {
	list := s.creds.sessionsOf(id)
	slices.SortFunc(list, func(a, b *session) int { return a.Expires.Compare(b.Expires) })
	for len(list) >= maxSessions {
		if err := s.end(ctx, dirSessions, list[0].id); err != nil {
			return err
		}
		list = list[1:]
	}
	return nil
}

// end removes a record, here at once and elsewhere by the watch.
func (s accessService) end(ctx context.Context, dir, id string) error {
	ctx, cancel := context.WithTimeout(ctx, opPatience)
	defer cancel()
	r, err := s.store.client.Delete(ctx, s.store.keys.prefix+dir+id)
	if err != nil {
		return err
	}
	s.creds.mu.Lock()
	defer s.creds.mu.Unlock()
	s.creds.rev = max(s.creds.rev, r.Header.Revision)
	s.creds.drop(dir, id)
	return nil
}

// Logout is part of the API.
func (s accessService) Logout(ctx context.Context, _ *connect.Request[pb.LogoutRequest]) (*connect.Response[pb.LogoutResponse], error) {
	if c := callerOf(ctx); c.session != nil {
		if err := s.end(ctx, dirSessions, c.session.id); err != nil {
			return nil, fail("log out", err)
		}
		s.audit.done(ctx, c, &pb.AuditEvent{Action: "logout", Kind: "session"})
	}
	answer := connect.NewResponse(&pb.LogoutResponse{})
	answer.Header().Add("Set-Cookie", cookie("", 0).String())
	return answer, nil
}

// WhoAmI is part of the API.
func (s accessService) WhoAmI(ctx context.Context, _ *connect.Request[pb.WhoAmIRequest]) (*connect.Response[pb.WhoAmIResponse], error) {
	c := callerOf(ctx)
	answer := &pb.WhoAmIResponse{Role: shownRole(c.Role), Name: c.Name, Cluster: clusterName(s.store.ca), Session: c.session != nil}
	switch {
	case c.session != nil:
		answer.Expires = c.session.Expires.UnixNano()
	case c.credential != nil:
		answer.Expires = c.credential.Expires.UnixNano()
	case c.cert != nil:
		answer.Expires = c.cert.NotAfter.UnixNano()
	}
	return connect.NewResponse(answer), nil
}

// CreateCredential is part of the API.
func (s accessService) CreateCredential(ctx context.Context, r *connect.Request[pb.CreateCredentialRequest]) (*connect.Response[pb.CreateCredentialResponse], error) {
	role, ok := people[r.Msg.Role]
	ttl := cmp.Or(time.Duration(r.Msg.TtlMs)*time.Millisecond, DefaultRoleTTL)
	switch {
	case !ok:
		return nil, failf(connect.CodeInvalidArgument, "role %s: want viewer, operator or admin", r.Msg.Role)
	case ttl < time.Second || ttl > maxTokenTTL:
		return nil, failf(connect.CodeInvalidArgument, "token lifetime %s: want a second to ten years", ttl)
	case len(r.Msg.Csr) > 0 && role == ca.RoleAdmin:
		return nil, failf(connect.CodeInvalidArgument, "a certificate is for viewer or operator: an admin's is in the data directory of each orchestrator")
	}
	if all, _ := s.creds.list(); len(all) >= maxCredentials {
		return nil, failf(connect.CodeResourceExhausted, "there are %d tokens already: freeflow token revoke some", len(all))
	}
	now := time.Now()
	record := tokenRecord{Role: string(role), Name: r.Msg.Name, Expires: now.Add(ttl).UTC(), Created: now.UTC(), CreatedBy: callerOf(ctx).actor()}
	answer := &pb.CreateCredentialResponse{Ca: s.store.ca.Cert.Raw, Expires: record.Expires.UnixNano()}
	if err := s.make(&record, r.Msg.Csr, answer, now); err != nil {
		return nil, err
	}
	if err := s.store.putLeased(ctx, s.store.keys.token(answer.Id), record, ttl); err != nil {
		return nil, fail("create token", err)
	}
	s.audit.done(ctx, callerOf(ctx), &pb.AuditEvent{Action: "token.create", Kind: cmp.Or(record.Kind, "join"), Object: answer.Id, After: fmt.Sprintf(
		`{"role":%q,"name":%q,"expires":%q}`, record.Role, record.Name, record.Expires.Format(time.RFC3339))})
	return connect.NewResponse(answer), nil
}

// make makes the secret, or signs the certificate, and completes the record.
func (s accessService) make(record *tokenRecord, csr []byte, answer *pb.CreateCredentialResponse, now time.Time) error {
	if len(csr) == 0 {
		token := ca.NewToken(s.store.ca)
		answer.Id, answer.Token = token.ID, token.String()
		record.Kind, record.Hash, record.Name = kindToken, token.SecretHash(), cmp.Or(record.Name, token.ID[:8])
		return checkName("name", record.Name)
	}
	key, err := ca.ParseRequest(csr)
	if err != nil {
		return failf(connect.CodeInvalidArgument, "%w", err)
	}
	record.Kind, record.Name = kindCertificate, cmp.Or(record.Name, record.Role)
	if err := checkName("name", record.Name); err != nil {
		return err
	}
	id := ca.Identity{Role: ca.Role(record.Role), Name: record.Name}
	if answer.Certificate, err = s.store.ca.Sign(ca.Subject{Identity: id, Lifetime: record.Expires.Sub(now)}, key, now); err != nil {
		return fail("sign", err)
	}
	if record.Hash, err = ca.CertKeyHash(answer.Certificate); err != nil {
		return fail("sign", err)
	}
	answer.Id = certificateID(record.Hash)
	return nil
}

// ListCredentials is part of the API.
func (s accessService) ListCredentials(context.Context, *connect.Request[pb.ListCredentialsRequest]) (*connect.Response[pb.ListCredentialsResponse], error) {
	all, sessions := s.creds.list()
	slices.SortFunc(all, func(a, b *credential) int { return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.id, b.id)) })
	answer, now := &pb.ListCredentialsResponse{}, time.Now()
	for _, t := range all {
		if now.Before(t.Expires) {
			answer.Credentials = append(answer.Credentials, t.shown(sessions[t.id]))
		}
	}
	return connect.NewResponse(answer), nil
}

var shownKinds = map[string]pb.Credential_Kind{
	kindJoin: pb.Credential_KIND_JOIN, kindToken: pb.Credential_KIND_TOKEN, kindCertificate: pb.Credential_KIND_CERTIFICATE,
}

func (t *credential) shown(sessions int32) *pb.Credential {
	c := &pb.Credential{
		Id: t.id, Kind: shownKinds[t.Kind], Role: shownRole(ca.Role(t.Role)), Name: t.Name, CreatedBy: t.CreatedBy,
		Expires: t.Expires.UnixNano(), SingleUse: t.SingleUse, Sessions: sessions,
	}
	if t.Kind == kindJoin {
		c.Role = pb.Role_ROLE_ROUTER
	}
	if !t.Created.IsZero() {
		c.Created = t.Created.UnixNano()
	}
	return c
}

// RevokeCredential is part of the API.
func (s accessService) RevokeCredential(ctx context.Context, r *connect.Request[pb.RevokeCredentialRequest]) (*connect.Response[pb.RevokeCredentialResponse], error) {
	if len(r.Msg.Id) < 4 {
		return nil, failf(connect.CodeInvalidArgument, "token %q: want its id, or at least four digits of it, as `freeflow get tokens` shows them", r.Msg.Id)
	}
	list := s.creds.called(r.Msg.Id)
	switch {
	case len(list) == 0:
		return nil, failf(connect.CodeNotFound, "there is no token %s", r.Msg.Id)
	case len(list) > 1:
		return nil, failf(connect.CodeInvalidArgument, "%d tokens begin with %s: give more digits", len(list), r.Msg.Id)
	}
	t := list[0]
	if err := s.end(ctx, dirTokens, t.id); err != nil {
		return nil, fail("revoke token", err)
	}
	for _, one := range s.creds.sessionsOf(t.id) {
		if err := s.end(ctx, dirSessions, one.id); err != nil {
			s.store.log.Warn("a session of a revoked token is still in the store: it opens nothing", "err", err)
		}
	}
	s.audit.done(ctx, callerOf(ctx), &pb.AuditEvent{Action: "token.revoke", Kind: cmp.Or(t.Kind, "join"), Object: t.id, Before: fmt.Sprintf(
		`{"role":%q,"name":%q,"expires":%q}`, t.Role, t.Name, t.Expires.Format(time.RFC3339))})
	return connect.NewResponse(&pb.RevokeCredentialResponse{Credential: t.shown(0)}), nil
}
