package web

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"os"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"

	pb "github.com/freeflow-rdma/freeflow/api/freeflow/v1"
	"github.com/freeflow-rdma/freeflow/api/freeflow/v1/freeflowv1connect"
	"github.com/freeflow-rdma/freeflow/internal/cluster"
	"github.com/freeflow-rdma/freeflow/internal/orchestrator"
	"github.com/freeflow-rdma/freeflow/internal/orchestrator/ca"
)

// stage is a real orchestrator with simulated routers.
type stage struct {
	*testing.T
	ctx    context.Context
	server *orchestrator.Server
	origin string
	admin  *cluster.Operator
	root   *x509.CertPool
}

func newStage(t *testing.T) *stage {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "ffweb")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	ctx, cancel := context.WithCancel(context.Background())
	s, err := orchestrator.Start(ctx, orchestrator.Config{DataDir: dir, Listen: "127.0.0.1:0", HostTTL: 10 * time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(dir + "/ca.crt")
	if err != nil {
		t.Fatal(err)
	}
	root := x509.NewCertPool()
	root.AppendCertsFromPEM(text)
	admin := cluster.OpenOperator(s.SocketPath())
	t.Cleanup(func() {
		admin.Close()
		cancel()
		s.Close()
	})
	return &stage{t, ctx, s, "https://" + s.Addr().String(), admin, root}
}

// token makes one of a role.
func (s *stage) token(role pb.Role, name string) string {
	s.Helper()
	answer, err := s.admin.Access.CreateCredential(s.ctx, connect.NewRequest(&pb.CreateCredentialRequest{Role: role, Name: name}))
	if err != nil {
		s.Fatal(err)
	}
	return answer.Msg.Token
}

func (s *stage) revoke(id string) {
	s.Helper()
	if _, err := s.admin.Access.RevokeCredential(s.ctx, connect.NewRequest(&pb.RevokeCredentialRequest{Id: id})); err != nil {
		s.Fatal(err)
	}
}

func (s *stage) apply(objects ...*pb.Object) {
	s.Helper()
	if _, err := s.admin.Apply(s.ctx, connect.NewRequest(&pb.ApplyRequest{Objects: objects})); err != nil {
		s.Fatal(err)
	}
}

// router is a simulated one.
type router struct {
	s      *stage
	name   string
	router freeflowv1connect.RouterServiceClient
	usage  freeflowv1connect.UsageServiceClient

	mu       sync.Mutex
	report   *pb.UsageReport
	flows    []flow
	details  map[string]*pb.ContainerDetails
	began    time.Time
	last     time.Time
	sequence uint64
}

// flow is what a container of the host exchanges with a peer, in bytes a second.
type flow struct {
	from, peer     int // of the report's sources, and of its pairs
	txRate, rxRate float64
	message        float64
}

func (s *stage) host(name, ip string) *router {
	s.Helper()
	join, err := s.server.CreateToken(s.ctx, 0, true)
	if err != nil {
		s.Fatal(err)
	}
	key, err := ca.NewKey()
	if err != nil {
		s.Fatal(err)
	}
	csr, err := ca.Request(key)
	if err != nil {
		s.Fatal(err)
	}
	client := func(certs ...tls.Certificate) *http.Client {
		return &http.Client{Transport: &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{RootCAs: s.root, ServerName: ca.ServerName, Certificates: certs}}}
	}
	joined, err := freeflowv1connect.NewRouterServiceClient(client(), s.origin).Join(s.ctx, connect.NewRequest(&pb.JoinRequest{Token: join, Csr: csr, Host: name, Underlay: ip}))
	if err != nil {
		s.Fatal(err)
	}
	own := client(tls.Certificate{Certificate: [][]byte{joined.Msg.Certificate}, PrivateKey: key})
	r := &router{s: s, name: name, router: freeflowv1connect.NewRouterServiceClient(own, s.origin), usage: freeflowv1connect.NewUsageServiceClient(own, s.origin),
		report: &pb.UsageReport{Epoch: 1}, began: time.Now(), last: time.Now(), details: make(map[string]*pb.ContainerDetails)}
	if _, err := r.router.Heartbeat(s.ctx, connect.NewRequest(&pb.HeartbeatRequest{Version: "1.0"})); err != nil {
		s.Fatal(err)
	}
	return r
}

