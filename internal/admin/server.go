package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/freeflow-rdma/freeflow/internal/pcap"
)

// maxRequest bounds a request's body.
const maxRequest = 1 << 20

// Server answers on the admin socket of one run directory.
type Server struct {
	backend Backend
	log     *slog.Logger
	path    string
	l       net.Listener
	lock    *os.File
	http    http.Server

	stopping chan struct{} // closed when the server, not its clients, ends the leases

	mu     sync.Mutex
	leases map[string]*lease
	peers  map[net.Conn]credentials
}

// lease ties a container to the connection that registered it.
type lease struct {
	id    string
	pid   int
	once  sync.Once
	ended chan struct{} // closed when the container has been unregistered
}

// Listen opens the admin socket in runDir, which exists. It fails if another router serves it.
func Listen(runDir string, backend Backend, log *slog.Logger) (*Server, error) {
	l, lock, err := listen(runDir)
	if err != nil {
		return nil, err
	}
	s := &Server{
		backend: backend, log: log, path: SocketPath(runDir), l: l, lock: lock,
		stopping: make(chan struct{}),
		leases:   make(map[string]*lease),
		peers:    make(map[net.Conn]credentials),
	}
	s.http = http.Server{
		Handler:           s.routes(),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       10 * time.Second,
		ConnContext:       s.accept,
		ConnState:         s.connState,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	return s, nil
}

// Serve answers until ctx ends. Containers that live then are not unregistered: their processes go on,
// and register again with the next router.
func (s *Server) Serve(ctx context.Context) error {
	fault := make(chan error, 1)
	go func() { fault <- s.http.Serve(s.l) }()
	var err error
	select {
	case <-ctx.Done():
	case err = <-fault:
		err = fmt.Errorf("serve admin socket %s: %w", s.path, err)
	}
	close(s.stopping)
	grace, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if s.http.Shutdown(grace) != nil {
		s.http.Close()
	}
	os.Remove(s.path)
	s.lock.Close()
	return err
}

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/status", func(w http.ResponseWriter, _ *http.Request) { reply(w, s.backend.Status()) })
	mux.HandleFunc("GET /v1/containers", list(s.backend.Containers))
	mux.HandleFunc("GET /v1/qps", list(s.backend.QPs))
	mux.HandleFunc("GET /v1/mrs", list(s.backend.MRs))
	mux.HandleFunc("GET /v1/cm-ids", list(s.backend.CMIDs))
	mux.HandleFunc("GET /v1/networks", list(s.backend.Networks))
	mux.HandleFunc("GET /v1/hosts", list(s.backend.Hosts))
	mux.HandleFunc("GET /v1/counters", list(s.backend.Counters))
	mux.HandleFunc("GET /v1/capture", s.capture)
	mux.HandleFunc("POST /v1/containers", s.register)
	mux.HandleFunc("DELETE /v1/containers/{id}", s.release)
	return s.authorise(mux)
}

type credentialsKey struct{}

// accept records who connected, before any request is read.
func (s *Server) accept(ctx context.Context, conn net.Conn) context.Context {
	c := peerCredentials(conn)
	s.mu.Lock()
	s.peers[conn] = c
	s.mu.Unlock()
	return context.WithValue(ctx, credentialsKey{}, c)
}

func (s *Server) connState(conn net.Conn, state http.ConnState) {
	if state != http.StateClosed {
		return
	}
	s.mu.Lock()
	c, ok := s.peers[conn]
	delete(s.peers, conn)
	s.mu.Unlock()
	if ok {
		c.close()
	}
}

func (s *Server) authorise(next http.Handler) http.Handler {
	own := uint32(os.Getuid())
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, ok := r.Context().Value(credentialsKey{}).(credentials)
		switch {
		case !ok || c.err != nil:
			fail(w, fmt.Errorf("the peer's credentials are unknown: %w", ErrForbidden))
		case c.uid != 0 && c.uid != own:
			fail(w, fmt.Errorf("user %d may not use the admin socket: %w", c.uid, ErrForbidden))
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// capture shows packets until the client has enough, or the server ends.
func (s *Server) capture(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	go func() {
		select {
		case <-s.stopping:
			cancel()
		case <-ctx.Done():
		}
	}()
	pcap.Serve(w, r.WithContext(ctx), s.backend.Tap())
}

// register makes a container and holds the response open for as long as it lives.
func (s *Server) register(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
	if err != nil {
		fail(w, fmt.Errorf("read request: %w: %w", err, ErrInvalid))
		return
	}
	var spec ContainerSpec
	if err := json.Unmarshal(body, &spec); err != nil {
		fail(w, fmt.Errorf("decode request: %w: %w", err, ErrInvalid))
		return
	}
	info, l, err := s.add(r.Context(), spec)
	if err != nil {
		fail(w, err)
		return
	}
	reply(w, info)
	http.NewResponseController(w).Flush()
	select {
	case <-s.stopping:
		return
	case <-l.ended:
	case <-r.Context().Done():
		// The server's own end also ends the request; then the container lives on.
		select {
		case <-s.stopping:
			return
		default:
		}
	}
	s.end(l)
}

func (s *Server) add(ctx context.Context, spec ContainerSpec) (ContainerInfo, *lease, error) {
	c := ctx.Value(credentialsKey{}).(credentials)
	ns, err := c.namespace()
	if err != nil {
		return ContainerInfo{}, nil, err
	}
	info, err := s.backend.RegisterContainer(ctx, Peer{PID: c.pid, UID: c.uid, NetNS: ns}, spec)
	if err != nil {
		ns.Close()
		return ContainerInfo{}, nil, err
	}
	l := &lease{id: info.ID, pid: c.pid, ended: make(chan struct{})}
	s.mu.Lock()
	s.leases[l.id] = l
	s.mu.Unlock()
	return info, l, nil
}

// release ends a lease on its holder's word, and answers when nothing of the container is left.
func (s *Server) release(w http.ResponseWriter, r *http.Request) {
	c := r.Context().Value(credentialsKey{}).(credentials)
	s.mu.Lock()
	l, ok := s.leases[r.PathValue("id")]
	s.mu.Unlock()
	if !ok {
		fail(w, fmt.Errorf("there is no container %s: %w", r.PathValue("id"), ErrNotFound))
		return
	}
	if l.pid != c.pid {
		fail(w, fmt.Errorf("container %s belongs to process %d: %w", l.id, l.pid, ErrForbidden))
		return
	}
	s.end(l)
	w.WriteHeader(http.StatusNoContent)
}

// end unregisters the container once; every caller waits until that is done.
func (s *Server) end(l *lease) {
	l.once.Do(func() {
		s.backend.UnregisterContainer(l.id)
		s.mu.Lock()
		delete(s.leases, l.id)
		s.mu.Unlock()
		close(l.ended)
	})
}
