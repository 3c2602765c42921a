package orchestrator

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	pb "github.com/freeflow-rdma/freeflow/api/freeflow/v1"
	"github.com/freeflow-rdma/freeflow/api/freeflow/v1/freeflowv1connect"
)

// usageOf is the usage store of a world's orchestrator; nobody but the test posts, or makes hours.
func usageOf(w *world, i int) *UsageStore {
	w.Helper()
	return newUsageStore(w.stores[i], Config{}, newAudit(w.stores[i], Config{}))
}

func reportOf(sequence uint64, at time.Duration, sources ...*pb.UsageSource) *pb.UsageReport {
	return &pb.UsageReport{Epoch: 1, Sequence: sequence, Time: int64(at), Sources: sources}
}

func source(id, name string, bytes uint64) *pb.UsageSource {
	return &pb.UsageSource{Id: id, Network: "default", Container: name, Instance: id, Counters: &pb.Counters{
		TxBytes: bytes, RxBytes: bytes / 2, TxMessages: bytes / 100, Operations: map[string]uint64{"send": bytes / 100}, Denied: map[string]uint64{"qps": bytes / 1000}}}
}

// send has a host report, as its router would.
func send(t *testing.T, u *UsageStore, host string, r *pb.UsageReport) *pb.UsageReportAnswer {
	t.Helper()
	ctx := context.WithValue(context.Background(), callerKey{}, caller{})
	if err := u.checkReport(host, r); err != nil {
		t.Fatal(err)
	}
	taken, settled, epoch, err := u.take(ctx, host, r)
	if err != nil {
		t.Fatal(err)
	}
	if taken {
		u.live.take(host, r, time.Now().UnixNano())
	}
	return &pb.UsageReportAnswer{Settled: settled, Epoch: epoch}
}

// used is the sum over all rows.
func used(t *testing.T, u *UsageStore, r *pb.GetUsageRequest, now time.Time) uint64 {
	t.Helper()
	got, err := u.query(context.Background(), r, now)
	if err != nil {
		t.Fatal(err)
	}
	var sum, steps uint64
	for _, row := range got.Rows {
		sum += row.Counters.TxBytes
		for _, s := range row.Series {
			steps += s.TxBytes
		}
	}
	if r.Series && steps != sum {
		t.Errorf("a series of %d bytes beside a sum of %d", steps, sum)
	}
	return sum
}

// What is reported can be asked for at once, is the same once it is stored, and again after a restart of the orchestrator.
func TestUsageOverRestarts(t *testing.T) {
	w := newWorld(t, 1)
	u, now := usageOf(w, 0), time.Now()
	send(t, u, "h", reportOf(1, 1, source("1", "a", 1000), source("2", "b", 500)))
	all := &pb.GetUsageRequest{Since: now.Add(-time.Hour).UnixNano(), Until: now.Add(time.Minute).UnixNano()}
	if got := used(t, u, all, now); got != 1500 {
		t.Errorf("before it is stored: %d", got)
	}
	if err := u.post(w.ctx, "h", u.of("h"), now); err != nil {
		t.Fatal(err)
	}
	if got := used(t, u, all, now); got != 1500 {
		t.Errorf("stored: %d", got)
	}
	if a := send(t, u, "h", reportOf(2, 2, source("1", "a", 1700), source("2", "b", 500))); a.Settled != 1 {
		t.Errorf("settled %d", a.Settled)
	}
	// This one ends without having stored the last report; the next hears of it again, with more.
	u = usageOf(w, 0)
	send(t, u, "h", reportOf(3, 3, source("1", "a", 2000), source("2", "b", 500)))
	if got := used(t, u, all, now); got != 2500 {
		t.Errorf("after a restart: %d", got)
	}
	if err := u.post(w.ctx, "h", u.of("h"), now); err != nil {
		t.Fatal(err)
	}
	for _, by := range []pb.GetUsageRequest_By{pb.GetUsageRequest_BY_UNSPECIFIED, pb.GetUsageRequest_BY_CONTAINER, pb.GetUsageRequest_BY_HOST, pb.GetUsageRequest_BY_TENANT} {
		all.By, all.Series = by, true
		if got := used(t, u, all, now); got != 2500 {
			t.Errorf("by %s: %d", byName(by), got)
		}
	}
	if got := used(t, u, &pb.GetUsageRequest{Container: "b"}, now); got != 500 {
		t.Errorf("of b: %d", got)
	}
	if got := used(t, u, &pb.GetUsageRequest{Network: "another"}, now); got != 0 {
		t.Errorf("of another network: %d", got)
	}
}

