package orchestrator

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	pb "github.com/freeflow-rdma/freeflow/api/freeflow/v1"
)

// gallery is a live view over a mirror that a test fills.
func gallery(hosts, each int) *live {
	m := newMirror(nil, keys{DefaultPrefix}, testLog())
	m.reset()
	m.nets["n"] = &networkEntry{net: &pb.Network{Name: "n", Tenant: "blue"}}
	for h := range hosts {
		host := fmt.Sprint("h", h)
		m.hosts[host] = &hostEntry{lease: 1, shown: &pb.Host{Name: host, State: pb.Host_STATE_READY}}
		for i := range each {
			c := &pb.Container{Network: "n", Name: fmt.Sprintf("c%d-%03d", h, i), Host: host, Ip: fmt.Sprintf("10.0.%d.%d", h, i), State: pb.Container_STATE_RUNNING,
				Instance: "i", Labels: map[string]string{"shard": fmt.Sprint(i % 3)}}
			m.byName[Name{"n", c.Name}] = &containerEntry{c: c}
		}
	}
	return newLive(m)
}

// told is a report in which container i sends i kilobytes a second to its neighbour on the next host.
func toldBy(h, hosts, each int, second int64) *pb.UsageReport {
	r := &pb.UsageReport{Epoch: 1, Sequence: uint64(second), Time: second * 1e9}
	for i := range each {
		id, n := fmt.Sprint(h, "-", i), uint64(second)*uint64(i)*1000
		r.Sources = append(r.Sources, &pb.UsageSource{Id: id, Network: "n", Container: fmt.Sprintf("c%d-%03d", h, i), Instance: "i", Counters: &pb.Counters{TxBytes: n}})
		r.Pairs = append(r.Pairs, &pb.PairUsage{Source: id, PeerNetwork: "n", Peer: fmt.Sprintf("c%d-%03d", (h+1)%hosts, i), TxBytes: n, Qps: 1})
	}
	return r
}

func TestViewOfMany(t *testing.T) {
	const hosts, each = 4, 250
	l, now := gallery(hosts, each), int64(1e18)
	for second := int64(1); second <= 3; second++ {
		for h := range hosts {
			l.take(fmt.Sprint("h", h), toldBy(h, hosts, each, second), now+second*1e9)
		}
	}
	now += 3e9
	all := l.view(&pb.LiveRequest{Hosts: true, History: true, Containers: &pb.Page{Sort: "rate", Limit: 10}, Flows: &pb.Page{Limit: 5}}, now)
	tot := all.Totals
	if tot.Running != hosts*each || tot.HostsReady != hosts || tot.Silent != 0 || int(all.ContainersTotal) != hosts*each || len(all.Containers) != 10 || len(all.Flows) != 5 || len(all.Hosts) != hosts {
		t.Fatalf("%v, %d containers, %d flows", tot, len(all.Containers), len(all.Flows))
	}
	if got := all.Containers[0]; got.Container.Name != "c0-249" || got.Rates.TxBits != 249*8000 || got.Tenant != "blue" || len(got.History.TxBits) != rowSteps {
		t.Errorf("the first is %v", got)
	}
	if f := all.Flows[0]; f.Bits != 249*8000 || f.FromHost == f.ToHost {
		t.Errorf("the first flow is %v", f)
	}
	if len(all.Links) != hosts || all.Links[0].Flows == 0 {
		t.Errorf("links: %v", all.Links)
	}
	// All pages together are the list, each row once.
	seen := make(map[string]bool)
	for offset := int32(0); offset < 1000; offset += 70 {
		for _, c := range l.view(&pb.LiveRequest{Containers: &pb.Page{Offset: offset, Limit: 70}}, now).Containers {
			if seen[c.Container.Name] {
				t.Fatalf("%s is on two pages", c.Container.Name)
			}
			seen[c.Container.Name] = true
		}
	}
	if len(seen) != hosts*each {
		t.Errorf("%d on all pages", len(seen))
	}
	for search, want := range map[string]int32{"C2-": each, "10.0.3.7": 11, "shard=1": 4 * 83, "blue": hosts * each, "none": 0} { // .7, and .70 to .79
		if got := l.view(&pb.LiveRequest{Containers: &pb.Page{Search: search}}, now); got.ContainersTotal != want || len(got.Containers) != 0 {
			t.Errorf("%q: %d, want %d", search, got.ContainersTotal, want)
		}
	}
	if got := l.view(&pb.LiveRequest{Containers: &pb.Page{Host: "h1", Limit: 1000}}, now); len(got.Containers) != each {
		t.Errorf("%d on h1", len(got.Containers))
	}
	if text, _ := proto.Marshal(all); len(text) > 64<<10 {
		t.Errorf("a page of ten is %d bytes", len(text))
	}
	// Who no longer reports is silent: no rates are better than old ones.
	if got := l.view(&pb.LiveRequest{Containers: &pb.Page{Limit: 1}}, now+silentAfter+1).Totals; got.Silent != hosts || got.Rates.TxBits != 0 || got.Flows != 0 {
		t.Errorf("after a silence: %v", got)
	}
}

