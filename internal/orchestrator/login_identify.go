package orchestrator

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/time/rate"

	"github.com/freeflow-rdma/freeflow/internal/orchestrator/ca"
)

// cookieName begins so that browsers take the cookie from this host alone, over TLS, for all its paths.
const cookieName = "__Host-freeflow"

// doorman finds out who makes a request. In this order: the Unix socket, a token in the header Authorization, a client
// certificate, the cookie of a session.
type doorman struct {
	store *Store
	creds *credentials
	tries *tries
}

// identify notes in the request's context who sends it. TLS has checked the certificate, if there is one.
func (d *doorman) identify(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := d.caller(r)
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), callerKey{}, c)))
	})
}

func (d *doorman) caller(r *http.Request) caller {
	now := time.Now()
	source := sourceOf(r)
	bearer, given := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	switch {
	case r.Context().Value(localKey{}) != nil:
		return caller{Identity: ca.Identity{Role: ca.RoleAdmin, Name: "root"}, source: source}
	case given:
		return d.byToken(r.Context(), bearer, source, now)
	case r.TLS != nil && len(r.TLS.VerifiedChains) > 0:
		c := d.byCertificate(r, now)
		c.source = source
		return c
	}
	if cookie, err := r.Cookie(cookieName); err == nil {
		return d.byCookie(r.Context(), cookie.Value, source, now)
	}
	return caller{source: source}
}

func (d *doorman) byToken(ctx context.Context, text, source string, now time.Time) caller {
	t, err := d.checkBearer(ctx, text, source, now)
	if err != nil {
		return caller{source: source, refused: err}
	}
	return t.holder(source)
}

// holder is the caller whose credential it is.
func (t *credential) holder(source string) caller {
	return caller{Identity: ca.Identity{Role: ca.Role(t.Role), Name: t.Name}, source: source, credential: t}
}

// checkBearer finds the record of a token that gives a role.
func (d *doorman) checkBearer(ctx context.Context, text, source string, now time.Time) (*credential, error) {
	token, err := ca.ParseToken(text)
	if err != nil {
		return nil, failf(connect.CodeUnauthenticated, "token: want ff1.ID.SECRET.FINGERPRINT, as `freeflow token create --role` prints it")
	}
	t := d.creds.find(ctx, token.ID, func() bool { return d.tries.allow(source, now) })
	if t != nil && t.Kind == kindJoin && token.Proves(t.Hash) {
		return nil, failf(connect.CodeUnauthenticated, "this token lets hosts join, and nothing else: freeflow token create --role viewer makes one for people")
	}
	if !t.good(kindToken, now) || !token.Proves(t.Hash) {
		return nil, failf(connect.CodeUnauthenticated, "token is unknown: it has expired, was revoked, or is another cluster's")
	}
	return t, nil
}

// byCertificate believes routers' and admins' certificates (access has more questions for routers); those of other roles have a record, and can
// be revoked.
func (d *doorman) byCertificate(r *http.Request, now time.Time) caller {
	cert := r.TLS.PeerCertificates[0]
	id, err := ca.Holder(cert)
	if err != nil {
		return caller{}
	}
	c := caller{Identity: id, cert: cert}
	if id.Role != ca.RoleOperator && id.Role != ca.RoleViewer {
		return c
	}
	t := d.creds.find(r.Context(), certificateID(ca.KeyHash(cert)), func() bool { return true })
	if !t.good(kindCertificate, now) || t.Hash != ca.KeyHash(cert) || t.Role != string(id.Role) || t.Name != id.Name {
		return caller{refused: failf(connect.CodeUnauthenticated, "the certificate for %s %s has been revoked", id.Role, id.Name)}
	}
	c.credential = t
	return c
}

// certificateID is the id of the record of a certificate with that key.
func certificateID(keyHash string) string { return keyHash[:16] }

func (d *doorman) byCookie(ctx context.Context, value, source string, now time.Time) caller {
	s, t := d.creds.findSession(ctx, cookieHash(value), func() bool { return d.tries.allow(source, now) })
	if s == nil || !now.Before(s.Expires) || !t.good(kindToken, now) {
		return caller{source: source, refused: failf(connect.CodeUnauthenticated, "the session has ended: log in again")}
	}
	c := t.holder(source)
	c.session = s
	return c
}

// cookieHash is the id of the session whose cookie that is.
func cookieHash(value string) string {
	sum := sha256.Sum256([]byte(value))
	return hex.EncodeToString(sum[:])
}

// sourceOf is the address that a request came from, without its port.
func sourceOf(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return "local"
	}
	return host
}

// Rates of tries to log in, and of looking up what is not known.
const (
	triesEach    = rate.Limit(0.5) // a second, from one address
	triesBurst   = 10
	triesAll     = rate.Limit(20)
	triesAllIn   = 100
	triesSources = 4096 // addresses that are remembered
)

// tries bounds how often strangers may guess. Any goroutine may use it.
type tries struct {
	mu   sync.Mutex
	each map[string]*rate.Limiter
	all  *rate.Limiter
}

func newTries() *tries {
	return &tries{each: make(map[string]*rate.Limiter), all: rate.NewLimiter(triesAll, triesAllIn)}
}

// allow says whether there may be one more from source.
func (t *tries) allow(source string, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	l := t.each[source]
	if l == nil {
		if len(t.each) >= triesSources {
			t.forget(now)
		}
		l = rate.NewLimiter(triesEach, triesBurst)
		t.each[source] = l
	}
	return l.AllowN(now, 1) && t.all.AllowN(now, 1)
}

// forget drops the addresses that have their whole burst again; if there are none, all: the bound over all of them holds anyway.
func (t *tries) forget(now time.Time) {
	for source, l := range t.each {
		if l.TokensAt(now) >= triesBurst {
			delete(t.each, source)
		}
	}
	if len(t.each) >= triesSources {
		clear(t.each)
	}
}
