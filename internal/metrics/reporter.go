package metrics

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	pb "github.com/freeflow-rdma/freeflow/api/freeflow/v1"
)

// Reporting.
const (
	defaultInterval = 5 * time.Second
	minInterval     = 500 * time.Millisecond
	maxInterval     = time.Minute
	saveInterval    = 5 * time.Second
	sendPatience    = 4 * time.Second
	lastPatience    = 2 * time.Second // of a router that ends
	maxDetails      = 16              // containers
	stateFile       = "usage"
)

// Config is what a Reporter works with.
type Config struct {
	Source Source
	Send   func(context.Context, *pb.UsageReport) (*pb.UsageReportAnswer, error) // to the orchestrator
	Dir    string                                                                // where what is not told yet outlives the router; it exists
	Log    *slog.Logger
}

// Reporter tells the orchestrator what containers use, again and again.
type Reporter struct {
	cfg   Config
	began time.Time

	mu      sync.Mutex
	book    *Book
	onDisk  []string // sources in the file
	saved   time.Time
	inspect []*pb.Ref
}

// NewReporter takes up what an earlier router has left in the directory.
func NewReporter(cfg Config) (*Reporter, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	var tag [4]byte
	rand.Read(tag[:]) // never fails
	r := &Reporter{cfg: cfg, began: time.Now()}
	old := &pb.UsageState{}
	text, err := os.ReadFile(r.path())
	if err == nil {
		err = proto.Unmarshal(text, old)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		cfg.Log.Warn("usage that an earlier router had not told yet cannot be read: it is lost", "err", err)
	}
	r.book = NewBook(old, time.Now().UnixNano(), hex.EncodeToString(tag[:]))
	return r, r.save()
}

func (r *Reporter) path() string { return filepath.Join(r.cfg.Dir, stateFile) }

// Final tells the last numbers of a container that ends: what it has done since the last report. Without it, what the last report said stays.
func (r *Reporter) Final(c Container) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.book.Final(c)
}

// Run reports until ctx ends; then it reports once more, and leaves on disk what nobody has taken.
func (r *Reporter) Run(ctx context.Context) {
	interval := time.Duration(0)
	for {
		timer := time.NewTimer(interval)
		select {
		case <-ctx.Done():
			timer.Stop()
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastPatience)
			_ = r.once(last) // what it could not tell is on disk
			cancel()
			r.mu.Lock()
			if err := r.save(); err != nil {
				r.cfg.Log.Warn("usage cannot be kept on disk", "err", err)
			}
			r.mu.Unlock()
			return
		case <-timer.C:
		}
		interval = r.once(ctx)
	}
}

// once makes one report, and returns when the next is due.
func (r *Reporter) once(ctx context.Context) time.Duration {
	report := r.prepare()
	ctx, cancel := context.WithTimeout(ctx, sendPatience)
	defer cancel()
	answer, err := r.cfg.Send(ctx, report)
	if err != nil {
		r.cfg.Log.Debug("usage was not reported, trying again", "err", err)
		return defaultInterval
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.book.Answer(answer) {
		return minInterval
	}
	r.inspect = answer.Inspect[:min(len(answer.Inspect), maxDetails)]
	return min(max(time.Duration(answer.IntervalMs)*time.Millisecond, minInterval), maxInterval)
}

// prepare makes a report of what there is now.
func (r *Reporter) prepare() *pb.UsageReport {
	snapshot := r.cfg.Source.Snapshot()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.book.Collect(snapshot)
	if r.mustSave() || time.Since(r.saved) >= saveInterval {
		if err := r.save(); err != nil {
			r.cfg.Log.Warn("usage cannot be kept on disk", "err", err)
		}
	}
	report := r.book.Report(int64(time.Since(r.began)))
	for _, ref := range r.inspect {
		if d := r.cfg.Source.Details(ref.Network, ref.Name); d != nil {
			report.Details = append(report.Details, d)
		}
	}
	return report
}

// mustSave says whether the file has a source that is settled: once a report lacks it, no later run may tell of it again.
func (r *Reporter) mustSave() bool {
	known := make(map[string]bool)
	for _, e := range r.book.entries() {
		known[e.source.Id] = true
	}
	for _, id := range r.onDisk {
		if !known[id] {
			return true
		}
	}
	return false
}

// save writes the book to disk. The caller holds mu, or is alone.
func (r *Reporter) save() error {
	state := r.book.State()
	text, err := proto.Marshal(state)
	if err != nil {
		return fmt.Errorf("usage: %w", err)
	}
	if err := os.WriteFile(r.path()+".new", text, 0o600); err != nil {
		return fmt.Errorf("usage: %w", err)
	}
	if err := os.Rename(r.path()+".new", r.path()); err != nil {
		return fmt.Errorf("usage: %w", err)
	}
	r.saved, r.onDisk = time.Now(), nil
	for _, s := range state.Sources {
		r.onDisk = append(r.onDisk, s.Id)
	}
	return nil
}
