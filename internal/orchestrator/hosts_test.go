package orchestrator

import (
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	clientv3 "go.etcd.io/etcd/client/v3"

	pb "github.com/freeflow-rdma/freeflow/api/freeflow/v1"
	"github.com/freeflow-rdma/freeflow/internal/orchestrator/ca"
)

func TestTwoHostsAreNeverOne(t *testing.T) {
	w := newWorld(t, 1)
	a := w.host("a") // 192.0.2.1
	_, err := w.join("a", "192.0.2.9")
	refused(t, err, connect.CodeAlreadyExists, "a host named a", "192.0.2.1")
	_, err = w.join("b", "192.0.2.1")
	refused(t, err, connect.CodeAlreadyExists, "192.0.2.1 is host a's")
	for _, bad := range []struct{ name, ip string }{{"", "192.0.2.3"}, {"a/b", "192.0.2.3"}, {"-a", "192.0.2.3"}, {"c", "x"}, {"c", "0.0.0.0"}, {"c", "ff02::1"}, {"c", "224.0.0.1"}} {
		_, err := w.join(bad.name, bad.ip)
		refused(t, err, connect.CodeInvalidArgument)
	}
	s := w.stores[0]
	if err := s.Member(w.ctx, a.Identity, a.cert); err != nil {
		t.Fatal(err)
	}
	// While it is away, its name may pass to another machine, and its address to another host.
	w.leave(a)
	next, err := w.join("a", "192.0.2.1")
	if err != nil {
		t.Fatal(err)
	}
	refused(t, s.Member(w.ctx, a.Identity, a.cert), connect.CodeUnauthenticated, "certificate is void")
	w.beat(next)
	w.leave(next)
	if _, err := w.join("b", "192.0.2.1"); err != nil {
		t.Fatal(err)
	}
	_, err = s.Heartbeat(w.ctx, next.Identity, &pb.HeartbeatRequest{})
	refused(t, err, connect.CodeUnauthenticated, "192.0.2.1 has gone to another host")
}

func TestLeases(t *testing.T) {
	w := newWorld(t, 2)
	a, b := w.host("a"), w.host("b")
	w.keep(b)
	// Nobody keeps another's lease.
	lease, err := w.stores[1].Heartbeat(w.ctx, b.Identity, &pb.HeartbeatRequest{Lease: w.now["a"]})
	if err != nil || lease == w.now["a"] {
		t.Fatalf("b was given a's lease: %v", err)
	}
	// a says nothing any more: everybody hears that it is gone.
	for _, s := range w.stores {
		watch := s.mirror.Watch(w.ctx, 0, ofKind(pb.Kind_KIND_HOST))
		gone := false
		for end := time.Now().Add(patience); !gone && time.Now().Before(end); {
			batch, err := watch.Next(w.ctx)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range batch.changes {
				gone = gone || c.GetHost().GetName() == "a" && c.GetHost().State == pb.Host_STATE_GONE
			}
		}
		if !gone {
			t.Fatal("a is not gone")
		}
	}
	// Its old lease is worth nothing, and it may come back.
	lease, err = w.stores[0].Heartbeat(w.ctx, a.Identity, &pb.HeartbeatRequest{Lease: w.now["a"], Features: []string{"sack"}})
	if err != nil || lease == w.now["a"] {
		t.Fatalf("lease %d, %v", lease, err)
	}
	w.current()
	if h := w.stores[1].mirror.hosts["a"].shown; h.State != pb.Host_STATE_READY || len(h.Features) != 1 || h.Key != "" {
		t.Fatalf("a is %v", h)
	}
}

func TestDeletedHost(t *testing.T) {
	w := newWorld(t, 1)
	a := w.host("a")
	s := w.stores[0]
	w.register("a", "kept")
	w.keep(a)
	refused(t, s.DeleteHost(w.ctx, "a", false), connect.CodeFailedPrecondition, "--force")
	refused(t, s.DeleteHost(w.ctx, "x", false), connect.CodeNotFound)
	if err := s.DeleteHost(w.ctx, "a", true); err != nil {
		t.Fatal(err)
	}
	refused(t, s.Member(w.ctx, a.Identity, a.cert), connect.CodeUnauthenticated, "deleted")
	_, err := s.Heartbeat(w.ctx, a.Identity, &pb.HeartbeatRequest{Lease: w.now["a"]})
	refused(t, err, connect.CodeUnauthenticated, "deleted")
	if c := s.mirror.byName[def("kept")].c; c.State != pb.Container_STATE_STOPPED {
		t.Fatalf("its container is %v", c)
	}
	if _, err := w.join("new", a.Underlay.String()); err != nil {
		t.Fatalf("its address is not free: %v", err)
	}
	w.consistent()
}

func TestRenewKeepsTheKey(t *testing.T) {
	w := newWorld(t, 1)
	a, b := w.host("a"), w.host("b")
	if _, err := w.stores[0].Renew(w.ctx, a.Identity, a.cert, a.csr); err != nil {
		t.Fatal(err)
	}
	_, err := w.stores[0].Renew(w.ctx, a.Identity, a.cert, b.csr)
	refused(t, err, connect.CodePermissionDenied, "same key")
	_, err = w.stores[0].Renew(w.ctx, a.Identity, a.cert, []byte("x"))
	refused(t, err, connect.CodeInvalidArgument)
}

func TestTokens(t *testing.T) {
	w := newWorld(t, 2)
	s := w.stores[0]
	token, expires, err := s.CreateToken(w.ctx, time.Minute, false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.checkToken(w.ctx, token.String(), expires.Add(-time.Second)); err != nil {
		t.Fatal(err)
	}
	_, err = s.checkToken(w.ctx, token.String(), expires.Add(time.Second))
	refused(t, err, connect.CodeUnauthenticated, "expired")
	guess := token
	guess.Secret = ca.NewToken(s.ca).Secret
	_, err = s.checkToken(w.ctx, guess.String(), time.Now())
	refused(t, err, connect.CodeUnauthenticated, "unknown")
	guess = token
	guess.Fingerprint = token.SecretHash()
	_, err = s.checkToken(w.ctx, guess.String(), time.Now())
	refused(t, err, connect.CodeUnauthenticated, "another cluster's")
	got, err := w.client.Get(w.ctx, "/", clientv3.WithPrefix())
	if err != nil {
		t.Fatal(err)
	}
	for _, kv := range got.Kvs {
		if strings.Contains(string(kv.Value), token.Secret) {
			t.Errorf("%s holds the token's secret", kv.Key)
		}
	}
}

// Many hosts try one token for one use at once, at two orchestrators: one of them gets in.
func TestSingleUseIsSingle(t *testing.T) {
	w := newWorld(t, 2)
	token := w.token(true)
	var mu sync.Mutex
	var hosts sync.WaitGroup
	joined := 0
	for i := range 8 {
		hosts.Go(func() {
			key, err := ca.NewKey()
			if err != nil {
				t.Error(err)
				return
			}
			csr, err := ca.Request(key)
			if err != nil {
				t.Error(err)
				return
			}
			_, err = w.stores[i%2].Join(w.ctx, &pb.JoinRequest{Token: token, Csr: csr,
				Host: string(rune('a' + i)), Underlay: "192.0.2." + string(rune('1'+i))})
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				joined++
			} else if connect.CodeOf(err) != connect.CodeUnauthenticated {
				t.Error(err)
			}
		})
	}
	hosts.Wait()
	if joined != 1 {
		t.Fatalf("%d hosts joined", joined)
	}
}
