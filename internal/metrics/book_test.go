package metrics

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"google.golang.org/protobuf/proto"

	pb "github.com/freeflow-rdma/freeflow/api/freeflow/v1"
)

// truth is a router's containers with what they have really done, and an orchestrator that believes the largest number it
// hears of each source, forgets what a report lacks, and counts it all again should a forgotten one come back.
type truth struct {
	t     *testing.T
	r     *rand.Rand
	book  *Book
	runs  map[string]*Container // by instance
	done  map[string]uint64     // bytes, by name
	peers map[string]uint64
	disk  *pb.UsageState
	made  int
	now   int64

	epoch    int64
	sequence uint64
	sources  map[string]uint64
	pairs    map[string]uint64
	closed   uint64 // of forgotten sources
	closedP  uint64
}

func (w *truth) start() {
	w.made++
	c := &Container{Network: "n", Name: fmt.Sprint("c", w.r.IntN(3)), Instance: fmt.Sprint(w.made), Counters: &pb.Counters{Errors: map[string]uint64{}},
		Peers: []*pb.PairUsage{{PeerNetwork: "n", Peer: "p"}}}
	w.runs[c.Instance] = c
}

func (w *truth) work() {
	for _, c := range w.runs {
		n := w.r.Uint64N(100)
		c.Counters.TxBytes += n
		c.Peers[0].TxBytes += n
		w.done[c.Name] += n
	}
}

// reset makes a router lose count, now and then.
func (w *truth) reset() {
	for _, c := range w.runs {
		if w.r.IntN(20) == 0 {
			c.Counters, c.Peers = &pb.Counters{}, []*pb.PairUsage{{PeerNetwork: "n", Peer: "p"}}
		}
	}
}

func (w *truth) snapshot() (s Snapshot) {
	for _, c := range w.runs {
		s.Containers = append(s.Containers, copyOf(c))
	}
	return s
}

func copyOf(c *Container) Container {
	d := *c
	d.Counters = proto.CloneOf(c.Counters)
	d.Peers = []*pb.PairUsage{proto.CloneOf(c.Peers[0])}
	return d
}

// hear is the orchestrator.
func (w *truth) hear(report *pb.UsageReport) *pb.UsageReportAnswer {
	if report.Epoch < w.epoch || report.Epoch == w.epoch && report.Sequence <= w.sequence {
		return &pb.UsageReportAnswer{Epoch: w.epoch}
	}
	w.epoch, w.sequence = report.Epoch, report.Sequence
	there := map[string]bool{}
	for _, s := range report.Sources {
		there[s.Id] = true
		w.sources[s.Id] = max(w.sources[s.Id], s.Counters.TxBytes)
	}
	for _, p := range report.Pairs {
		w.pairs[p.Source] = max(w.pairs[p.Source], p.TxBytes)
	}
	for id, n := range w.sources {
		if !there[id] {
			w.closed, w.closedP = w.closed+n, w.closedP+w.pairs[id]
			delete(w.sources, id)
			delete(w.pairs, id)
		}
	}
	return &pb.UsageReportAnswer{Epoch: w.epoch, Settled: w.sequence - min(w.sequence, w.r.Uint64N(3))}
}

func (w *truth) report() {
	w.book.Collect(w.snapshot())
	w.disk = w.book.State()
	report := w.book.Report(w.now)
	if w.r.IntN(6) == 0 {
		return // lost
	}
	answer := w.hear(report)
	if w.r.IntN(6) > 0 {
		w.book.Answer(answer)
	}
}

func (w *truth) stop(final bool) {
	for id, c := range w.runs {
		last := copyOf(c)
		if !final {
			snapshot := w.snapshot() // made before the end, read after it
			delete(w.runs, id)
			w.book.Final(last)
			w.book.Collect(snapshot)
			return
		}
		delete(w.runs, id)
		for range w.r.IntN(3) {
			w.report() // the container is gone, its last numbers are late
		}
		w.book.Final(last)
		return
	}
}

func (w *truth) restart() {
	w.book.Collect(w.snapshot())
	old := proto.CloneOf(w.book.State())
	clear(w.runs)
	w.now += w.r.Int64N(1000) - 500 // a clock that jumps
	w.book = NewBook(old, w.now, fmt.Sprint(w.made))
}

// Whatever is lost, late or restarted, the orchestrator hears of everything, and of nothing twice.
func TestBookTellsOnce(t *testing.T) {
	for seed := range uint64(60) {
		w := &truth{t: t, r: rand.New(rand.NewPCG(seed, 5)), runs: map[string]*Container{}, done: map[string]uint64{}, peers: map[string]uint64{},
			sources: map[string]uint64{}, pairs: map[string]uint64{}, now: 1e6}
		w.book = NewBook(nil, w.now, "x")
		for range 200 {
			switch w.r.IntN(10) {
			case 0:
				w.start()
			case 1:
				w.stop(w.r.IntN(2) == 0)
			case 2:
				if w.r.IntN(6) == 0 {
					w.restart()
				}
			case 3, 4, 5:
				w.report()
			default:
				w.book.Collect(w.snapshot())
				w.work()
				w.book.Collect(w.snapshot())
				w.reset()
				w.book.Collect(w.snapshot())
			}
		}
		w.book.Collect(w.snapshot())
		w.hear(w.book.Report(w.now))
		got, gotPairs, want := w.closed, w.closedP, uint64(0)
		for id, n := range w.sources {
			got, gotPairs = got+n, gotPairs+w.pairs[id]
		}
		for _, n := range w.done {
			want += n
		}
		if got != want || gotPairs != want {
			t.Fatalf("seed %d: %d bytes were sent, the orchestrator heard of %d, and %d by pair", seed, want, got, gotPairs)
		}
	}
}

// What has been told of once stays in reports, however much else there is.
func TestReportsAreBounded(t *testing.T) {
	b := NewBook(nil, 1, "x")
	var s Snapshot
	for i := range maxSources + 100 {
		c := Container{Network: "n", Name: fmt.Sprint("c", i), Instance: "i", Counters: &pb.Counters{Errors: map[string]uint64{}}}
		for j := range maxFamily + 10 {
			c.Counters.Errors[fmt.Sprint("e", j)] = 1
		}
		for j := range 3 {
			c.Peers = append(c.Peers, &pb.PairUsage{PeerNetwork: "n", Peer: fmt.Sprint(j)})
		}
		s.Containers = append(s.Containers, c)
	}
	b.Collect(Snapshot{Containers: s.Containers[100:]})
	first := b.Report(0)
	b.Collect(s)
	second := b.Report(1)
	if len(first.Sources) != maxSources || len(second.Sources) != maxSources || len(second.Pairs) != maxPairs {
		t.Fatalf("%d, %d sources, %d pairs", len(first.Sources), len(second.Sources), len(second.Pairs))
	}
	told := map[string]bool{}
	for _, x := range second.Sources {
		told[x.Id] = true
		if len(x.Counters.Errors) > maxFamily {
			t.Fatalf("%d counters of a family", len(x.Counters.Errors))
		}
	}
	for _, x := range first.Sources {
		if !told[x.Id] {
			t.Fatalf("%s was told of, and no longer is", x.Id)
		}
	}
}

func TestHigherEpochIsTakenUp(t *testing.T) {
	b := NewBook(nil, 10, "x")
	b.Report(0)
	if !b.Answer(&pb.UsageReportAnswer{Epoch: 99}) {
		t.Fatal("the report counts as taken")
	}
	if r := b.Report(1); r.Epoch != 100 || r.Sequence != 1 {
		t.Errorf("%v", r)
	}
}