// start starts a container, and returns its place in the reports.
func (r *router) start(network, name string, labels map[string]string) int {
	r.s.Helper()
	_, err := r.router.RegisterContainer(r.s.ctx, connect.NewRequest(&pb.RegisterContainerRequest{Network: network, Name: name, Instance: "i-" + name, Labels: labels, Mode: "auto"}))
	if err != nil {
		r.s.Fatal(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.report.Sources = append(r.report.Sources, &pb.UsageSource{
		Id: "s-" + name, Network: network, Container: name, Instance: "i-" + name, Class: "normal", Mode: "auto", Started: time.Now().UnixNano(),
		Counters: &pb.Counters{Operations: map[string]uint64{"send": 0, "write": 0}, Denied: map[string]uint64{}, Errors: map[string]uint64{}, Drops: map[string]uint64{}},
		Objects:  map[string]uint64{"qps": 2, "cqs": 2, "pds": 1, "mrs": 3, "mrBytes": 64 << 20, "contexts": 1},
	})
	return len(r.report.Sources) - 1
}

// talk has a container exchange so much a second with a peer.
func (r *router) talk(from int, network, peer string, tx, rx float64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.report.Pairs = append(r.report.Pairs, &pb.PairUsage{Source: r.report.Sources[from].Id, PeerNetwork: network, Peer: peer, External: network == "", Qps: 2})
	r.flows = append(r.flows, flow{from: from, peer: len(r.report.Pairs) - 1, txRate: tx, rxRate: rx, message: 65536})
}

// source is what is told of a container, for a test to change.
func (r *router) source(i int, change func(*pb.UsageSource)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(r.report.Sources[i])
}

// tick reports what has happened in so much time.
func (r *router) tick(passed time.Duration, wobble func(int) float64) *pb.UsageReportAnswer {
	r.s.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	seconds := passed.Seconds()
	for i, f := range r.flows {
		c, p := r.report.Sources[f.from].Counters, r.report.Pairs[f.peer]
		w := wobble(i)
		tx, rx := uint64(f.txRate*seconds*w), uint64(f.rxRate*seconds*w)
		c.TxBytes, c.RxBytes, p.TxBytes, p.RxBytes = c.TxBytes+tx, c.RxBytes+rx, p.TxBytes+tx, p.RxBytes+rx
		n, m := tx/uint64(f.message), rx/uint64(f.message)
		c.TxMessages, c.RxMessages, p.TxMessages, p.RxMessages = c.TxMessages+n, c.RxMessages+m, p.TxMessages+n, p.RxMessages+m
		c.Operations["write"] += n
	}
	r.sequence++
	r.report.Sequence = r.sequence
	r.report.Time += int64(passed)
	answer, err := r.usage.Report(r.s.ctx, connect.NewRequest(r.report))
	if err != nil {
		r.s.Fatal(err)
	}
	r.report.Details = nil
	for _, ref := range answer.Msg.Inspect {
		if d := r.details[ref.Name]; d != nil {
			r.report.Details = append(r.report.Details, d)
		}
	}
	return answer.Msg
}

// network is one to apply.
func network(name, cidr, tenant string) *pb.Object {
	return &pb.Object{Spec: &pb.Object_Network{Network: &pb.Network{Name: name, Cidr: cidr, Tenant: tenant}}}
}

func rateLimit(name, container string, bits uint64) *pb.Object {
	return &pb.Object{Spec: &pb.Object_Policy{Policy: &pb.Policy{Name: name, Select: &pb.Selector{Container: container},
		Spec: &pb.Policy_RateLimit{RateLimit: &pb.RateLimit{Scope: "container", Egress: &pb.Rate{Bits: bits}}}}}}
}

func quota(name, tenant string, qps uint64) *pb.Object {
	return &pb.Object{Spec: &pb.Object_Policy{Policy: &pb.Policy{Name: name, Select: &pb.Selector{Tenant: tenant},
		Spec: &pb.Policy_Quota{Quota: &pb.Quota{Scope: "container", Limits: map[string]uint64{"qps": qps}}}}}}
}

func denyAccess(name, network, from, to string) *pb.Object {
	return &pb.Object{Spec: &pb.Object_Policy{Policy: &pb.Policy{Name: name, Spec: &pb.Policy_Access{Access: &pb.AccessPolicy{
		Network: network, Default: "allow", Rules: []*pb.AccessRule{{Action: "deny", From: &pb.Selector{Container: from}, To: &pb.Selector{Container: to}}}}}}}}
}

// lively is a cluster of a few hosts and containers that do things; rounds of reports have been made, so that there is some history.
func (s *stage) lively() []*router {
	s.Helper()
	s.apply(network("training", "10.90.0.0/16", "blue"), network("storage", "10.91.0.0/16", "green"))
	a, b, c := s.host("rack1-a", "192.0.2.11"), s.host("rack1-b", "192.0.2.12"), s.host("rack2-a", "192.0.2.21")
	w0, w1 := a.start("training", "worker-0", map[string]string{"app": "train", "rank": "0"}), a.start("training", "worker-1", map[string]string{"app": "train", "rank": "1"})
	w2, ps := b.start("training", "worker-2", map[string]string{"app": "train", "rank": "2"}), b.start("training", "params", map[string]string{"app": "train"})
	db, bk := c.start("storage", "kv-primary", map[string]string{"app": "kv"}), c.start("storage", "backup", nil)
	a.start("storage", "kv-replica", map[string]string{"app": "kv"})
	s.apply(rateLimit("backup-at-night", "backup", 1e9), quota("small-tenants", "green", 4), denyAccess("no-peeking", "storage", "backup", "kv-replica"))
	a.talk(w0, "training", "worker-1", 1.9e9, 4e8)
	a.talk(w0, "training", "params", 6e8, 5e8)
	a.talk(w1, "training", "worker-0", 4e8, 1.9e9)
	b.talk(w2, "training", "params", 9e8, 7e8)
	b.talk(ps, "training", "worker-2", 7e8, 9e8)
	b.talk(ps, "training", "worker-0", 5e8, 6e8)
	c.talk(db, "storage", "kv-replica", 2.2e8, 1e6)
	c.talk(bk, "storage", "kv-primary", 1.2e8, 0)
	c.talk(db, "", "203.0.113.9", 3e7, 1e7)
	c.details["kv-primary"] = &pb.ContainerDetails{Network: "storage", Container: "kv-primary", Instance: "i-kv-primary", QpsTotal: 4, CmIdsTotal: 1,
		Qps: []*pb.QPDetails{
			{Qpn: 0x4a11, Type: "RC", State: "RTS", Pid: 4711, Peer: "kv-replica", PeerQpn: 0x1b02, Fabric: "geneve", TxBytes: 8 << 30, RxBytes: 1 << 20, Outstanding: 32, Retransmits: 3},
			{Qpn: 0x4a12, Type: "RC", State: "RTS", Pid: 4711, Peer: "backup", PeerQpn: 0x0042, Fabric: "local", RxBytes: 2 << 30},
			{Qpn: 0x4a13, Type: "UD", State: "RTS", Pid: 4711}, {Qpn: 0x4a14, Type: "RC", State: "ERR", Pid: 4711, Peer: "203.0.113.9", Fabric: "plain", Errors: 1}},
		CmIds: []*pb.CMDetails{{Id: 1, State: "listen", Local: "10.91.0.2:7471", Pid: 4711}}}
	for _, m := range []*pb.MR{
		{Id: 1, Network: "storage", Container: "kv-primary", Pid: 4711, Lkey: 0x1100, Rkey: 0x1100, Addr: 0x7f2a10000000, Length: 1 << 30, Access: 7},
		{Id: 2, Network: "storage", Container: "kv-primary", Pid: 4711, Lkey: 0x1200, Rkey: 0x1200, Addr: 0x7f2a90000000, Length: 64 << 10, Access: 1}} {
		if _, err := c.router.ReportMRs(s.ctx, connect.NewRequest(&pb.ReportMRsRequest{Added: []*pb.MR{m}})); err != nil {
			s.Fatal(err)
		}
	}
	c.source(bk, func(x *pb.UsageSource) { x.Limit = "egress 1Gbit" })
	c.source(db, func(x *pb.UsageSource) { x.Quota, x.Class = map[string]uint64{"qps": 4}, "high"; x.Objects["qps"] = 4 })
	list := []*router{a, b, c}
	for _, r := range list {
		r.tick(time.Second, func(int) float64 { return 0 })
	}
	c.source(bk, func(x *pb.UsageSource) { x.Counters.LimitedNs += 7e8 })
	c.source(db, func(x *pb.UsageSource) {
		x.Counters.Denied["qps"] = 3
		x.Counters.Errors["RETRY_EXC_ERR"] = 1
		x.Counters.Retransmits = 12
	})
	c.mu.Lock()
	c.report.Refusals = []*pb.Refusal{{Network: "storage", Container: "backup", What: "connect", Peer: "kv-replica", Policy: "no-peeking", Count: 5},
		{Network: "storage", Container: "kv-primary", What: "quota", Resource: "qps", Policy: "small-tenants", Count: 3}}
	c.report.Sources[bk].Counters.Refused = 5
	c.mu.Unlock()
	return list
}

// run has routers report in their background, as they do, until the test ends; reports tell of more time than passes, so that there is history at once.
func (s *stage) run(list []*router) {
	done := make(chan struct{})
	var group sync.WaitGroup
	for n, r := range list {
		group.Go(func() {
			for i := 0; ; i++ {
				r.source(0, func(*pb.UsageSource) {})
				for j := range r.report.Sources {
					r.source(j, func(x *pb.UsageSource) {
						if x.Limit != "" {
							x.Counters.LimitedNs += 3e8
						}
					})
				}
				r.tick(500*time.Millisecond, func(f int) float64 {
					return 0.75 + float64((i*7+f*13+n*5)%23)/40
				})
				select {
				case <-done:
					return
				case <-time.After(500 * time.Millisecond):
				}
			}
		})
	}
	s.Cleanup(func() {
		close(done)
		group.Wait()
	})
}
