package orchestrator

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	pb "github.com/freeflow-rdma/freeflow/api/freeflow/v1"
	"github.com/freeflow-rdma/freeflow/api/freeflow/v1/freeflowv1connect"
	"github.com/freeflow-rdma/freeflow/internal/orchestrator/ca"
)

// bearing is a client that gives a token with each request.
type bearing struct {
	*http.Client
	token string
}

func (b bearing) Do(r *http.Request) (*http.Response, error) {
	r.Header.Set("Authorization", "Bearer "+b.token)
	return b.Client.Do(r)
}

// adminOf is a client of a service for an admin.
func adminOf[T any](t *testing.T, s *Server, make func(connect.HTTPClient, string, ...connect.ClientOption) T) T {
	t.Helper()
	cert := certificate(t, s.Store.ca, ca.Identity{Role: ca.RoleAdmin, Name: "x"}, time.Hour)
	return make(as(s, cert), "https://"+s.Addr().String())
}

// roleToken makes a token of a role.
func roleToken(t *testing.T, s *Server, role pb.Role) (token, id string) {
	t.Helper()
	a := adminOf(t, s, freeflowv1connect.NewAccessServiceClient)
	answer, err := a.CreateCredential(context.Background(), connect.NewRequest(&pb.CreateCredentialRequest{Role: role, Name: "ann"}))
	if err != nil {
		t.Fatal(err)
	}
	return answer.Msg.Token, answer.Msg.Id
}

func TestTokensOfRoles(t *testing.T) {
	s := startServer(t, Config{})
	ctx, url := context.Background(), "https://"+s.Addr().String()
	for _, c := range []struct {
		role                pb.Role
		list, apply, create connect.Code
	}{
		{pb.Role_ROLE_VIEWER, 0, connect.CodePermissionDenied, connect.CodePermissionDenied},
		{pb.Role_ROLE_OPERATOR, 0, 0, connect.CodePermissionDenied},
		{pb.Role_ROLE_ADMIN, 0, 0, 0},
	} {
		token, id := roleToken(t, s, c.role)
		client := bearing{as(s, nil), token}
		o, a := freeflowv1connect.NewClusterServiceClient(client, url), freeflowv1connect.NewAccessServiceClient(client, url)
		list := func() error {
			_, err := o.List(ctx, connect.NewRequest(&pb.ListRequest{Kind: pb.Kind_KIND_HOST}))
			return err
		}
		if err := list(); !isCode(err, c.list) {
			t.Errorf("%s lists: %v", c.role, err)
		}
		if _, err := o.Apply(ctx, connect.NewRequest(&pb.ApplyRequest{})); !isCode(err, c.apply) {
			t.Errorf("%s applies: %v", c.role, err)
		}
		if _, err := a.CreateCredential(ctx, connect.NewRequest(&pb.CreateCredentialRequest{Role: pb.Role_ROLE_ADMIN})); !isCode(err, c.create) {
			t.Errorf("%s makes an admin: %v", c.role, err)
		}
		if who, err := a.WhoAmI(ctx, connect.NewRequest(&pb.WhoAmIRequest{})); err != nil || who.Msg.Role != c.role || who.Msg.Name != "ann" {
			t.Errorf("%s is %v, %v", c.role, who, err)
		}
		if _, err := s.Store.checkToken(ctx, token, time.Now()); connect.CodeOf(err) != connect.CodeUnauthenticated {
			t.Errorf("a host joins with a token of %s: %v", c.role, err)
		}
		admin := adminOf(t, s, freeflowv1connect.NewAccessServiceClient)
		if _, err := admin.RevokeCredential(ctx, connect.NewRequest(&pb.RevokeCredentialRequest{Id: id[:8]})); err != nil {
			t.Fatal(err)
		}
		if err := list(); !isCode(err, connect.CodeUnauthenticated) {
			t.Errorf("%s lists with a revoked token: %v", c.role, err)
		}
	}
	join, err := s.CreateToken(ctx, 0, false)
	if err != nil {
		t.Fatal(err)
	}
	o := freeflowv1connect.NewClusterServiceClient(bearing{as(s, nil), join}, url)
	if _, err := o.List(ctx, connect.NewRequest(&pb.ListRequest{Kind: pb.Kind_KIND_HOST})); !isCode(err, connect.CodeUnauthenticated) {
		t.Errorf("a join token lists: %v", err)
	}
}

