package orchestrator

import (
	"context"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	clientv3 "go.etcd.io/etcd/client/v3"

	pb "github.com/freeflow-rdma/freeflow/api/freeflow/v1"
	"github.com/freeflow-rdma/freeflow/internal/orchestrator/ca"
	"github.com/freeflow-rdma/freeflow/internal/orchestrator/etcd"
)

// patience is how long a test waits for what must come.
const patience = 30 * time.Second

// world is an etcd with some orchestrators' stores over it, without their sockets.
type world struct {
	*testing.T
	ctx    context.Context
	client *clientv3.Client
	stores []*Store
	now    map[string]int64 // leases by host
}

func testLog() *slog.Logger {
	if !testing.Verbose() {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(os.Stderr, nil))
}

func newWorld(t *testing.T, orchestrators int) *world {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	e, err := etcd.Embed(ctx, t.TempDir(), testLog())
	if err != nil {
		t.Fatal(err)
	}
	var active sync.WaitGroup
	t.Cleanup(func() {
		cancel()
		active.Wait()
		e.Close()
	})
	w := &world{T: t, ctx: ctx, client: e.Client, now: map[string]int64{}}
	cfg, err := Config{HostTTL: minHostTTL, Log: testLog()}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	for range orchestrators {
		s, err := openStore(ctx, e.Client, cfg, &active)
		if err != nil {
			t.Fatal(err)
		}
		w.stores = append(w.stores, s)
	}
	return w
}

// member is a host with its certificate.
type member struct {
	ca.Identity
	cert *x509.Certificate
	csr  []byte
}

func (w *world) token(single bool) string {
	w.Helper()
	token, _, err := w.stores[0].CreateToken(w.ctx, time.Hour, single)
	if err != nil {
		w.Fatal(err)
	}
	return token.String()
}

func (w *world) join(name, ip string) (member, error) {
	w.Helper()
	key, err := ca.NewKey()
	if err != nil {
		w.Fatal(err)
	}
	csr, err := ca.Request(key)
	if err != nil {
		w.Fatal(err)
	}
	der, err := w.stores[0].Join(w.ctx, &pb.JoinRequest{Token: w.token(false), Csr: csr, Host: name, Underlay: ip})
	if err != nil {
		return member{}, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		w.Fatal(err)
	}
	id, err := ca.Holder(cert)
	if err != nil {
		w.Fatal(err)
	}
	return member{id, cert, csr}, nil
}

// host makes a host that is there, until its lease is given up.
func (w *world) host(name string) member {
	w.Helper()
	m, err := w.join(name, fmt.Sprintf("192.0.2.%d", len(w.now)+1))
	if err != nil {
		w.Fatal(err)
	}
	w.beat(m)
	return m
}

func (w *world) beat(m member) {
	w.Helper()
	lease, err := w.stores[0].Heartbeat(w.ctx, m.Identity, &pb.HeartbeatRequest{Lease: w.now[m.Name]})
	if err != nil {
		w.Fatal(err)
	}
	w.now[m.Name] = lease
	w.current()
}

// keep keeps the hosts alive in the background: a slow machine must not make them go.
func (w *world) keep(members ...member) {
	for _, m := range members {
		lease := w.now[m.Name]
		alive, err := w.client.KeepAlive(w.ctx, clientv3.LeaseID(lease))
		if err != nil {
			w.Fatal(err)
		}
		go func() {
			for range alive {
			}
		}()
	}
}

// leave ends a host's lease.
func (w *world) leave(m member) {
	w.Helper()
	if _, err := w.client.Revoke(w.ctx, clientv3.LeaseID(w.now[m.Name])); err != nil {
		w.Fatal(err)
	}
	w.now[m.Name] = 0
	w.current()
}

// current lets all orchestrators know what has happened.
func (w *world) current() {
	w.Helper()
	for _, s := range w.stores {
		if err := s.mirror.Catch(w.ctx); err != nil {
			w.Fatal(err)
		}
	}
}

func (w *world) register(host, name string) *pb.Container {
	w.Helper()
	c, _, err := w.stores[0].Register(w.ctx, host, request(name))
	if err != nil {
		w.Fatal(err)
	}
	return c
}

func request(name string) *pb.RegisterContainerRequest {
	return &pb.RegisterContainerRequest{Network: "default", Name: name, Instance: "i"}
}

func def(name string) Name { return Name{"default", name} }

// refused checks that an error has the code, and says the words.
func refused(t *testing.T, err error, code connect.Code, words ...string) {
	t.Helper()
	if err == nil || connect.CodeOf(err) != code {
		t.Fatalf("error %v, want one of code %s", err, code)
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Fatalf("error %q does not say %q", err, word)
		}
	}
}

// consistent checks what must hold in etcd at any time: each container has one address, which no other has.
func (w *world) consistent() {
	w.Helper()
	k := keys{DefaultPrefix}
	got, err := w.client.Get(w.ctx, k.prefix, clientv3.WithPrefix())
	if err != nil {
		w.Fatal(err)
	}
	owner, containers := map[string]string{}, map[string]*pb.Container{}
	for _, kv := range got.Kvs {
		switch dir, rest := k.split(string(kv.Key)); dir {
		case dirAddresses:
			owner[rest] = string(kv.Value)
		case dirContainers:
			c := &pb.Container{}
			if err := decode(kv.Value, c); err != nil {
				w.Fatal(err)
			}
			containers[rest] = c
		}
	}
	if len(owner) != len(containers) {
		w.Fatalf("%d containers have %d addresses", len(containers), len(owner))
	}
	for key, c := range containers {
		if owner[c.Network+"/"+c.Ip] != c.Name {
			w.Fatalf("container %s has %s, which belongs to %q", key, c.Ip, owner[c.Network+"/"+c.Ip])
		}
		if !netip.MustParsePrefix("10.0.0.0/8").Contains(netip.MustParseAddr(c.Ip)) {
			w.Fatalf("container %s has %s", key, c.Ip)
		}
	}
}
