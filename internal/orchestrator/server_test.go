package orchestrator

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"connectrpc.com/connect"

	pb "github.com/freeflow-rdma/freeflow/api/freeflow/v1"
	"github.com/freeflow-rdma/freeflow/api/freeflow/v1/freeflowv1connect"
	"github.com/freeflow-rdma/freeflow/internal/orchestrator/ca"
	"github.com/freeflow-rdma/freeflow/internal/orchestrator/etcd"
)

// shortDir is a directory whose name leaves room for sockets.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "ff")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func startServer(t *testing.T, cfg Config) *Server {
	t.Helper()
	if cfg.DataDir == "" {
		cfg.DataDir = shortDir(t)
	}
	if cfg.Listen == "" {
		cfg.Listen = "127.0.0.1:0"
	}
	cfg.Log = testLog()
	began := time.Now()
	s, err := Start(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("started in %s", time.Since(began))
	t.Cleanup(func() { s.Close() })
	return s
}

// as is a client with that certificate; without one if cert is nil.
func as(s *Server, cert *tls.Certificate) *http.Client {
	config := &tls.Config{RootCAs: s.Store.ca.Pool(), ServerName: ca.ServerName}
	if cert != nil {
		config.Certificates = []tls.Certificate{*cert}
	}
	return &http.Client{Transport: &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true}}
}

