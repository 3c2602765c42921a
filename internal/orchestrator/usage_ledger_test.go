package orchestrator

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"google.golang.org/protobuf/proto"

	pb "github.com/freeflow-rdma/freeflow/api/freeflow/v1"
)

// shelf is a store of one host's usage, with transactions that compare.
type shelf struct {
	rev   int64
	state *pb.UsageState
	sums  map[string]*pb.Counters // by container, and by container and peer
}

// scribe is an orchestrator: a ledger over the shelf.
type scribe struct {
	*ledger
	rev     int64
	loaded  bool
	settled uint64
	epochOf int64
}

func (o *scribe) load(s *shelf) {
	if s.state != nil {
		o.adopt(proto.CloneOf(s.state))
	}
	o.rev, o.loaded = s.rev, true
}

// report takes one; the answer is up to which sequence all is settled.
func (o *scribe) report(s *shelf, r *pb.UsageReport) (uint64, bool) {
	if !o.loaded {
		o.load(s)
	}
	if !o.take(proto.CloneOf(r), func(string) string { return "t" }) {
		return 0, false
	}
	if o.epochOf == r.Epoch {
		return o.settled, true
	}
	return 0, true
}

// flush posts what is pending. Between preparing and writing, others may write.
func (o *scribe) flush(s *shelf, between func()) {
	if !o.loaded {
		return
	}
	for range 5 {
		p := o.post()
		if p == nil {
			return
		}
		epoch, sequence := p.state.Epoch, p.state.Sequence
		between()
		if o.rev != s.rev {
			o.load(s)
			continue
		}
		s.rev++
		s.state, o.rev = proto.CloneOf(p.state), s.rev
		for _, e := range p.entries {
			key := e.Container + ">" + e.Peer
			if s.sums[key] == nil {
				s.sums[key] = &pb.Counters{}
			}
			add(s.sums[key], e.Counters)
		}
		o.settle(p)
		o.epochOf, o.settled = epoch, sequence
		return
	}
}

// host is a router: what it counts, and what it keeps on disk over its restarts.
type host struct {
	r        *rand.Rand
	epoch    int64
	sequence uint64
	next     int
	running  map[string]*pb.UsageSource // by id
	ended    map[string]*pb.UsageSource
	endedIn  map[string]uint64 // the report that first told so; 0: none yet
	pairs    map[string]*pb.PairUsage
	truth    map[string]uint64 // of bytes, by container, and by container and peer
}

func (h *host) work() {
	for _, s := range h.running {
		n := h.r.Uint64N(1000)
		s.Counters.TxBytes += n
		s.Counters.Errors["x"] += n
		h.truth[s.Container+">"] += n
		m := h.r.Uint64N(100)
		h.pairs[s.Id].TxBytes += m
		h.truth[s.Container+">peer"] += m
	}
}

func (h *host) start() {
	h.next++
	s := &pb.UsageSource{Id: fmt.Sprint(h.next), Network: "n", Container: fmt.Sprint("c", h.r.IntN(3)), Counters: &pb.Counters{Errors: map[string]uint64{}}}
	h.running[s.Id] = s
	h.pairs[s.Id] = &pb.PairUsage{Source: s.Id, PeerNetwork: "n", Peer: "peer"}
}

func (h *host) stop(id string) {
	s := h.running[id]
	s.Ended = true
	h.ended[id] = s
	delete(h.running, id)
}

// restart ends all sources; with what is on disk it can still tell of them.
func (h *host) restart() {
	for id := range h.running {
		h.stop(id)
	}
	h.epoch, h.sequence = h.epoch+1, 0
	for id := range h.ended {
		h.endedIn[id] = 0
	}
}

func (h *host) report() *pb.UsageReport {
	h.sequence++
	r := &pb.UsageReport{Epoch: h.epoch, Sequence: h.sequence}
	for _, group := range []map[string]*pb.UsageSource{h.running, h.ended} {
		for id, s := range group {
			r.Sources = append(r.Sources, proto.CloneOf(s))
			r.Pairs = append(r.Pairs, proto.CloneOf(h.pairs[id]))
		}
	}
	for id := range h.ended {
		if h.endedIn[id] == 0 {
			h.endedIn[id] = h.sequence
		}
	}
	return r
}

func (h *host) settled(epoch int64, sequence uint64) {
	if epoch != h.epoch {
		return
	}
	for id := range h.ended {
		if in := h.endedIn[id]; in != 0 && in <= sequence {
			delete(h.ended, id)
			delete(h.pairs, id)
		}
	}
}

