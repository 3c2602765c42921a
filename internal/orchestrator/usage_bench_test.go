package orchestrator

import (
	"fmt"
	"testing"
	"time"

	pb "github.com/freeflow-rdma/freeflow/api/freeflow/v1"
)

// A report of 250 containers that all send, taken into the ledger and the live view.
func BenchmarkUsageReport(b *testing.B) {
	l, ledger := gallery(4, 250), newLedger()
	b.ReportAllocs()
	for i := range int64(b.N) {
		r := toldBy(0, 4, 250, i+1)
		ledger.take(r, l.tenant)
		l.take("h0", r, 1e18+i*1e9)
	}
}

// What a page asks for every two seconds, of 1,000 containers and 1,000 flows.
func BenchmarkUsageView(b *testing.B) {
	l := gallery(4, 250)
	for second := int64(1); second <= 3; second++ {
		for h := range 4 {
			l.take(fmt.Sprint("h", h), toldBy(h, 4, 250, second), 1e18+second*1e9)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		l.view(&pb.LiveRequest{Hosts: true, History: true, Containers: &pb.Page{Sort: "rate", Limit: 50}, Flows: &pb.Page{Limit: 50}}, 1e18+3e9)
	}
}

// A posting of 1,000 containers and as many pairs, made and packed.
func BenchmarkUsagePosting(b *testing.B) {
	ledger := newLedger()
	b.ReportAllocs()
	var size int
	for i := range int64(b.N) {
		ledger.take(toldBy(0, 4, 1000, i+1), func(string) string { return "blue" })
		p := ledger.post()
		size = len(pack(p.state)) + len(pack(&pb.UsageBucket{Entries: mergeEntries(p.entries)}))
		ledger.settle(p)
	}
	b.ReportMetric(float64(size), "bytes/posting")
}

// 1,000 policies over 1,000 containers, as the page's list of policies has them.
func BenchmarkUsagePolicies(b *testing.B) {
	l := gallery(4, 250)
	for i := range 1000 {
		p := &pb.Policy{Name: fmt.Sprint("p", i), Select: &pb.Selector{Container: fmt.Sprintf("c%d-*", i%4)}, Spec: &pb.Policy_RateLimit{RateLimit: &pb.RateLimit{
			Scope: "container", Egress: &pb.Rate{Bits: uint64(1e9 + i)}}}}
		l.mirror.policies[policyKey{pb.Kind_KIND_RATE_LIMIT, p.Name}] = p
	}
	var board policyBoard
	at := time.Unix(1e9, 0)
	for b.Loop() {
		at = at.Add(talliedFor)
		if len(board.all(l, at)) != 1000 {
			b.Fatal("policies are missing")
		}
	}
}