func TestCertificatesOfRoles(t *testing.T) {
	s := startServer(t, Config{})
	ctx, url := context.Background(), "https://"+s.Addr().String()
	key, _ := ca.NewKey()
	csr, _ := ca.Request(key)
	a := adminOf(t, s, freeflowv1connect.NewAccessServiceClient)
	made, err := a.CreateCredential(ctx, connect.NewRequest(&pb.CreateCredentialRequest{Role: pb.Role_ROLE_VIEWER, Name: "bob", Csr: csr}))
	if err != nil {
		t.Fatal(err)
	}
	viewer := freeflowv1connect.NewClusterServiceClient(as(s, &tls.Certificate{Certificate: [][]byte{made.Msg.Certificate}, PrivateKey: key}), url)
	list := func() error {
		_, err := viewer.List(ctx, connect.NewRequest(&pb.ListRequest{Kind: pb.Kind_KIND_HOST}))
		return err
	}
	if err := list(); err != nil {
		t.Error(err)
	}
	if _, err := viewer.Apply(ctx, connect.NewRequest(&pb.ApplyRequest{})); !isCode(err, connect.CodePermissionDenied) {
		t.Error(err)
	}
	// Signed by the authority, but on no record.
	other := freeflowv1connect.NewClusterServiceClient(as(s, certificate(t, s.Store.ca, ca.Identity{Role: ca.RoleOperator, Name: "bob"}, time.Hour)), url)
	if _, err := other.List(ctx, connect.NewRequest(&pb.ListRequest{Kind: pb.Kind_KIND_HOST})); !isCode(err, connect.CodeUnauthenticated) {
		t.Error(err)
	}
	if _, err := a.RevokeCredential(ctx, connect.NewRequest(&pb.RevokeCredentialRequest{Id: made.Msg.Id})); err != nil {
		t.Fatal(err)
	}
	if err := list(); !isCode(err, connect.CodeUnauthenticated) {
		t.Errorf("with a revoked certificate: %v", err)
	}
	if _, err := a.CreateCredential(ctx, connect.NewRequest(&pb.CreateCredentialRequest{Role: pb.Role_ROLE_ADMIN, Csr: csr})); !isCode(err, connect.CodeInvalidArgument) {
		t.Error(err)
	}
}

// post calls a method as the web page does.
func post(t *testing.T, s *Server, method, body string, change func(*http.Request)) *http.Response {
	t.Helper()
	r, err := http.NewRequest(http.MethodPost, "https://"+s.Addr().String()+"/freeflow.v1."+method, bytes.NewReader([]byte(body)))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	if change != nil {
		change(r)
	}
	answer, err := as(s, nil).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { answer.Body.Close() })
	return answer
}

func logIn(t *testing.T, s *Server, token string) *http.Cookie {
	t.Helper()
	answer := post(t, s, "AccessService/Login", `{"token":"`+token+`"}`, nil)
	if answer.StatusCode != http.StatusOK || len(answer.Cookies()) != 1 {
		text, _ := io.ReadAll(answer.Body)
		t.Fatalf("login: %s %s", answer.Status, text)
	}
	return answer.Cookies()[0]
}

