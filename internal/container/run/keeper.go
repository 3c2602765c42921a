package run

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/freeflow-rdma/freeflow/internal/admin"
)

// keeper keeps the container registered while the program runs, across the router's ends.
type keeper struct {
	client   *admin.Client
	spec     admin.ContainerSpec // what to ask for again
	messages io.Writer
	stop     context.CancelFunc
	done     chan struct{}

	mu    sync.Mutex
	lease *admin.Lease
}

// How long to wait for the next router: at first it may just be restarting.
const (
	firstWait = 20 * time.Millisecond
	lastWait  = 2 * time.Second
)

func keep(client *admin.Client, lease *admin.Lease, spec admin.ContainerSpec, messages io.Writer) *keeper {
	spec.ID, spec.Name, spec.Network = lease.Info.ID, lease.Info.Name, lease.Info.Network
	spec.IP, spec.Mode = lease.Info.IP, lease.Info.Mode
	ctx, stop := context.WithCancel(context.Background())
	k := &keeper{client: client, spec: spec, messages: messages, stop: stop, done: make(chan struct{}), lease: lease}
	go k.run(ctx)
	return k
}

func (k *keeper) info() admin.ContainerInfo {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.lease.Info
}

// run registers again whenever the lease is lost.
func (k *keeper) run(ctx context.Context) {
	defer close(k.done)
	for {
		k.mu.Lock()
		lost := k.lease.Lost()
		k.mu.Unlock()
		select {
		case <-ctx.Done():
			return
		case <-lost:
		}
		lease := k.again(ctx)
		if lease == nil {
			return
		}
		k.mu.Lock()
		k.lease = lease
		k.mu.Unlock()
	}
}

// again tries until it has a lease, or ctx ends.
func (k *keeper) again(ctx context.Context) *admin.Lease {
	told := false
	for wait := firstWait; ; wait = min(2*wait, lastWait) {
		lease, err := k.client.Register(ctx, k.spec)
		if err == nil {
			return lease
		}
		var refused *admin.RemoteError
		if errors.As(err, &refused) && !told {
			fmt.Fprintln(k.messages, "freeflow: warning: the new router refuses this container, which has no RDMA until it does not:", err)
			told = true
		}
		// Hundreds of containers lose one router at the same moment.
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait/2 + rand.N(wait)):
		}
	}
}

// release gives the container back and waits until the router has taken its network away. Without a
// router there is nothing to wait for: the next one finds the container gone.
func (k *keeper) release() {
	k.stop()
	<-k.done
	ctx, cancel := context.WithTimeout(context.Background(), releaseTime)
	defer cancel()
	err := k.lease.Release(ctx)
	var refused *admin.RemoteError
	if errors.As(err, &refused) && !errors.Is(err, admin.ErrNotFound) {
		fmt.Fprintln(k.messages, "freeflow: warning: release container:", err)
	}
}
