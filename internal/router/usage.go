package router

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	pb "github.com/freeflow-rdma/freeflow/api/freeflow/v1"
	"github.com/freeflow-rdma/freeflow/internal/cluster"
	"github.com/freeflow-rdma/freeflow/internal/metrics"
	"github.com/freeflow-rdma/freeflow/internal/policy"
	"github.com/freeflow-rdma/freeflow/internal/qos"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
	"github.com/freeflow-rdma/freeflow/internal/vnet"
)

// meter tells what the containers of this host use: it is metrics.Source.
type meter struct{ b *backend }

// meterUsage reports what containers use until ctx ends, and answers Prometheus. The function that is returned waits for the last report.
func (b *backend) meterUsage(ctx context.Context, send func(context.Context, *pb.UsageReport) (*pb.UsageReportAnswer, error)) (end func(), err error) {
	b.usage, err = metrics.NewReporter(metrics.Config{Source: meter{b}, Send: send, Dir: b.cfg.DataDir, Log: b.cfg.Log})
	if err != nil {
		return nil, fmt.Errorf("meter usage: %w", err)
	}
	var running sync.WaitGroup
	ctx, cancel := context.WithCancel(ctx)
	running.Go(func() { b.usage.Run(ctx) })
	end = func() { cancel(); running.Wait() }
	if b.cfg.MetricsListen == "" {
		return end, nil
	}
	l, err := net.Listen("tcp", b.cfg.MetricsListen)
	if err != nil {
		end()
		return nil, fmt.Errorf("listen for Prometheus: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", metrics.Handler(meter{b}))
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	running.Go(func() { _ = server.Serve(l) })
	return func() { _ = server.Close(); end() }, nil
}

// lastUsage tells what a container that has just been removed has used.
func (b *backend) lastUsage(v *verbs.Container) {
	var started time.Time
	for _, c := range b.host.List() {
		if c.ID == v.ID {
			started = c.Created
		}
	}
	if c, ok := (meter{b}).last(v, started); ok {
		b.usage.Final(c)
	}
}

// Snapshot is metrics.Source's.
func (m meter) Snapshot() metrics.Snapshot {
	var s metrics.Snapshot
	started := make(map[string]time.Time)
	for _, c := range m.b.host.List() {
		started[c.ID] = c.Created
	}
	state := m.b.member.client.State()
	for _, u := range m.b.dev.Usage() {
		if u.Gone {
			continue // Reporter.Final has told
		}
		s.Containers = append(s.Containers, m.container(state, &u, started[u.Container.ID]))
		s.Refusals = append(s.Refusals, refusals(&u)...)
	}
	for _, row := range m.b.Counters() {
		s.Counters = append(s.Counters, metrics.Counter{Group: row.Group, Name: row.Name, Value: row.Value})
	}
	return s
}

// last is what a container that has been removed has used; false if nothing is known of it.
func (m meter) last(v *verbs.Container, started time.Time) (metrics.Container, bool) {
	for _, u := range m.b.dev.Usage() {
		if u.Container == v {
			return m.container(m.b.member.client.State(), &u, started), true
		}
	}
	return metrics.Container{}, false
}

// container is a container's usage in the words of the API.
func (m meter) container(s *cluster.State, u *verbs.Usage, started time.Time) metrics.Container {
	c := u.Container
	params := m.b.member.gov.params(c)
	out := metrics.Container{Network: c.Network, Name: c.Name, Tenant: u.Tenant, Instance: c.ID, Started: started,
		Counters: counters(u), Objects: amounts(&u.Has, 0), Quota: amounts(&params.Quota, qos.Unlimited),
		Limit: limitText(&params), Class: policy.ClassName(params.Class), Mode: c.EngineMode().String()}
	for _, p := range u.Peers {
		out.Peers = append(out.Peers, peerUsage(s, c, &p))
	}
	return out
}

func counters(u *verbs.Usage) *pb.Counters {
	t := &u.Traffic
	c := &pb.Counters{TxBytes: t.EgressBytes, RxBytes: t.IngressBytes, TxMessages: t.EgressMessages, RxMessages: t.IngressMessages,
		RnrWaits: t.RNRWaits, Retransmits: t.Resent, Timeouts: t.Retries, CnpsReceived: t.Marks, LimitedNs: t.LimitedNS, Refused: u.Refused,
		Operations: make(map[string]uint64), Errors: make(map[string]uint64), Drops: make(map[string]uint64), Denied: make(map[string]uint64)}
	for op, n := range t.Ops {
		if n > 0 {
			c.Operations[cmp.Or(opNames[op], "other")] += n
		}
	}
	for status, n := range t.Errors {
		if n > 0 {
			c.Errors[statusNames[status]] = n
		}
	}
	if t.Dropped > 0 {
		c.Drops["policy"] = t.Dropped
	}
	for r, n := range u.Denied {
		if n > 0 {
			c.Denied[policy.ResourceName(qos.Resource(r))] = n
		}
	}
	return c
}

// statusNames are those of enum ibv_wc_status (infiniband/verbs.h), without IBV_WC_.
var statusNames = [...]string{"SUCCESS", "LOC_LEN_ERR", "LOC_QP_OP_ERR", "LOC_EEC_OP_ERR", "LOC_PROT_ERR", "WR_FLUSH_ERR", "MW_BIND_ERR",
	"BAD_RESP_ERR", "LOC_ACCESS_ERR", "REM_INV_REQ_ERR", "REM_ACCESS_ERR", "REM_OP_ERR", "RETRY_EXC_ERR", "RNR_RETRY_EXC_ERR", "LOC_RDD_VIOL_ERR",
	"REM_INV_RD_REQ_ERR", "REM_ABORT_ERR", "INV_EECN_ERR", "INV_EEC_STATE_ERR", "FATAL_ERR", "RESP_TIMEOUT_ERR", "GENERAL_ERR"}

// opNames are the operations that metering tells apart.
var opNames = [verbs.NumOps]string{
	verbs.OpRDMAWrite: "write", verbs.OpRDMAWriteImm: "write_imm", verbs.OpSend: "send", verbs.OpSendImm: "send_imm", verbs.OpSendInv: "send_inv",
	verbs.OpRDMARead: "read", verbs.OpAtomicCmpAndSwp: "compare_swap", verbs.OpAtomicFetchAdd: "fetch_add", verbs.OpAtomicWrite: "atomic_write",
	verbs.OpBindMW: "bind", verbs.OpLocalInv: "invalidate",
}

// amounts names what there is of each resource, but for those that have the value none. Depths are no amounts.
func amounts(q *qos.Quota, none uint64) map[string]uint64 {
	out := make(map[string]uint64)
	for r := range qos.CQDepth {
		if q[r] != none {
			out[policy.ResourceName(r)] = q[r]
		}
	}
	return out
}

// limitText says what bounds a container's rates.
func limitText(p *qos.Params) string {
	var parts []string
	for _, x := range []struct {
		of string
		l  qos.Limits
	}{{"", p.Container}, {" a queue pair", p.QP}, {" for the tenant", p.All}} {
		for _, d := range []struct {
			name string
			r    qos.Rate
		}{{"egress", x.l.Egress}, {"ingress", x.l.Ingress}} {
			if d.r.Bits > 0 {
				parts = append(parts, fmt.Sprintf("%s %s%s", d.name, policy.FormatRate(d.r.Bits), x.of))
			}
			if d.r.Messages > 0 {
				parts = append(parts, fmt.Sprintf("%s %s messages/s%s", d.name, policy.FormatCount(d.r.Messages), x.of))
			}
		}
	}
	return strings.Join(parts, ", ")
}

// peerUsage is what was exchanged with one peer.
func peerUsage(s *cluster.State, c *verbs.Container, p *verbs.PeerTraffic) *pb.PairUsage {
	out := &pb.PairUsage{PeerNetwork: c.Network, TxBytes: p.EgressBytes, RxBytes: p.IngressBytes, TxMessages: p.EgressMessages, RxMessages: p.IngressMessages}
	if p.Peer == (verbs.GID{}) {
		out.Peer = "others"
		return out
	}
	peer := s.SubjectAt(c.Network, vnet.IPOf(p.Peer.Addr()))
	if out.Peer = peer.Name; peer.External {
		out.Peer, out.PeerNetwork, out.External = p.Peer.Addr().String(), "", true
	}
	return out
}

// refusals is what a container was not given.
func refusals(u *verbs.Usage) (list []*pb.Refusal) {
	c := u.Container
	for r, n := range u.Denied {
		if n > 0 {
			list = append(list, &pb.Refusal{Network: c.Network, Container: c.Name, What: "quota", Resource: policy.ResourceName(qos.Resource(r)), Count: n})
		}
	}
	if u.Refused > 0 {
		list = append(list, &pb.Refusal{Network: c.Network, Container: c.Name, What: "connect", Count: u.Refused})
	}
	return list
}

// detailsMost bounds the rows of a container that are told.
const detailsMost = 200

// Details is metrics.Source's.
func (m meter) Details(network, name string) *pb.ContainerDetails {
	d := &pb.ContainerDetails{Network: network, Container: name}
	state := m.b.member.client.State()
	for _, qp := range m.b.dev.QPs() {
		c := qp.Container
		if c.Network != network || c.Name != name {
			continue
		}
		if d.QpsTotal++; d.QpsTotal > detailsMost {
			continue
		}
		row := &pb.QPDetails{Qpn: uint32(qp.Num), Type: qp.Type.String(), State: qp.State.String(), Pid: uint32(qp.PID),
			TxBytes: qp.SentBytes, RxBytes: qp.ReceivedBytes, TxMessages: qp.SentMessages, RxMessages: qp.ReceivedMessages,
			RnrWaits: qp.RNRWaits, Errors: qp.Errors}
		if qp.DGID != (verbs.GID{}) {
			row.Peer, row.PeerQpn = peerUsage(state, c, &verbs.PeerTraffic{Peer: qp.DGID}).Peer, uint32(qp.DestQPN)
			row.Fabric = m.b.member.carrier.FabricOf(m.b.dev, qp.Num)
		}
		d.Qps = append(d.Qps, row)
	}
	for _, id := range m.b.CMIDs() {
		if id.Network != network || id.Container != name {
			continue
		}
		if d.CmIdsTotal++; d.CmIdsTotal > detailsMost {
			continue
		}
		row := &pb.CMDetails{Id: id.ID, State: id.State, Qpn: id.QPN}
		if id.Local.IsValid() {
			row.Local = id.Local.String()
		}
		if id.Remote.IsValid() {
			row.Peer = id.Remote.String()
		}
		d.CmIds = append(d.CmIds, row)
	}
	if d.Instance = m.b.names()[cluster.Name{Network: network, Name: name}]; d.Instance == "" {
		return nil
	}
	return d
}

// names are the containers of this host.
func (b *backend) names() map[cluster.Name]string {
	out := make(map[cluster.Name]string)
	for _, c := range b.host.List() {
		out[cluster.Name{Network: c.Network, Name: c.Name}] = c.ID
	}
	return out
}
