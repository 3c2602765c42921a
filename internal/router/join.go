package router

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"time"

	"github.com/freeflow-rdma/freeflow/internal/cluster"
)

// Times of joining: between tries, and until a router that knows nothing yet gives up.
const (
	joinEvery = 50 * time.Millisecond
	joinTime  = 30 * time.Second
)

// alone is the underlay address of a host that reaches no other and is reached by none.
var alone = netip.AddrFrom4([4]byte{127, 0, 0, 1})

// join makes this machine a host of the cluster, or goes on as the one that it is. It waits for an orchestrator only if it has never heard of
// the cluster. lost is cluster.Config's OnLost.
func join(ctx context.Context, cfg Config, lost func(cluster.Name, string, string)) (*cluster.Client, error) {
	c := cluster.Config{URLs: cfg.Orchestrators, Dir: filepath.Join(cfg.DataDir, "router"), Host: cfg.HostName, Underlay: cfg.HostIP,
		Features: []string{featureSACK}, Version: version(), Token: cfg.Token, Log: cfg.Log, OnLost: lost}
	if !c.Underlay.IsValid() {
		c.Underlay = alone
	}
	ctx, cancel := context.WithTimeout(ctx, joinTime)
	defer cancel()
	told := false
	if cfg.NewToken != nil && cluster.Join(ctx, c) != nil {
		token, err := cfg.NewToken(ctx)
		if err != nil {
			return nil, fmt.Errorf("join the cluster: %w", err)
		}
		c.Token = token
	}
	for {
		err := cluster.Join(ctx, c)
		if err == nil {
			break
		}
		if !errors.Is(err, cluster.ErrUnreachable) || ctx.Err() != nil {
			return nil, fmt.Errorf("join the cluster: %w", err)
		}
		if !told {
			cfg.Log.Info("waiting for an orchestrator", "urls", cfg.Orchestrators)
			told = true
		}
		pause(ctx, joinEvery)
	}
	client, err := cluster.Open(c)
	if err != nil {
		return nil, fmt.Errorf("join the cluster: %w", err)
	}
	for client.State().Revision == 0 {
		if ctx.Err() != nil {
			client.Close()
			return nil, fmt.Errorf("no orchestrator answers at %v: is it running, and is the address right?", cfg.Orchestrators)
		}
		pause(ctx, joinEvery/10)
	}
	return client, nil
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
