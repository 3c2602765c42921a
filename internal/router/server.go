package router

import (
	"crypto/subtle"
	"errors"
	"log/slog"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/freeflow-rdma/freeflow/internal/fdconn"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
	"github.com/freeflow-rdma/freeflow/internal/vnet"
)

// Limits on what clients can take: connections, and contexts, of a container; and connections of processes that are in none.
const (
	maxPerContainer = 4096
	maxStrangers    = 64
)

// filesPerContext is about how many descriptors the router has for a process with an open device; shareOfFiles is the part of
// all of them that one container may take.
const (
	filesPerContext = 16
	shareOfFiles    = 4
)

// perContainer is the limit where that many files can be open.
func perContainer(files uint64) int {
	return int(min(maxPerContainer, max(1, files/(filesPerContext*shareOfFiles))))
}

// acceptPause is how long the router waits when it is out of descriptors or memory.
const acceptPause = 100 * time.Millisecond

// server knows who is connected. Its methods may be called from any goroutine.
type server struct {
	dev   Device
	cm    cmDevice
	log   *slog.Logger
	limit int // sessions, and contexts, of a container

	mu        sync.Mutex
	closed    bool
	tenants   map[vnet.NamespaceID]*tenant
	contexts  map[uint64]*shared
	strangers *tenant // whoever is in no container
}

// tenant is a container and its sessions. The server's lock guards all but the container.
type tenant struct {
	container *verbs.Container // nil of the strangers
	netns     vnet.NamespaceID
	limit     int
	gone      bool
	sessions  map[*session]struct{}
	contexts  int
	running   sync.WaitGroup // its sessions
}

func newTenant(c *verbs.Container, netns vnet.NamespaceID, limit int) *tenant {
	return &tenant{container: c, netns: netns, limit: limit, sessions: make(map[*session]struct{})}
}

func newServer(dev Device, cm cmDevice, log *slog.Logger) *server {
	return &server{
		dev: dev, cm: cm, log: log, limit: maxPerContainer,
		tenants:   make(map[vnet.NamespaceID]*tenant),
		contexts:  make(map[uint64]*shared),
		strangers: newTenant(nil, vnet.NamespaceID{}, maxStrangers),
	}
}

// serve accepts connections until the listener is closed.
func (s *server) serve(l *fdconn.Listener) {
	for {
		conn, err := l.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			s.log.Warn("cannot accept a connection", "error", err)
			time.Sleep(acceptPause)
		default:
			s.start(conn)
		}
	}
}

// start gives the connection a session, if its process' container has room for one.
func (s *server) start(conn *fdconn.Conn) {
	peer, err := conn.Peer()
	if err != nil {
		s.log.Debug("refused a connection", "error", err)
		conn.Close()
		return
	}
	netns, err := namespaceOf(peer)
	if err != nil {
		s.log.Debug("refused a connection", "pid", peer.PID, "error", err)
	}
	ses := &session{server: s, conn: conn, peer: peer}
	if err != nil || !s.enter(ses, netns) {
		peer.Close()
		conn.Close()
		return
	}
	go func() {
		defer s.leave(ses)
		ses.run()
	}()
}

// enter takes a session in. False: there is no room.
func (s *server) enter(ses *session, netns vnet.NamespaceID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tenants[netns]
	if t == nil {
		t = s.strangers
	}
	if s.closed || len(t.sessions) >= t.limit {
		return false
	}
	t.sessions[ses] = struct{}{}
	t.running.Add(1)
	ses.tenant = t
	return true
}

func (s *server) leave(ses *session) {
	s.mu.Lock()
	delete(ses.tenant.sessions, ses)
	s.mu.Unlock()
	ses.tenant.running.Done()
}

// addTenant lets processes in the namespace use the device as the container.
func (s *server) addTenant(c *verbs.Container, netns vnet.NamespaceID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tenants[netns] = newTenant(c, netns, s.limit)
}

// removeTenant ends the container's sessions. When it returns, none of its contexts is left.
func (s *server) removeTenant(c *verbs.Container) {
	s.mu.Lock()
	var gone *tenant
	for _, t := range s.tenants {
		if t.container == c {
			gone = t
		}
	}
	if gone != nil {
		s.end(gone)
	}
	s.mu.Unlock()
	if gone != nil {
		gone.running.Wait()
	}
}

// end tells the tenant's programs that the device is lost, and closes their connections. Under s.mu.
func (s *server) end(t *tenant) {
	t.gone = true
	delete(s.tenants, t.netns)
	for _, c := range s.contexts {
		if c.tenant == t {
			c.Fatal()
		}
	}
	for ses := range t.sessions {
		ses.conn.Close()
	}
}

// close ends all sessions and takes no more.
func (s *server) close() {
	s.mu.Lock()
	s.closed = true
	ended := []*tenant{s.strangers}
	s.end(s.strangers)
	for _, t := range s.tenants {
		ended = append(ended, t)
		s.end(t)
	}
	s.mu.Unlock()
	for _, t := range ended {
		t.running.Wait()
	}
}

// open makes a context of the tenant's with one session in it.
func (s *server) open(t *tenant) (*shared, error) {
	s.mu.Lock()
	full := t.contexts >= t.limit
	if !full {
		t.contexts++
	}
	s.mu.Unlock()
	if full {
		return nil, syscall.EMFILE
	}
	ctx, err := s.dev.OpenContext(t.container)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		t.contexts--
		return nil, err
	}
	c := &shared{Context: ctx, tenant: t, refs: 1}
	s.contexts[ctx.ID()] = c
	return c, nil
}

// join takes another session into a context, if it is of the same tenant and knows the context's secret.
func (s *server) join(t *tenant, id uint64, token fdconn.Token) (*shared, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, ok := s.contexts[id]
	if !ok || c.tenant != t {
		return nil, syscall.EACCES
	}
	secret := c.Token()
	if subtle.ConstantTimeCompare(secret[:], token[:]) != 1 {
		return nil, syscall.EACCES
	}
	c.refs++
	return c, nil
}

// release takes a session out of a context, and closes the context after the last. A context that is being closed cannot be joined;
// its place in the tenant's count is free only when it is closed.
func (s *server) release(c *shared) {
	s.mu.Lock()
	c.refs--
	last := c.refs == 0
	if last {
		delete(s.contexts, c.ID())
	}
	s.mu.Unlock()
	if !last {
		return
	}
	c.Close()
	s.mu.Lock()
	c.tenant.contexts--
	s.mu.Unlock()
}