// What only the receiver's host tells of is shown too, once.
func TestFlowsOfOneSide(t *testing.T) {
	l, now := gallery(2, 1), int64(1e18)
	report := func(host, name string, n uint64, p *pb.PairUsage) {
		for i := range uint64(2) {
			q := proto.CloneOf(p)
			q.Source, q.TxBytes, q.RxBytes = "s", p.TxBytes*i, p.RxBytes*i
			l.take(host, &pb.UsageReport{Epoch: 1, Sequence: i + 1, Time: int64(i) * 1e9, Pairs: []*pb.PairUsage{q},
				Sources: []*pb.UsageSource{{Id: "s", Network: "n", Container: name, Instance: "i", Counters: &pb.Counters{TxBytes: n * i}}}}, now+int64(i)*1e9)
		}
	}
	list := func() (texts []string) {
		for _, f := range l.view(&pb.LiveRequest{Flows: &pb.Page{Limit: 10}}, now+1e9).Flows {
			texts = append(texts, fmt.Sprintf("%s>%s %g", f.From, f.To, f.Bits))
		}
		slices.Sort(texts)
		return texts
	}
	report("h0", "c0-000", 100, &pb.PairUsage{PeerNetwork: "n", Peer: "c1-000", TxBytes: 100, RxBytes: 50})
	if got := fmt.Sprint(list()); got != "[c0-000>c1-000 800 c1-000>c0-000 400]" {
		t.Errorf("one side: %s", got)
	}
	report("h1", "c1-000", 50, &pb.PairUsage{PeerNetwork: "n", Peer: "c0-000", TxBytes: 60, RxBytes: 100})
	if got := fmt.Sprint(list()); got != "[c0-000>c1-000 800 c1-000>c0-000 480]" {
		t.Errorf("both sides: %s", got)
	}
	report("h0", "c0-000", 100, &pb.PairUsage{Peer: "192.0.2.9", External: true, TxBytes: 10, RxBytes: 20})
	if got := fmt.Sprint(list()); got != "[192.0.2.9>c0-000 160 c0-000>192.0.2.9 80 c1-000>c0-000 480]" {
		t.Errorf("outside: %s", got)
	}
}

// Reports come often while somebody looks, and details of what he looks at come along.
func TestLookingMakesReportsOften(t *testing.T) {
	l, now := gallery(1, 1), int64(1e18)
	l.take("h0", toldBy(0, 1, 1, 1), now)
	if l.interval(now) != idleInterval || len(l.wanted("h0", now)) != 0 {
		t.Error("somebody looks")
	}
	l.lookAt(Name{"n", "c0-000"}, now)
	l.lookAt(Name{"n", "elsewhere"}, now)
	if got := l.wanted("h0", now); l.interval(now) != watchInterval || len(got) != 1 || got[0].Name != "c0-000" {
		t.Errorf("%v", got)
	}
	r := toldBy(0, 1, 1, 2)
	r.Details = []*pb.ContainerDetails{{Network: "n", Container: "c0-000", QpsTotal: 7}, {Network: "n", Container: "nobody-asked"}}
	l.take("h0", r, now)
	if d := l.lookAt(Name{"n", "c0-000"}, now); d == nil || d.msg.QpsTotal != 7 || len(l.details) != 1 {
		t.Errorf("%v", d)
	}
	now += lookFor + 1
	if len(l.wanted("h0", now)) != 0 || l.interval(now) != idleInterval || len(l.details) != 0 {
		t.Error("nobody looks any more, and details are kept")
	}
}

// Whatever a router sends, nothing breaks, and what is kept has bounds.
func FuzzReport(f *testing.F) {
	seed, _ := proto.Marshal(toldBy(0, 1, 3, 1))
	f.Add(seed)
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, raw []byte) {
		r := &pb.UsageReport{}
		if proto.Unmarshal(raw, r) != nil {
			return
		}
		l := gallery(1, 2)
		u := &UsageStore{store: &Store{mirror: l.mirror}, live: l, hosts: map[string]*hostUsage{"h0": {loaded: true, ledger: newLedger()}}}
		if u.checkReport("h0", r) != nil {
			return
		}
		h := u.of("h0")
		before := h.ledger.epoch
		if h.ledger.take(r, l.tenant) {
			h.ledger.refused(r.Refusals, before)
			l.take("h0", r, time.Now().UnixNano())
		}
		if p := h.ledger.post(); p != nil {
			value := pack(p.state)
			again := &pb.UsageState{}
			if err := unpack(value, again); err != nil || !proto.Equal(again, p.state) {
				t.Fatalf("the state changes when it is stored: %v", err)
			}
			h.ledger.settle(p)
		}
		l.view(&pb.LiveRequest{Hosts: true, History: true, Containers: &pb.Page{Limit: 10}, Flows: &pb.Page{Limit: 10}}, time.Now().UnixNano())
	})
}