// Whatever is repeated, overtaken, lost or restarted: what is in the buckets is what was used.
func TestLedgerCountsOnce(t *testing.T) {
	for seed := range uint64(100) {
		r := rand.New(rand.NewPCG(seed, 2))
		s := &shelf{sums: map[string]*pb.Counters{}}
		h := &host{r: r, epoch: 1, running: map[string]*pb.UsageSource{}, ended: map[string]*pb.UsageSource{}, endedIn: map[string]uint64{},
			pairs: map[string]*pb.PairUsage{}, truth: map[string]uint64{}}
		orchestrators := []*scribe{{ledger: newLedger()}, {ledger: newLedger()}}
		var old []*pb.UsageReport
		any := func() int { return r.IntN(2) }
		send := func() {
			report := h.report()
			old = append(old, report)
			if r.IntN(5) == 0 {
				return // lost
			}
			n, ok := orchestrators[any()].report(s, report)
			if ok && r.IntN(5) > 0 { // the answer may be lost too
				h.settled(report.Epoch, n)
			}
		}
		for range 300 {
			switch r.IntN(12) {
			case 0:
				h.start()
			case 1:
				for id := range h.running {
					h.stop(id)
					break
				}
			case 2:
				if len(old) > 0 { // late, or twice
					orchestrators[any()].report(s, old[r.IntN(len(old))])
				}
			case 3:
				orchestrators[any()] = &scribe{ledger: newLedger()} // ends without a word
			case 4:
				if r.IntN(5) == 0 {
					h.restart()
				}
			case 5, 6:
				i := any()
				orchestrators[i].flush(s, func() {
					if r.IntN(3) == 0 {
						orchestrators[1-i].flush(s, func() {})
					}
				})
			case 7, 8, 9:
				send()
			default:
				h.work()
			}
		}
		last := h.report()
		for _, o := range orchestrators {
			o.report(s, last)
			o.flush(s, func() {})
		}
		for key, want := range h.truth {
			got := s.sums[key]
			if got == nil {
				got = &pb.Counters{}
			}
			if got.TxBytes != want || key[len(key)-1] == '>' && got.Errors["x"] != want {
				t.Fatalf("seed %d: %s used %d, buckets say %d and %d", seed, key, want, got.TxBytes, got.Errors["x"])
			}
		}
		if n := len(orchestrators[0].sources); n > len(h.running)+len(h.ended) {
			t.Errorf("seed %d: %d sources are remembered, %d told of", seed, n, len(h.running)+len(h.ended))
		}
	}
}

// A router that dies without a word is counted as far as it had told.
func TestLedgerOfARouterThatDied(t *testing.T) {
	s := &shelf{sums: map[string]*pb.Counters{}}
	o := &scribe{ledger: newLedger()}
	source := func(id string, n uint64) *pb.UsageSource {
		return &pb.UsageSource{Id: id, Network: "n", Container: "c", Counters: &pb.Counters{TxBytes: n}}
	}
	o.report(s, &pb.UsageReport{Epoch: 1, Sequence: 1, Sources: []*pb.UsageSource{source("1", 70)}})
	o.report(s, &pb.UsageReport{Epoch: 2, Sequence: 1, Sources: []*pb.UsageSource{source("2", 5)}})
	o.flush(s, func() {})
	o.report(s, &pb.UsageReport{Epoch: 2, Sequence: 2, Sources: []*pb.UsageSource{source("2", 6)}})
	o.flush(s, func() {})
	if got := s.sums["c>"].TxBytes; got != 76 || len(o.sources) != 1 {
		t.Errorf("%d bytes, %d sources", got, len(o.sources))
	}
}

func TestRefusalsCountOnce(t *testing.T) {
	l := newLedger()
	told := func(epoch int64, sequence, n uint64) (news uint64) {
		r := &pb.UsageReport{Epoch: epoch, Sequence: sequence, Refusals: []*pb.Refusal{{Network: "n", Container: "c", What: "connect", Peer: "d", Count: n}}}
		before := l.epoch
		if l.take(r, func(string) string { return "" }) {
			for _, f := range l.refused(r.Refusals, before) {
				news += f.Count
			}
		}
		return news
	}
	total := told(1, 1, 3) + told(1, 3, 5) + told(1, 2, 4) + told(1, 3, 5) + told(2, 1, 2) + told(2, 2, 2)
	if total != 7 {
		t.Errorf("%d refusals, want 7", total)
	}
}
