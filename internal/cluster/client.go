package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"

	"connectrpc.com/connect"

	pb "github.com/freeflow-rdma/freeflow/api/freeflow/v1"
)

// Config is what a router says of itself.
type Config struct {
	URLs     []string // of orchestrators: https://HOST:PORT, HOST:PORT or unix:PATH; any of them will do
	Dir      string   // credentials and state are kept here, files only root can read
	Host     string   // this host's name
	Underlay netip.Addr
	Features []string
	Version  string
	Token    string // to join with; also later, should the cluster have forgotten this host. May be empty after Join.
	Log      *slog.Logger
	// OnLost, if set, is told that a running container's name or address has become another's while this host was
	// away. It is called from a goroutine of the Client and must not call it.
	OnLost func(n Name, instance, reason string)
}

// Errors of Register; the message says more.
var (
	ErrUnreachable = errors.New("no orchestrator answers")
	ErrConflict    = errors.New("conflict")
	ErrInvalid     = errors.New("invalid request")
	ErrNotFound    = errors.New("not found")
	ErrExhausted   = errors.New("no address left")
)

// Client is a router's place in the cluster.
type Client struct {
	cfg       Config
	endpoints []*endpoint
	creds     atomic.Pointer[credentials]
	state     atomic.Pointer[State]
	live      atomic.Pointer[session] // nil while no orchestrator answers
	alone     atomic.Bool             // each orchestrator has been tried since one answered
	cancel    context.CancelFunc
	running   sync.WaitGroup

	mu          sync.Mutex // subscribers, and the order of their calls
	subscribers map[int]func(*State)
	nextID      int
	dirty       chan struct{} // has an entry while the state on disk is old

	own ownContainers
	mrs memoryMap
}

// Open makes a client with the credentials that Join has left, and the state that was kept. It waits for nobody.
func Open(cfg Config) (*Client, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if len(cfg.URLs) == 0 {
		return nil, errors.New("cluster: no orchestrator given")
	}
	c := &Client{cfg: cfg, subscribers: make(map[int]func(*State)), dirty: make(chan struct{}, 1)}
	creds, err := loadCredentials(cfg.Dir)
	if err != nil {
		return nil, err
	}
	c.creds.Store(creds)
	for _, url := range cfg.URLs {
		e, err := newEndpoint(url, creds.tlsConfig(c.creds.Load))
		if err != nil {
			return nil, err
		}
		c.endpoints = append(c.endpoints, e)
	}
	state, err := readState(cfg.Dir)
	if err != nil {
		cfg.Log.Warn("the cluster's state on disk cannot be read: starting without", "err", err)
	}
	c.state.Store(state)
	if err := c.own.load(cfg.Dir); err != nil {
		cfg.Log.Warn("the list of registered containers cannot be read: starting without", "err", err)
	}
	c.mrs.init()
	ctx, cancel := context.WithCancel(context.Background())
	c.cancel = cancel
	c.running.Go(func() { c.run(ctx) })
	c.running.Go(func() { c.keepState(ctx) })
	return c, nil
}

// Close ends the client. The host's lease ends by itself, if no other client takes it up.
func (c *Client) Close() {
	c.cancel()
	c.running.Wait()
	for _, e := range c.endpoints {
		e.transport.CloseIdleConnections()
	}
}

// State is the cluster as last heard.
func (c *Client) State() *State { return c.state.Load() }

// Connected says whether an orchestrator answers.
func (c *Client) Connected() bool { return c.live.Load() != nil }

// Subscribe calls f with the current state, and with each one that follows, until cancel is called. States that follow
// each other fast may come as one.
func (c *Client) Subscribe(f func(*State)) (cancel func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	id := c.nextID
	c.nextID++
	c.subscribers[id] = f
	first := *c.state.Load()
	first.changes = Changes{All: true}
	f(&first)
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.subscribers, id)
	}
}

// publish makes s the state.
func (c *Client) publish(s *State) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state.Store(s)
	for _, f := range c.subscribers {
		f(s)
	}
	select {
	case c.dirty <- struct{}{}:
	default:
	}
}

// apply brings one message of the orchestrator into the state. What comes in several messages, a snapshot or many changes, counts when it
// is whole; part is what there is of it so far.
func (c *Client) apply(m *pb.WatchResponse, part **builder) {
	if *part == nil || (*part).whole != m.Snapshot {
		from := c.state.Load()
		if m.Snapshot {
			from = emptyState()
		}
		*part = newBuilder(from)
		(*part).whole = m.Snapshot
	}
	b := *part
	b.apply(m.Changes)
	if m.More {
		return
	}
	*part = nil
	if !m.Snapshot && b.idle() {
		return // nothing but a sign of life
	}
	s := b.state(m.Cluster, m.Revision, m.Snapshot)
	if err := s.PolicyProblems(); err != nil && (m.Snapshot || s.changes.Policies) {
		c.cfg.Log.Error("policies that this router does not understand do not hold here", "err", err)
	}
	c.publish(s)
}

// tidy is what an error of the API says, without the protocol's words, and of a kind that callers can tell.
func tidy(err error) error {
	var e *connect.Error
	if !errors.As(err, &e) {
		return err
	}
	switch e.Code() {
	case connect.CodeAlreadyExists:
		return fmt.Errorf("%s: %w", e.Message(), ErrConflict)
	case connect.CodeInvalidArgument:
		return fmt.Errorf("%s: %w", e.Message(), ErrInvalid)
	case connect.CodeNotFound:
		return fmt.Errorf("%s: %w", e.Message(), ErrNotFound)
	case connect.CodeResourceExhausted:
		return fmt.Errorf("%s: %w", e.Message(), ErrExhausted)
	case connect.CodeUnavailable, connect.CodeDeadlineExceeded:
		return fmt.Errorf("%s: %w", e.Message(), ErrUnreachable)
	}
	return fmt.Errorf("%s", e.Message())
}
