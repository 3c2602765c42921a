package orchestrator

import (
	"crypto/tls"
	"errors"
	"fmt"
	stdlog "log"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/freeflow-rdma/freeflow/internal/orchestrator/ca"
)

// Bounds of what a stranger can make the server do.
const (
	maxRequest     = 4 << 20
	maxHeader      = 16 << 10
	headerPatience = 10 * time.Second
	idlePatience   = 2 * time.Minute
	maxStreams     = 1000 // in one connection
)

// listen opens the sockets: the operators' and the routers' Unix sockets, and TCP.
func (s *Server) listen() error {
	handler := s.handler()
	local, err := listenUnix(SocketPath(s.cfg.DataDir))
	if err != nil {
		return err
	}
	plain := s.httpServer(handler)
	plain.ConnContext = markLocal
	plain.Protocols.SetUnencryptedHTTP2(true)
	s.serve(plain, "operators' socket", func() error { return plain.Serve(local) })

	secure := s.httpServer(handler)
	if secure.TLSConfig, err = s.tlsConfig(); err != nil {
		return err
	}
	routers, err := listenUnix(RouterSocketPath(s.cfg.DataDir))
	if err != nil {
		return err
	}
	s.serve(secure, "routers' socket", func() error { return secure.ServeTLS(routers, "", "") })
	if err := s.listenMetrics(); err != nil {
		return err
	}
	if s.cfg.Listen == "none" {
		return nil
	}
	l, err := net.Listen("tcp", s.cfg.Listen)
	if errors.Is(err, syscall.EADDRINUSE) && s.cfg.ListenOptional {
		s.cfg.Log.Warn("the orchestrator's address is taken: it serves this machine only", "listen", s.cfg.Listen)
		return nil
	}
	if err != nil {
		return fmt.Errorf("--listen: %w", err)
	}
	s.addr = l.Addr()
	s.serve(secure, "API", func() error { return secure.ServeTLS(l, "", "") })
	return nil
}

// count keeps etcd open until the last request has ended, and begins none after that.
func (s *Server) count(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		closing := s.closing
		if !closing {
			s.active.Add(1)
		}
		s.mu.Unlock()
		if closing {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		defer s.active.Done()
		next.ServeHTTP(w, r)
	})
}

func (s *Server) httpServer(h http.Handler) *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	return &http.Server{
		Handler: h, Protocols: protocols, ReadHeaderTimeout: headerPatience, IdleTimeout: idlePatience, MaxHeaderBytes: maxHeader,
		HTTP2:    &http.HTTP2Config{MaxConcurrentStreams: maxStreams, SendPingTimeout: 15 * time.Second, PingTimeout: 15 * time.Second},
		ErrorLog: stdlog.New(&slogWriter{s.cfg.Log}, "", 0),
	}
}

// slogWriter takes what net/http logs, such as strangers' handshakes: of interest only to who looks closely.
type slogWriter struct{ log *slog.Logger }

func (w *slogWriter) Write(line []byte) (int, error) {
	w.log.Debug("http: " + strings.TrimSpace(string(line)))
	return len(line), nil
}

// listenUnix opens a socket that root alone can use. One that is left over is removed: the data directory's lock is ours.
func listenUnix(path string) (net.Listener, error) {
	if len(path) >= len(syscall.RawSockaddrUnix{}.Path) {
		return nil, fmt.Errorf("%s: too long for the path of a socket: choose a shorter --data-dir", path)
	}
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		return nil, fmt.Errorf("socket: %w", err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("socket: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return nil, fmt.Errorf("socket: %w", err)
	}
	return l, nil
}

// tlsConfig makes the server's certificate, and another one before it expires.
func (s *Server) tlsConfig() (*tls.Config, error) {
	own := &serverCert{store: s.Store, subject: s.subject()}
	if _, err := own.get(nil); err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS13, GetCertificate: own.get,
		ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: s.Store.ca.Pool(),
	}, nil
}

// subject holds all by which people may reach this orchestrator. FreeFlow's own clients need only ca.ServerName.
func (s *Server) subject() ca.Subject {
	subject := ca.Subject{Identity: ca.Identity{Role: ca.RoleOrchestrator, Name: "orchestrator"}, Lifetime: ca.Lifetime, Names: []string{"localhost"}}
	if name, err := os.Hostname(); err == nil && ca.CheckHostName(name) == nil {
		subject.Name, subject.Names = name, append(subject.Names, name)
	}
	host, _, _ := net.SplitHostPort(s.cfg.Listen)
	for _, name := range append([]string{"127.0.0.1", host}, s.cfg.Advertise...) {
		if addr, err := netip.ParseAddr(name); err == nil {
			subject.Addresses = append(subject.Addresses, addr)
		} else if name != "" {
			subject.Names = append(subject.Names, name)
		}
	}
	return subject
}

type serverCert struct {
	store   *Store
	subject ca.Subject

	mu    sync.Mutex
	cert  *tls.Certificate
	renew time.Time
}

func (c *serverCert) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if c.cert != nil && now.Before(c.renew) {
		return c.cert, nil
	}
	key, err := ca.NewKey()
	if err != nil {
		return nil, err
	}
	der, err := c.store.ca.Sign(c.subject, key.Public(), now)
	if err != nil {
		return nil, err
	}
	// The authority's certificate goes along: a host that joins has only its hash.
	c.cert = &tls.Certificate{Certificate: [][]byte{der, c.store.ca.Cert.Raw}, PrivateKey: key}
	c.renew = now.Add(c.subject.Lifetime * 2 / 3)
	return c.cert, nil
}

// writeCredentials leaves ca.crt, admin.crt and admin.key for operators, made anew at each start.
func writeCredentials(dir string, a *ca.Authority, now time.Time) error {
	key, err := ca.NewKey()
	if err != nil {
		return err
	}
	der, err := a.Sign(ca.Subject{Identity: ca.Identity{Role: ca.RoleAdmin, Name: "admin"}, Lifetime: ca.AdminLifetime}, key.Public(), now)
	if err != nil {
		return err
	}
	for name, text := range map[string][]byte{"ca.crt": ca.EncodeCert(a.Cert.Raw), "admin.crt": ca.EncodeCert(der), "admin.key": ca.EncodeKey(key)} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path+".new", text, 0o600); err != nil {
			return fmt.Errorf("credentials: %w", err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			return fmt.Errorf("credentials: %w", err)
		}
	}
	return nil
}