// A router that begins anew under a number that is too low is told which to take.
func TestUsageEpochs(t *testing.T) {
	w := newWorld(t, 1)
	u := usageOf(w, 0)
	r := reportOf(1, 1, source("1", "a", 1000))
	r.Epoch = 77
	send(t, u, "h", r)
	if a := send(t, u, "h", reportOf(1, 1, source("2", "a", 10))); a.Epoch != 77 {
		t.Errorf("%v", a)
	}
}

func TestUsagePairs(t *testing.T) {
	w := newWorld(t, 1)
	u, now := usageOf(w, 0), time.Now()
	r := reportOf(1, 1, source("1", "a", 1000))
	r.Pairs = []*pb.PairUsage{
		{Source: "1", PeerNetwork: "default", Peer: "b", TxBytes: 600, RxBytes: 1, Qps: 2}, {Source: "1", External: true, Peer: "192.0.2.9", TxBytes: 400},
		{Source: "1", External: true, Peer: "<script>", TxBytes: 9}, {Source: "none", PeerNetwork: "default", Peer: "b", TxBytes: 9},
	}
	send(t, u, "h", r)
	if err := u.post(w.ctx, "h", u.of("h"), now); err != nil {
		t.Fatal(err)
	}
	got, err := u.query(w.ctx, &pb.GetUsageRequest{By: pb.GetUsageRequest_BY_PAIR}, now.Add(time.Second))
	if err != nil || len(got.Rows) != 2 || got.Rows[0].Peer != "b" || got.Rows[0].Counters.TxBytes != 600 || got.Rows[1].Peer != "192.0.2.9" {
		t.Fatalf("%v, %v", got, err)
	}
	if n := used(t, u, &pb.GetUsageRequest{}, now.Add(time.Second)); n != 1000 {
		t.Errorf("pairs count as containers: %d", n)
	}
}

// A month of usage: hours are made of minutes, old ones go, and every question about a time gets what was used in it.
func TestUsageHours(t *testing.T) {
	w := newWorld(t, 1)
	u := usageOf(w, 0)
	u.minutes, u.hours = 2*time.Hour, 5*time.Hour
	begin := time.Now().Truncate(time.Hour).Add(-7 * time.Hour)
	perMinute := make(map[int64]uint64)
	var total, sequence uint64
	r := rand.New(rand.NewPCG(1, 1))
	now := begin
	for minute := range 7 * 60 {
		now = begin.Add(time.Duration(minute) * time.Minute)
		n := r.Uint64N(1000) + 1
		total, sequence = total+n, sequence+1
		perMinute[now.Unix()/60] = n
		send(t, u, "h", reportOf(sequence, time.Duration(minute)*time.Minute, source("1", "a", total)))
		if err := u.post(w.ctx, "h", u.of("h"), now); err != nil {
			t.Fatal(err)
		}
		if minute%7 == 0 {
			if err := u.roll(w.ctx, now); err != nil {
				t.Fatal(err)
			}
		}
	}
	keys, err := u.client.Get(w.ctx, u.keys.prefix+dirUsage, withPrefix)
	if err != nil || len(keys.Kvs) > 2+5+1+3*60+7 {
		t.Errorf("%d keys, %v", len(keys.Kvs), err)
	}
	for range 200 {
		since := now.Add(-time.Duration(r.Int64N(int64(4 * time.Hour))))
		until := since.Add(time.Duration(1 + r.Int64N(int64(2*time.Hour))))
		got, err := u.query(w.ctx, &pb.GetUsageRequest{Since: since.UnixNano(), Until: until.UnixNano(), Series: r.IntN(2) == 0}, now)
		if err != nil {
			t.Fatal(err)
		}
		if got.Since > since.UnixNano() || got.Until < until.UnixNano() {
			t.Fatalf("asked for %s to %s, told of %s to %s", since, until, time.Unix(0, got.Since), time.Unix(0, got.Until))
		}
		var want, sum uint64
		for m := got.Since / 60e9; m < got.Until/60e9; m++ {
			want += perMinute[m]
		}
		for _, row := range got.Rows {
			sum += row.Counters.TxBytes
		}
		if sum != want {
			t.Fatalf("%s to %s: %d, want %d", time.Unix(0, got.Since), time.Unix(0, got.Until), sum, want)
		}
	}
}