func TestSessions(t *testing.T) {
	dir := shortDir(t)
	s := startServer(t, Config{DataDir: dir})
	token, id := roleToken(t, s, pb.Role_ROLE_OPERATOR)
	cookie := logIn(t, s, token)
	if !cookie.Secure || !cookie.HttpOnly || cookie.SameSite != http.SameSiteStrictMode || cookie.Path != "/" || cookie.Domain != "" ||
		!strings.HasPrefix(cookie.Name, "__Host-") || strings.Contains(cookie.Value, token) {
		t.Errorf("cookie %+v", cookie)
	}
	with := func(c *http.Cookie) func(*http.Request) { return func(r *http.Request) { r.AddCookie(c) } }
	status := func(c *http.Cookie, more ...func(*http.Request)) int {
		return post(t, s, "ClusterService/List", `{"kind":"KIND_HOST"}`, func(r *http.Request) {
			with(c)(r)
			for _, m := range more {
				m(r)
			}
		}).StatusCode
	}
	if got := status(cookie); got != http.StatusOK {
		t.Errorf("with the session: %d", got)
	}
	if got := status(&http.Cookie{Name: cookieName, Value: strings.Repeat("0", 64)}); got != http.StatusUnauthorized {
		t.Errorf("with a made-up session: %d", got)
	}
	// Another site has the browser send the request.
	for _, from := range []func(*http.Request){
		func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") },
		func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "same-site") },
		func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") },
	} {
		if got := status(cookie, from); got != http.StatusForbidden {
			t.Errorf("from another site: %d", got)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = startServer(t, Config{DataDir: dir})
	if got := status(cookie); got != http.StatusOK {
		t.Errorf("after a restart: %d", got)
	}
	second := logIn(t, s, token)
	out := post(t, s, "AccessService/Logout", `{}`, with(second))
	if out.StatusCode != http.StatusOK || len(out.Cookies()) != 1 || out.Cookies()[0].MaxAge >= 0 {
		t.Errorf("logout: %s, %v", out.Status, out.Cookies())
	}
	if got := status(second); got != http.StatusUnauthorized {
		t.Errorf("after logout: %d", got)
	}
	a := adminOf(t, s, freeflowv1connect.NewAccessServiceClient)
	if _, err := a.RevokeCredential(context.Background(), connect.NewRequest(&pb.RevokeCredentialRequest{Id: id})); err != nil {
		t.Fatal(err)
	}
	if got := status(cookie); got != http.StatusUnauthorized {
		t.Errorf("with a session of a revoked token: %d", got)
	}
}

// What was opened with a token ends with it.
func TestRevokedTokenEndsStreams(t *testing.T) {
	s := startServer(t, Config{})
	token, id := roleToken(t, s, pb.Role_ROLE_VIEWER)
	o := freeflowv1connect.NewClusterServiceClient(bearing{as(s, nil), token}, "https://"+s.Addr().String())
	stream, err := o.Watch(context.Background(), connect.NewRequest(&pb.ListRequest{Kind: pb.Kind_KIND_HOST}))
	if err != nil || !stream.Receive() {
		t.Fatal(err, stream.Err())
	}
	a := adminOf(t, s, freeflowv1connect.NewAccessServiceClient)
	if _, err := a.RevokeCredential(context.Background(), connect.NewRequest(&pb.RevokeCredentialRequest{Id: id})); err != nil {
		t.Fatal(err)
	}
	for stream.Receive() {
	}
	if !isCode(stream.Err(), connect.CodeUnauthenticated) {
		t.Error(stream.Err())
	}
}

func TestLoginIsRateLimited(t *testing.T) {
	s := startServer(t, Config{})
	limited := false
	for range triesBurst + 2 {
		answer := post(t, s, "AccessService/Login", `{"token":"x"}`, nil)
		limited = limited || answer.StatusCode == http.StatusTooManyRequests
	}
	if !limited {
		t.Error("guessing goes on for ever")
	}
}

// Nothing of a token but its hash is kept, and lists show no secret.
func TestSecretsAreNotKept(t *testing.T) {
	s := startServer(t, Config{})
	token, id := roleToken(t, s, pb.Role_ROLE_VIEWER)
	parsed, err := ca.ParseToken(token)
	if err != nil {
		t.Fatal(err)
	}
	cookie := logIn(t, s, token)
	got, err := s.Store.client.Get(context.Background(), "/", withPrefix)
	if err != nil {
		t.Fatal(err)
	}
	for _, kv := range got.Kvs {
		if bytes.Contains(kv.Value, []byte(parsed.Secret)) || bytes.Contains(kv.Value, []byte(cookie.Value)) || bytes.Contains(kv.Key, []byte(cookie.Value)) {
			t.Errorf("%s holds a secret", kv.Key)
		}
	}
	a := adminOf(t, s, freeflowv1connect.NewAccessServiceClient)
	list, err := a.ListCredentials(context.Background(), connect.NewRequest(&pb.ListCredentialsRequest{}))
	if err != nil || len(list.Msg.Credentials) != 1 || list.Msg.Credentials[0].Id != id || list.Msg.Credentials[0].Sessions != 1 {
		t.Errorf("%v, %v", list, err)
	}
	if strings.Contains(list.Msg.String(), parsed.Secret) {
		t.Error("the list tells the secret")
	}
}

// Two orchestrators over one etcd: what one makes the other knows at once, and what one ends is ended.
func TestCredentialsOfTwoOrchestrators(t *testing.T) {
	w := newWorld(t, 2)
	a, b := accessOf(w, 0), accessOf(w, 1)
	for range 20 {
		made, err := a.CreateCredential(w.ctx, connect.NewRequest(&pb.CreateCredentialRequest{Role: pb.Role_ROLE_VIEWER}))
		if err != nil {
			t.Fatal(err)
		}
		if c := b.byToken(w.ctx, made.Msg.Token, "here", time.Now()); c.refused != nil {
			t.Fatal(c.refused)
		}
		if _, err := b.RevokeCredential(w.ctx, connect.NewRequest(&pb.RevokeCredentialRequest{Id: made.Msg.Id})); err != nil {
			t.Fatal(err)
		}
		if c := b.byToken(w.ctx, made.Msg.Token, "there", time.Now()); c.refused == nil {
			t.Fatal("good although revoked")
		}
		b.tries, a.tries = newTries(), newTries()
	}
}
