package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/freeflow-rdma/freeflow/internal/orchestrator/etcd"
)

// Server is a running orchestrator.
type Server struct {
	Store *Store

	cfg         Config
	front       *front
	addr        net.Addr // nil: no TCP
	metricsAddr net.Addr // nil: /metrics is served with the API alone
	servers     []*http.Server
	cancel      context.CancelFunc
	closers     []func()       // in the order of opening
	active      sync.WaitGroup // requests, and the mirror
	done        chan struct{}
	once        sync.Once

	mu      sync.Mutex
	err     error
	closing bool
}

// Start starts an orchestrator; it serves until Close, or until ctx ends. When Start returns, it answers.
func Start(ctx context.Context, cfg Config) (*Server, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	s := &Server{cfg: cfg, cancel: cancel, done: make(chan struct{})}
	if err := s.start(ctx); err != nil {
		s.shut()
		return nil, err
	}
	go func() {
		<-ctx.Done()
		s.shut()
		close(s.done)
	}()
	return s, nil
}

func (s *Server) start(ctx context.Context) error {
	if err := os.MkdirAll(s.cfg.DataDir, 0o700); err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	unlock, err := etcd.Lock(s.cfg.DataDir)
	if err != nil {
		return err
	}
	s.closers = append(s.closers, unlock)
	client, err := s.openEtcd(ctx)
	if err != nil {
		return err
	}
	if s.Store, err = openStore(ctx, client, s.cfg, &s.active); err != nil {
		return err
	}
	if err := s.openFront(ctx); err != nil {
		return err
	}
	if err := writeCredentials(s.cfg.DataDir, s.Store.ca, time.Now()); err != nil {
		return err
	}
	return s.listen()
}

// openEtcd opens the store: inside this process, or elsewhere.
func (s *Server) openEtcd(ctx context.Context) (*clientv3.Client, error) {
	if len(s.cfg.EtcdEndpoints) == 0 {
		e, err := etcd.Embed(ctx, s.cfg.DataDir+"/etcd", s.cfg.Log)
		if err != nil {
			return nil, err
		}
		s.closers = append(s.closers, e.Close)
		go func() {
			if err := <-e.Err(); err != nil {
				s.fail(fmt.Errorf("etcd has ended: %w", err))
			}
		}()
		return e.Client, nil
	}
	client, err := etcd.Dial(etcd.Remote{
		Endpoints: s.cfg.EtcdEndpoints, TLS: s.cfg.EtcdTLS, User: s.cfg.EtcdUser, Password: s.cfg.EtcdPassword, Log: s.cfg.Log,
	})
	if err != nil {
		return nil, err
	}
	s.closers = append(s.closers, func() { client.Close() })
	return client, nil
}

// Addr is the TCP address that the API is served on; nil if there is none.
func (s *Server) Addr() net.Addr { return s.addr }

// SocketPath is the operators' Unix socket.
func (s *Server) SocketPath() string { return SocketPath(s.cfg.DataDir) }

// RouterURL is where a router on the same machine reaches the orchestrator, TCP or not.
func (s *Server) RouterURL() string { return "unix:" + RouterSocketPath(s.cfg.DataDir) }

// CreateToken makes a join token; ttl 0 is the default.
func (s *Server) CreateToken(ctx context.Context, ttl time.Duration, singleUse bool) (string, error) {
	token, _, err := s.Store.CreateToken(ctx, ttl, singleUse)
	if err != nil {
		return "", err
	}
	return token.String(), nil
}

// Done is closed when the orchestrator has ended, by Close or because etcd or a listener did.
func (s *Server) Done() <-chan struct{} { return s.done }

// Err is why it has ended by itself; nil if it has not.
func (s *Server) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

func (s *Server) fail(err error) {
	s.mu.Lock()
	if s.err == nil {
		s.err = err
	}
	s.mu.Unlock()
	s.cancel()
}

// Close ends the orchestrator. What it decided stays in etcd.
func (s *Server) Close() error {
	s.cancel()
	<-s.done
	return s.Err()
}

// shut closes everything, last opened first.
func (s *Server) shut() {
	s.once.Do(func() {
		s.cancel()
		s.mu.Lock()
		s.closing = true
		s.mu.Unlock()
		for _, h := range s.servers {
			h.Close()
		}
		s.active.Wait() // nobody asks etcd any more
		for i := len(s.closers) - 1; i >= 0; i-- {
			s.closers[i]()
		}
	})
}

// serve runs one HTTP server until Close.
func (s *Server) serve(h *http.Server, what string, run func() error) {
	s.servers = append(s.servers, h)
	go func() {
		if err := run(); err != nil && !errors.Is(err, http.ErrServerClosed) {
			s.fail(fmt.Errorf("%s: %w", what, err))
		}
	}()
}
