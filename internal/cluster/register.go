package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"connectrpc.com/connect"

	pb "github.com/freeflow-rdma/freeflow/api/freeflow/v1"
)

// Registration is a container that starts.
type Registration struct {
	Name
	IP        netip.Addr // wanted; the zero address: the one it had before, or any
	Instance  string     // the router's ID of this run
	Ephemeral bool       // nobody chose the name: its address is free when it stops
	Mode      string
	Labels    map[string]string
}

// Assigned is what a container was given.
type Assigned struct {
	Name
	IP      netip.Addr
	Network Network
}

// ownContainers are this host's registrations, in memory and on disk.
type ownContainers struct {
	// during is held for reading while a container registers or unregisters, and for writing while all of them
	// are told at once: what is told then is what there is.
	during sync.RWMutex

	mu   sync.Mutex
	list map[Name]*pb.RegisterContainerRequest
}

func (o *ownContainers) load(dir string) error {
	o.list = make(map[Name]*pb.RegisterContainerRequest)
	var m pb.SyncContainersRequest
	_, err := readMessage(dir, registeredFile, &m)
	for _, r := range m.Containers {
		o.list[Name{r.Network, r.Name}] = r
	}
	return err
}

// set notes a registration, or its end if r is nil and the instance is the one.
func (o *ownContainers) set(dir string, n Name, instance string, r *pb.RegisterContainerRequest) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch old := o.list[n]; {
	case r != nil:
		o.list[n] = r
	case old == nil || old.Instance != instance:
		return nil
	default:
		delete(o.list, n)
	}
	return writeMessage(dir, registeredFile, &pb.SyncContainersRequest{Containers: slices.Collect(maps.Values(o.list))})
}

func (o *ownContainers) all() []*pb.RegisterContainerRequest {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Collect(maps.Values(o.list))
}

// Registered lists this host's registrations, those of the router before this one included.
func (c *Client) Registered() []Registration {
	var list []Registration
	for _, r := range c.own.all() {
		ip, _ := netip.ParseAddr(r.Ip)
		list = append(list, Registration{Name{r.Network, r.Name}, ip, r.Instance, r.Ephemeral, r.Mode, r.Labels})
	}
	return list
}

// registerPatience is how long a container waits for an orchestrator to come.
const registerPatience = 3 * time.Second

// Register says that a container starts here, and returns its address.
func (c *Client) Register(ctx context.Context, r Registration) (Assigned, error) {
	m := &pb.RegisterContainerRequest{
		Network: r.Network, Name: r.Name.Name, Instance: r.Instance, Ephemeral: r.Ephemeral, Mode: r.Mode, Labels: maps.Clone(r.Labels),
	}
	if r.IP.IsValid() {
		m.Ip = r.IP.String()
	}
	if err := c.informed(ctx); err != nil {
		return Assigned{}, fmt.Errorf("container %s: %w", r.Name, err)
	}
	if a, err := c.known(r, ErrUnreachable); err == nil && c.alone.Load() {
		return c.registerAlone(a, r, m)
	}
	var a Assigned
	err := ask(ctx, c, registerPatience, m, func(e *endpoint) rpc[pb.RegisterContainerRequest, pb.RegisterContainerResponse] {
		return e.router.RegisterContainer
	}, func(answer *pb.RegisterContainerResponse) (err error) {
		if a, err = assigned(answer); err != nil {
			return err
		}
		m.Ip = a.IP.String()
		return c.own.set(c.cfg.Dir, r.Name, r.Instance, m)
	})
	if errors.Is(err, ErrUnreachable) {
		if a, err = c.known(r, err); err == nil {
			a, err = c.registerAlone(a, r, m)
		}
	}
	if err != nil {
		return Assigned{}, fmt.Errorf("container %s: %w", r.Name, err)
	}
	return a, nil
}

// informed waits until there is a state, if there has never been one: no container is to start before its policies are here.
func (c *Client) informed(ctx context.Context) error {
	patient, cancel := context.WithTimeout(ctx, registerPatience)
	defer cancel()
	for c.State().Revision == 0 {
		if !sleep(patient, time.Millisecond) {
			return cmp.Or(ctx.Err(), ErrUnreachable)
		}
	}
	return nil
}

// registerAlone starts a container without an orchestrator; the next one that answers is told.
func (c *Client) registerAlone(a Assigned, r Registration, m *pb.RegisterContainerRequest) (Assigned, error) {
	m.Ip = a.IP.String()
	c.own.during.RLock()
	err := c.own.set(c.cfg.Dir, r.Name, r.Instance, m)
	c.own.during.RUnlock()
	c.restart()
	return a, err
}

