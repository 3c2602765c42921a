package metrics

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	pb "github.com/freeflow-rdma/freeflow/api/freeflow/v1"
)

// changing is a source that a test changes.
type changing struct {
	mu       sync.Mutex
	snapshot Snapshot
	asked    []string
}

func (c *changing) Snapshot() Snapshot {
	c.mu.Lock()
	defer c.mu.Unlock()
	return Snapshot{Containers: append([]Container(nil), c.snapshot.Containers...)}
}

func (c *changing) Details(network, container string) *pb.ContainerDetails {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked = append(c.asked, container)
	if container == "gone" {
		return nil
	}
	return &pb.ContainerDetails{Network: network, Container: container}
}

func (c *changing) set(bytes uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.snapshot.Containers = []Container{{Network: "n", Name: "c", Instance: "1", Counters: &pb.Counters{TxBytes: bytes}}}
}

func reporter(t *testing.T, dir string, s Source, send func(context.Context, *pb.UsageReport) (*pb.UsageReportAnswer, error)) *Reporter {
	t.Helper()
	r, err := NewReporter(Config{Source: s, Send: send, Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// What nobody has taken when the router ends, the next router tells.
func TestReporterOverRestart(t *testing.T) {
	dir, s := t.TempDir(), &changing{}
	s.set(100)
	away := func(context.Context, *pb.UsageReport) (*pb.UsageReportAnswer, error) { return nil, errors.New("away") }
	r := reporter(t, dir, s, away)
	r.once(context.Background())
	s.set(150)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	r.Run(ctx)

	var heard []*pb.UsageReport
	r = reporter(t, dir, &changing{}, func(_ context.Context, report *pb.UsageReport) (*pb.UsageReportAnswer, error) {
		heard = append(heard, report)
		return &pb.UsageReportAnswer{Epoch: report.Epoch, Settled: report.Sequence, IntervalMs: 2000}, nil
	})
	if next := r.once(context.Background()); next != 2*time.Second {
		t.Errorf("the next is due after %s", next)
	}
	r.once(context.Background())
	if len(heard[0].Sources) != 1 || heard[0].Sources[0].Counters.TxBytes != 150 || !heard[0].Sources[0].Ended || len(heard[1].Sources) != 0 {
		t.Errorf("%v", heard)
	}
	// What is settled is not told by a third.
	last := heard[1].Epoch
	r = reporter(t, dir, &changing{}, away)
	if report := r.prepare(); len(report.Sources) != 0 || report.Epoch <= last {
		t.Errorf("%v after epoch %d", report, last)
	}
}

func TestReporterSendsDetails(t *testing.T) {
	s := &changing{}
	s.set(1)
	var heard []*pb.UsageReport
	r := reporter(t, t.TempDir(), s, func(_ context.Context, report *pb.UsageReport) (*pb.UsageReportAnswer, error) {
		heard = append(heard, report)
		return &pb.UsageReportAnswer{Epoch: report.Epoch, Inspect: []*pb.Ref{{Network: "n", Name: "c"}, {Network: "n", Name: "gone"}}}, nil
	})
	r.once(context.Background())
	r.once(context.Background())
	if len(heard[0].Details) != 0 || len(heard[1].Details) != 1 || heard[1].Details[0].Container != "c" {
		t.Errorf("%v", heard)
	}
}

func TestReporterTakesUpTheEpoch(t *testing.T) {
	const known = int64(1) << 62
	var heard []*pb.UsageReport
	r := reporter(t, t.TempDir(), &changing{}, func(_ context.Context, report *pb.UsageReport) (*pb.UsageReportAnswer, error) {
		heard = append(heard, report)
		return &pb.UsageReportAnswer{Epoch: max(report.Epoch, known)}, nil
	})
	if next := r.once(context.Background()); next != minInterval {
		t.Errorf("the next is due after %s", next)
	}
	if r.once(context.Background()); heard[1].Epoch != known+1 {
		t.Errorf("epoch %d", heard[1].Epoch)
	}
}