// Whatever the question, its parts follow each other, and cover it.
func TestSpans(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	for range 100000 {
		now := int64(1e9) + r.Int64N(1e6)
		since := now - r.Int64N(20*hourSeconds)
		until := since + 1 + r.Int64N(now-since+60)
		rolled := now/hourSeconds*hourSeconds - hourSeconds*r.Int64N(2)
		minutesFrom := (now-6*hourSeconds)/60*60 + 60
		list := spans(since, until, rolled, minutesFrom, []int64{0, 60, 3600}[r.IntN(3)])
		if list[0].first > since || list[len(list)-1].end < until {
			t.Fatalf("%d to %d: %v", since, until, list)
		}
		for i, s := range list {
			unit := int64(60)
			if s.dir == dirUsageHours {
				unit = hourSeconds
				if s.end > rolled {
					t.Fatalf("%v: hours are made up to %d", list, rolled)
				}
			} else if s.first < minutesFrom && s.first < rolled && s.end > s.first {
				t.Fatalf("%v: minutes are there from %d", list, minutesFrom)
			}
			if s.first%unit != 0 || s.end%unit != 0 || s.end < s.first || i > 0 && s.first != list[i-1].end {
				t.Fatalf("%d to %d: %v", since, until, list)
			}
		}
	}
}

func TestRing(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 4))
	for range 200 {
		var g ring
		at := int64(1e18) + r.Int64N(1e10)
		begin := at
		for range 100 {
			next := at + 1 + r.Int64N(6e9)
			g.add(at, next, 100*float64(next-at)/1e9, 0) // 100 bits a second
			at = next
		}
		tx, rx := g.rates(at)
		if len(tx) != ringSteps-1 || len(rx) != len(tx) {
			t.Fatalf("%d steps", len(tx))
		}
		for i, v := range tx {
			step := at/ringStep - int64(len(tx)-i)
			want := float32(100)
			if step*ringStep < begin {
				continue
			}
			if v < want-0.1 || v > want+0.1 {
				t.Fatalf("step %d of %d: %v", i, len(tx), v)
			}
		}
	}
	var g ring
	g.add(0, 1e9, 1, 1)
	g.add(1e9, 1e9+ringStep*ringSteps*10, 1, 1)
	if tx, _ := g.rates(1e9 + ringStep*ringSteps*10); len(tx) != ringSteps-1 {
		t.Error("after a long pause")
	}
}

// One host cannot speak of another's containers, nor make the orchestrator remember without bound.
func TestForeignUsage(t *testing.T) {
	s := startServer(t, Config{})
	ctx := context.Background()
	start := func(host, ip, name string) freeflowv1connect.UsageServiceClient {
		cert, err := joined(ctx, s, host, ip)
		if err != nil {
			t.Fatal(err)
		}
		client, url := as(s, cert), "https://"+s.Addr().String()
		r := freeflowv1connect.NewRouterServiceClient(client, url)
		if _, err := r.Heartbeat(ctx, connect.NewRequest(&pb.HeartbeatRequest{})); err != nil {
			t.Fatal(err)
		}
		if _, err := r.RegisterContainer(ctx, connect.NewRequest(&pb.RegisterContainerRequest{Network: "default", Name: name, Instance: "i"})); err != nil {
			t.Fatal(err)
		}
		return freeflowv1connect.NewUsageServiceClient(client, url)
	}
	a, b := start("a", "192.0.2.1", "ca"), start("b", "192.0.2.2", "cb")
	if _, err := a.Report(ctx, connect.NewRequest(reportOf(1, 1, source("1", "ca", 1000), source("2", "cb", 1e6)))); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Report(ctx, connect.NewRequest(reportOf(1, 1, source("1", "cb", 300)))); err != nil {
		t.Fatal(err)
	}
	if got := used(t, s.front.usage, &pb.GetUsageRequest{}, time.Now()); got != 1300 {
		t.Errorf("%d bytes", got)
	}
	if n := s.front.usage.refused.Load(); n != 1 {
		t.Errorf("%d refused", n)
	}
	for name, bad := range map[string]*pb.UsageReport{
		"no epoch":       {Sequence: 1},
		"a strange name": reportOf(2, 2, source("1", "<b>", 1)),
		"many":           reportOf(2, 2, make([]*pb.UsageSource, maxSources+1)...),
		"a long counter": reportOf(2, 2, &pb.UsageSource{Id: "1", Network: "default", Container: "ca", Counters: &pb.Counters{Errors: map[string]uint64{strings.Repeat("x", 49): 1}}}),
	} {
		if _, err := a.Report(ctx, connect.NewRequest(bad)); !isCode(err, connect.CodeInvalidArgument) {
			t.Errorf("%s: %v", name, err)
		}
	}
	u := s.front.usage
	for i := range uint64(10) {
		r := reportOf(10+i, time.Duration(i))
		for j := range maxSources {
			r.Sources = append(r.Sources, &pb.UsageSource{Id: fmt.Sprint(i, "-", j), Network: "default", Container: "ca", Counters: &pb.Counters{TxBytes: 1}})
		}
		_, _, _, err := u.take(ctx, "a", r)
		if i < 3 && err != nil || i > 5 && err == nil {
			t.Fatalf("report %d: %v", i, err)
		}
	}
}
