package etcd

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"path/filepath"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3client"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// Embedded is an etcd of one member inside this process.
type Embedded struct {
	Client *clientv3.Client
	server *embed.Etcd
	unlock func()
}

// Tuning of the one member: it elects itself, so waiting for others would only cost time.
const (
	tick       = 10 * time.Millisecond
	election   = 100 * time.Millisecond
	slow       = 2 * time.Second // what is worth a word in the log
	quotaBytes = 2 << 30
	// maxOps bounds a transaction. It is the default of etcd, so that what works here works with any etcd.
	maxOps = 128
	// history is how many revisions a watcher may be late.
	history = "20000"
	// startPatience is for the disk: the log of a big cluster is read again at the start.
	startPatience = 60 * time.Second
)

// Embed starts etcd on dir, which it makes if needed.
func Embed(ctx context.Context, dir string, log *slog.Logger) (e *Embedded, err error) {
	unlock, err := Lock(dir)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			unlock()
		}
	}()
	server, err := embed.StartEtcd(config(dir, log))
	if err != nil {
		return nil, fmt.Errorf("start etcd on %s: %w", dir, err)
	}
	select {
	case <-server.Server.ReadyNotify():
	case err := <-server.Err():
		server.Close()
		return nil, fmt.Errorf("start etcd on %s: %w", dir, err)
	case <-ctx.Done():
		server.Close()
		return nil, fmt.Errorf("start etcd on %s: %w", dir, ctx.Err())
	case <-time.After(startPatience):
		server.Close()
		return nil, fmt.Errorf("start etcd on %s: not ready after %s", dir, startPatience)
	}
	return &Embedded{Client: v3client.New(server.Server), server: server, unlock: unlock}, nil
}

// Err tells why etcd has ended by itself.
func (e *Embedded) Err() <-chan error { return e.server.Err() }

// Close ends etcd and gives the directory back.
func (e *Embedded) Close() {
	e.Client.Close()
	e.server.Close()
	e.unlock()
}

func config(dir string, log *slog.Logger) *embed.Config {
	cfg := embed.NewConfig()
	cfg.Name = "freeflow"
	cfg.Dir = filepath.Join(dir, "member")
	// Nobody listens there; a cluster of one must have a name for its member all the same.
	nowhere := []url.URL{{Scheme: "unix", Host: "freeflow-embedded", Path: "/peer"}}
	cfg.ListenPeerUrls, cfg.ListenClientUrls = nil, nil
	cfg.AdvertisePeerUrls, cfg.AdvertiseClientUrls = nowhere, nowhere
	cfg.InitialCluster = cfg.InitialClusterFromName(cfg.Name)
	cfg.TickMs, cfg.ElectionMs = uint(tick.Milliseconds()), uint(election.Milliseconds())
	cfg.SnapshotCount = 5000
	cfg.QuotaBackendBytes = quotaBytes
	cfg.MaxTxnOps = maxOps
	cfg.AutoCompactionMode, cfg.AutoCompactionRetention = embed.CompactorModeRevision, history
	cfg.WarningApplyDuration, cfg.WarningUnaryRequestDuration = slow, slow // a line a request
	cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.New(&zapCore{log: log}))
	cfg.LogLevel = zapcore.WarnLevel.String()
	return cfg
}