func assigned(answer *pb.RegisterContainerResponse) (Assigned, error) {
	got := answer.GetContainer()
	b := newBuilder(emptyState())
	b.network(answer.GetItsNetwork())
	n := b.next.Network(got.GetNetwork())
	ip, err := netip.ParseAddr(got.GetIp())
	if err != nil || n == nil || !n.Prefix.Contains(ip) {
		return Assigned{}, errors.New("the orchestrator's answer makes no sense")
	}
	return Assigned{Name{got.Network, got.Name}, ip, *n}, nil
}

// known is what may be given without an orchestrator: to a container that was on this host, its own address.
func (c *Client) known(r Registration, why error) (Assigned, error) {
	s := c.State()
	n, had := s.Network(r.Network), s.Container(r.Name)
	if n == nil || had == nil || had.Host != c.cfg.Host {
		return Assigned{}, fmt.Errorf("%w, and this host does not know the container from before: it can start when one does", why)
	}
	if r.IP.IsValid() && r.IP != had.IP {
		return Assigned{}, fmt.Errorf("%w, and the container has had another address, %s", why, had.IP)
	}
	return Assigned{r.Name, had.IP, *n}, nil
}

// Unregister says that a container has stopped. It always succeeds: an orchestrator that does not answer is told later.
func (c *Client) Unregister(n Name, instance string) {
	c.own.during.RLock()
	err := c.own.set(c.cfg.Dir, n, instance, nil)
	c.own.during.RUnlock()
	if err != nil {
		c.cfg.Log.Warn("the end of a container cannot be kept on disk", "container", n.String(), "err", err)
	}
	if !c.Connected() {
		return // the next session begins with telling what there is
	}
	m := &pb.UnregisterContainerRequest{Network: n.Network, Name: n.Name, Instance: instance}
	err = ask(context.Background(), c, callPatience, m, func(e *endpoint) rpc[pb.UnregisterContainerRequest, pb.UnregisterContainerResponse] {
		return e.router.UnregisterContainer
	}, func(*pb.UnregisterContainerResponse) error { return nil })
	if err != nil {
		c.cfg.Log.Debug("the end of a container will be told later", "container", n.String(), "err", err)
		c.restart()
	}
}

// sync tells an orchestrator which containers run here.
func (c *Client) sync(ctx context.Context, e *endpoint) error {
	c.own.during.Lock()
	defer c.own.during.Unlock()
	ctx, cancel := context.WithTimeout(ctx, syncPatience)
	defer cancel()
	answer, err := e.router.SyncContainers(ctx, connect.NewRequest(&pb.SyncContainersRequest{Containers: c.own.all()}))
	if err != nil {
		return err
	}
	for _, l := range answer.Msg.Lost {
		n := Name{l.Network, l.Name}
		c.cfg.Log.Error("a container that runs here has lost its place", "container", n.String(), "reason", l.Reason)
		if err := c.own.set(c.cfg.Dir, n, l.Instance, nil); err != nil {
			c.cfg.Log.Warn("registrations cannot be kept on disk", "err", err)
		}
		if c.cfg.OnLost != nil {
			c.cfg.OnLost(n, l.Instance, l.Reason)
		}
	}
	return nil
}

const syncPatience = 30 * time.Second

type rpc[Q, A any] func(context.Context, *connect.Request[Q]) (*connect.Response[A], error)

// ask calls an orchestrator that answers: the one of the session, or whichever comes within that time. One that takes the call and does not
// answer (its etcd has lost a member, say, and has no leader for a moment) is asked again. The answer goes to commit before all
// containers can be told at once.
func ask[Q, A any](ctx context.Context, c *Client, patience time.Duration, q *Q, method func(*endpoint) rpc[Q, A], commit func(*A) error) error {
	patient, cancel := context.WithTimeout(ctx, patience+answerPatience)
	defer cancel()
	for alone := time.Now(); ; {
		if s := c.live.Load(); s != nil {
			alone = time.Now()
			c.own.during.RLock()
			call, done := context.WithTimeout(patient, callPatience)
			answer, err := method(s.e)(call, connect.NewRequest(q))
			done()
			if err == nil {
				err = commit(answer.Msg)
				c.own.during.RUnlock()
				return err
			}
			c.own.during.RUnlock()
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if !passing(err) {
				return tidy(err)
			}
			s.cancel(err)
		}
		if time.Since(alone) > patience || !sleep(patient, retryInterval) {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return ErrUnreachable
		}
	}
}

// Times of ask: between tries, and of all calls while somebody takes them.
const (
	retryInterval  = 50 * time.Millisecond
	answerPatience = 10 * time.Second
)

// passing says of an error that it is about the session, not about what was asked.
func passing(err error) bool {
	switch connect.CodeOf(err) {
	case connect.CodeUnavailable, connect.CodeDeadlineExceeded, connect.CodeCanceled, connect.CodeFailedPrecondition, connect.CodeUnauthenticated:
		return true
	}
	return false
}