// certificate is one of the authority a, for whoever; renamed hosts and roles are made with it.
func certificate(t *testing.T, a *ca.Authority, id ca.Identity, lifetime time.Duration) *tls.Certificate {
	t.Helper()
	key, err := ca.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	der, err := a.Sign(ca.Subject{Identity: id, Lifetime: lifetime}, key.Public(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// Everybody who may come, and everything that may be called.
func TestWhoMayCallWhat(t *testing.T) {
	s := startServer(t, Config{})
	ctx, url := context.Background(), "https://"+s.Addr().String()
	router, err := joined(ctx, s, "a", "192.0.2.1")
	if err != nil {
		t.Fatal(err)
	}
	id := ca.Identity{Role: ca.RoleRouter, Name: "a", Underlay: netip.MustParseAddr("192.0.2.1")}
	admin := certificate(t, s.Store.ca, ca.Identity{Role: ca.RoleAdmin, Name: "x"}, time.Hour)
	stranger, err := ca.New(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	const ok, no, forbidden = 0, connect.CodeUnauthenticated, connect.CodePermissionDenied
	for _, c := range []struct {
		name             string
		cert             *tls.Certificate
		router, operator connect.Code
	}{
		{"nobody", nil, no, no},
		{"router", router, ok, forbidden},
		{"same host, another key", certificate(t, s.Store.ca, id, time.Hour), no, forbidden},
		{"unknown host", certificate(t, s.Store.ca, ca.Identity{Role: ca.RoleRouter, Name: "b", Underlay: id.Underlay}, time.Hour), no, forbidden},
		{"operator", admin, forbidden, ok},
		{"orchestrator", certificate(t, s.Store.ca, ca.Identity{Role: ca.RoleOrchestrator, Name: "o"}, time.Hour), refusedTLS, refusedTLS},
		{"another cluster's operator", certificate(t, stranger, ca.Identity{Role: ca.RoleAdmin, Name: "x"}, time.Hour), refusedTLS, refusedTLS},
		{"expired operator", certificate(t, s.Store.ca, ca.Identity{Role: ca.RoleAdmin, Name: "x"}, -time.Minute), refusedTLS, refusedTLS},
	} {
		client := as(s, c.cert)
		r, o := freeflowv1connect.NewRouterServiceClient(client, url), freeflowv1connect.NewClusterServiceClient(client, url)
		for method, call := range map[string]func() error{
			"Heartbeat": func() error { _, err := r.Heartbeat(ctx, connect.NewRequest(&pb.HeartbeatRequest{})); return err },
			"Sync": func() error {
				_, err := r.SyncContainers(ctx, connect.NewRequest(&pb.SyncContainersRequest{}))
				return err
			},
			"ReportMRs": func() error {
				_, err := r.ReportMRs(ctx, connect.NewRequest(&pb.ReportMRsRequest{}))
				return maskLease(err)
			},
			"Register": func() error {
				_, err := r.RegisterContainer(ctx, connect.NewRequest(registerX()))
				return maskLease(err)
			},
			"Unregister": func() error {
				_, err := r.UnregisterContainer(ctx, connect.NewRequest(&pb.UnregisterContainerRequest{Network: "default", Name: "none"}))
				return err
			},
			"Watch": func() error { return firstOf(r.Watch(ctx, connect.NewRequest(&pb.WatchRequest{}))) },
		} {
			if err := call(); !isCode(err, c.router) {
				t.Errorf("%s calls RouterService.%s: %v, want %s", c.name, method, err, c.router)
			}
		}
		for method, call := range map[string]func() error{
			"List": func() error {
				_, err := o.List(ctx, connect.NewRequest(&pb.ListRequest{Kind: pb.Kind_KIND_HOST}))
				return err
			},
			"Apply":       func() error { _, err := o.Apply(ctx, connect.NewRequest(&pb.ApplyRequest{})); return err },
			"CreateToken": func() error { _, err := o.CreateToken(ctx, connect.NewRequest(&pb.CreateTokenRequest{})); return err },
			"Delete": func() error {
				_, err := o.Delete(ctx, connect.NewRequest(&pb.DeleteRequest{Ref: &pb.Ref{Kind: pb.Kind_KIND_CONTAINER, Name: "none"}}))
				return maskNotFound(err)
			},
			"RevokeMR": func() error {
				_, err := o.RevokeMR(ctx, connect.NewRequest(&pb.RevokeMRRequest{Host: "a"}))
				return maskNotFound(err)
			},
			"Watch": func() error {
				return firstOf(o.Watch(ctx, connect.NewRequest(&pb.ListRequest{Kind: pb.Kind_KIND_HOST})))
			},
		} {
			if err := call(); !isCode(err, c.operator) {
				t.Errorf("%s calls ClusterService.%s: %v, want %s", c.name, method, err, c.operator)
			}
		}
	}
}

func registerX() *pb.RegisterContainerRequest {
	return &pb.RegisterContainerRequest{Network: "default", Name: "x", Instance: "i"}
}

// refusedTLS is any failure before the API is reached.
const refusedTLS connect.Code = 1000

func isCode(err error, want connect.Code) bool {
	switch want {
	case 0:
		return err == nil
	case refusedTLS:
		return err != nil && !connect.IsWireError(err)
	}
	return err != nil && connect.CodeOf(err) == want
}

// maskLease passes over that a router has had no heartbeat yet: it was let in.
func maskLease(err error) error {
	if connect.CodeOf(err) == connect.CodeFailedPrecondition {
		return nil
	}
	return err
}

func maskNotFound(err error) error {
	if connect.CodeOf(err) == connect.CodeNotFound {
		return nil
	}
	return err
}

func firstOf[T any](stream *connect.ServerStreamForClient[T], err error) error {
	if err != nil {
		return err
	}
	defer stream.Close()
	if stream.Receive() {
		return nil
	}
	return stream.Err()
}

// joined makes a host, and returns its certificate.
func joined(ctx context.Context, s *Server, name, ip string) (*tls.Certificate, error) {
	token, err := s.CreateToken(ctx, 0, true)
	if err != nil {
		return nil, err
	}
	key, err := ca.NewKey()
	if err != nil {
		return nil, err
	}
	csr, err := ca.Request(key)
	if err != nil {
		return nil, err
	}
	r := freeflowv1connect.NewRouterServiceClient(as(s, nil), "https://"+s.Addr().String())
	answer, err := r.Join(ctx, connect.NewRequest(&pb.JoinRequest{Token: token, Csr: csr, Host: name, Underlay: ip}))
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{answer.Msg.Certificate}, PrivateKey: key}, nil
}

func TestOldTLSIsRefused(t *testing.T) {
	s := startServer(t, Config{})
	_, err := tls.Dial("tcp", s.Addr().String(), &tls.Config{RootCAs: s.Store.ca.Pool(), ServerName: ca.ServerName, MaxVersion: tls.VersionTLS12})
	if err == nil {
		t.Fatal("TLS 1.2 was accepted")
	}
}

// What root has on disk is root's.
func TestFilesAreClosed(t *testing.T) {
	s := startServer(t, Config{})
	for _, name := range []string{"admin.key", "admin.crt", "ca.crt", "orchestrator.sock", "router-api.sock", "orchestrator.lock"} {
		info, err := os.Stat(filepath.Join(s.cfg.DataDir, name))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
	if info, err := os.Stat(filepath.Join(s.cfg.DataDir, "etcd")); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("etcd: %v, %v", info.Mode(), err)
	}
}

func TestRestartKeepsEverything(t *testing.T) {
	dir, ctx := shortDir(t), context.Background()
	s := startServer(t, Config{DataDir: dir})
	if _, err := joined(ctx, s, "a", "192.0.2.1"); err != nil {
		t.Fatal(err)
	}
	token, err := s.CreateToken(ctx, 0, false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Store.Apply(ctx, &pb.ApplyRequest{Objects: []*pb.Object{network("n", "10.9.0.0/24", 0), reservation("n", "db", "10.9.0.9")}}); err != nil {
		t.Fatal(err)
	}
	if _, err := Start(ctx, Config{DataDir: dir, Listen: "none"}); !errors.Is(err, etcd.ErrInUse) {
		t.Fatalf("a second orchestrator on the same directory: %v", err)
	}
	fingerprint := ca.Fingerprint(s.Store.ca.Cert)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = startServer(t, Config{DataDir: dir})
	if ca.Fingerprint(s.Store.ca.Cert) != fingerprint {
		t.Error("another authority")
	}
	if _, err := s.Store.checkToken(ctx, token, time.Now()); err != nil {
		t.Error(err)
	}
	m := s.Store.mirror
	if m.hosts["a"] == nil || m.nets["n"] == nil || m.byName[Name{"n", "db"}].c.Ip != "10.9.0.9" || m.nets[DefaultNetwork].net.Vni != 1 {
		t.Errorf("after a restart: %v, %v, %v", m.hosts, m.nets, m.byName)
	}
}

func TestAddressInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := Start(context.Background(), Config{DataDir: shortDir(t), Listen: l.Addr().String()}); err == nil {
		t.Fatal("started on an address that is taken")
	}
	s := startServer(t, Config{Listen: l.Addr().String(), ListenOptional: true})
	if s.Addr() != nil {
		t.Fatalf("serves on %s", s.Addr())
	}
}

func TestNothingIsLeftRunning(t *testing.T) {
	before := runtime.NumGoroutine()
	s, err := Start(context.Background(), Config{DataDir: shortDir(t), Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(patience); runtime.NumGoroutine() > before+5 && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
	}
	if n := runtime.NumGoroutine(); n > before+5 { // some of etcd's libraries keep one for the process
		buffer := make([]byte, 1<<20)
		t.Fatalf("%d goroutines, %d before:\n%s", n, before, buffer[:runtime.Stack(buffer, true)])
	}
}
