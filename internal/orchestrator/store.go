package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"connectrpc.com/connect"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/freeflow-rdma/freeflow/internal/orchestrator/ca"
)

// Store takes the cluster's decisions, each as one etcd transaction. Its errors are *connect.Error: what the API answers.
type Store struct {
	client *clientv3.Client
	keys   keys
	mirror *Mirror
	ca     *ca.Authority
	ttl    time.Duration // of a host's lease
	log    *slog.Logger

	onChange onChange // nil: nobody wants to know
}

// openStore loads the cluster's state, makes what a new cluster needs, and follows etcd until ctx ends; active counts
// who does that.
func openStore(ctx context.Context, client *clientv3.Client, cfg Config, active *sync.WaitGroup) (*Store, error) {
	k := keys{cfg.Prefix}
	authority, err := openAuthority(ctx, client, k)
	if err != nil {
		return nil, err
	}
	mirror := newMirror(client, k, cfg.Log)
	if err := mirror.load(ctx); err != nil {
		return nil, err
	}
	active.Go(func() { mirror.follow(ctx) })
	s := &Store{client: client, keys: k, mirror: mirror, ca: authority, ttl: cfg.HostTTL, log: cfg.Log}
	if err := s.ensureDefault(ctx, cfg.DefaultCIDR); err != nil {
		return nil, fmt.Errorf("make the network default: %w", err)
	}
	return s, nil
}

const (
	// maxTries bounds how often a decision is taken anew because others were faster.
	maxTries = 50
	// opPatience is for one exchange with etcd: longer, and it has no majority.
	opPatience = 5 * time.Second
)

// failf makes an error that the API answers with.
func failf(code connect.Code, format string, args ...any) error {
	return connect.NewError(code, fmt.Errorf(format, args...))
}

// fail turns an error of etcd into one of the API: nearly always that etcd does not answer for now, and that the caller
// should try again, or try another orchestrator.
func fail(op string, err error) error {
	var already *connect.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &already):
		return err
	case errors.Is(err, rpctypes.ErrNoSpace):
		return failf(connect.CodeResourceExhausted, "%s: etcd has no space left: %w", op, err)
	case errors.Is(err, rpctypes.ErrRequestTooLarge):
		return failf(connect.CodeResourceExhausted, "%s: too much at once: divide it", op)
	case errors.Is(err, context.Canceled):
		return failf(connect.CodeCanceled, "%s: %w", op, err)
	}
	return failf(connect.CodeUnavailable, "%s: etcd: %w", op, err)
}

var errBusy = connect.NewError(connect.CodeAborted, errors.New("others changed the same things again and again: try again"))

// txn carries one decision out: true if everything was still as compared; then the mirror has it too.
func (s *Store) txn(ctx context.Context, when []clientv3.Cmp, then ...clientv3.Op) (bool, error) {
	ok, _, err := s.txnElse(ctx, when, then, nil)
	return ok, err
}

// txnElse is txn that looks at keys if something was not as compared.
func (s *Store) txnElse(ctx context.Context, when []clientv3.Cmp, then, otherwise []clientv3.Op) (bool, *clientv3.TxnResponse, error) {
	op, cancel := context.WithTimeout(ctx, opPatience)
	defer cancel()
	r, err := s.client.Txn(op).If(when...).Then(then...).Else(otherwise...).Commit()
	if err != nil {
		return false, nil, err
	}
	if !r.Succeeded {
		return false, r, nil
	}
	wait, cancel := context.WithTimeout(ctx, opPatience) // its own time: on a slow disk the other is used up
	defer cancel()
	return true, r, s.mirror.Wait(wait, r.Header.Revision)
}

// get reads one key as it is now, not as the mirror has it; nil if there is none.
func (s *Store) get(ctx context.Context, key string) ([]byte, int64, error) {
	ctx, cancel := context.WithTimeout(ctx, opPatience)
	defer cancel()
	r, err := s.client.Get(ctx, key)
	if err != nil || len(r.Kvs) == 0 {
		return nil, 0, err
	}
	return r.Kvs[0].Value, r.Kvs[0].ModRevision, nil
}

func absent(key string) clientv3.Cmp  { return clientv3.Compare(clientv3.CreateRevision(key), "=", 0) }
func present(key string) clientv3.Cmp { return clientv3.Compare(clientv3.CreateRevision(key), ">", 0) }

// unchanged holds while key has not been written since rev; 0: while it does not exist.
func unchanged(key string, rev int64) clientv3.Cmp {
	return clientv3.Compare(clientv3.ModRevision(key), "=", rev)
}

func now() int64 { return time.Now().UnixNano() }

// openAuthority reads the cluster's certificate authority, or makes it at the cluster's first start.
func openAuthority(ctx context.Context, client *clientv3.Client, k keys) (*ca.Authority, error) {
	ctx, cancel := context.WithTimeout(ctx, loadPatience)
	defer cancel()
	for {
		got, err := client.Get(ctx, k.ca())
		if err != nil {
			return nil, fmt.Errorf("read the cluster's certificate authority: %w", err)
		}
		if len(got.Kvs) > 0 {
			return ca.Parse(got.Kvs[0].Value)
		}
		made, err := ca.New(time.Now())
		if err != nil {
			return nil, err
		}
		if _, err := client.Txn(ctx).If(absent(k.ca())).Then(clientv3.OpPut(k.ca(), string(made.PEM()))).Commit(); err != nil {
			return nil, fmt.Errorf("store the cluster's certificate authority: %w", err)
		}
	}
}

// clusterName names a cluster by its authority: a restored or a new etcd is another cluster.
func clusterName(a *ca.Authority) string { return ca.Fingerprint(a.Cert)[:16] }
