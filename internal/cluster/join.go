package cluster

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"connectrpc.com/connect"

	pb "github.com/freeflow-rdma/freeflow/api/freeflow/v1"
	"github.com/freeflow-rdma/freeflow/internal/orchestrator/ca"
)

// Join makes this machine a host of the cluster and keeps what proves it in cfg.Dir. It does nothing if the
// directory has that already: for the same host and address, good for a while, and of the token's cluster if a
// token is given. Each of cfg.URLs is tried in turn.
func Join(ctx context.Context, cfg Config) error {
	if c, err := loadCredentials(cfg.Dir); err == nil && c.serves(cfg) {
		return nil
	}
	return join(ctx, cfg)
}

// serves says whether the credentials are those that joining would give.
func (c *credentials) serves(cfg Config) bool {
	if c.holder.Name != cfg.Host || c.holder.Underlay != cfg.Underlay || time.Now().After(c.cert.NotAfter) {
		return false
	}
	token, err := ca.ParseToken(cfg.Token)
	return cfg.Token == "" || err == nil && token.Fingerprint == ca.Fingerprint(c.ca)
}

func join(ctx context.Context, cfg Config) error {
	token, err := ca.ParseToken(cfg.Token)
	if err != nil {
		return err
	}
	if len(cfg.URLs) == 0 {
		return errors.New("join: no orchestrator given")
	}
	var problems []error
	for _, url := range cfg.URLs {
		c, err := joinAt(ctx, url, cfg, token)
		if err == nil {
			return c.save(cfg.Dir)
		}
		problems = append(problems, fmt.Errorf("join at %s: %w", url, tidy(err)))
	}
	return errors.Join(problems...)
}

func joinAt(ctx context.Context, url string, cfg Config, token ca.Token) (*credentials, error) {
	e, err := newEndpoint(url, pinned(token.Fingerprint))
	if err != nil {
		return nil, err
	}
	defer e.transport.CloseIdleConnections()
	c := &credentials{}
	if old, err := loadCredentials(cfg.Dir); err == nil {
		c.key = old.key // the same host again, for the orchestrator too
	} else if c.key, err = ca.NewKey(); err != nil {
		return nil, err
	}
	csr, err := ca.Request(c.key)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*callPatience)
	defer cancel()
	answer, err := e.router.Join(ctx, connect.NewRequest(&pb.JoinRequest{
		Token: token.String(), Csr: csr, Host: cfg.Host, Underlay: cfg.Underlay.String(),
	}))
	if err != nil {
		return nil, err
	}
	return c, c.accept(answer.Msg, token)
}

// accept takes over what the orchestrator has given, and checks that it is what was asked for.
func (c *credentials) accept(answer *pb.JoinResponse, token ca.Token) error {
	var err error
	if c.ca, err = x509.ParseCertificate(answer.Ca); err != nil {
		return fmt.Errorf("authority's certificate: %w", err)
	}
	if ca.Fingerprint(c.ca) != token.Fingerprint {
		return errors.New("the authority is not the token's")
	}
	if c.cert, err = x509.ParseCertificate(answer.Certificate); err != nil {
		return fmt.Errorf("certificate: %w", err)
	}
	if err := c.cert.CheckSignatureFrom(c.ca); err != nil {
		return fmt.Errorf("certificate: %w", err)
	}
	if !c.key.PublicKey.Equal(c.cert.PublicKey) {
		return errors.New("certificate is for another key")
	}
	c.holder, err = ca.Holder(c.cert)
	return err
}

// pinned trusts the authority whose certificate has that hash, and nobody else.
func pinned(fingerprint string) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13, ServerName: ca.ServerName,
		InsecureSkipVerify: true, // VerifyConnection does it, with the authority that the token names
		VerifyConnection: func(s tls.ConnectionState) error {
			pool := x509.NewCertPool()
			for _, cert := range s.PeerCertificates[1:] {
				if sum := sha256.Sum256(cert.Raw); hex.EncodeToString(sum[:]) == fingerprint {
					pool.AddCert(cert)
				}
			}
			_, err := s.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: pool, DNSName: ca.ServerName})
			if err != nil {
				return fmt.Errorf("this is not the cluster that the join token is for: %w", err)
			}
			return nil
		},
	}
}
