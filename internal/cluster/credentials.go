package cluster

import (
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/freeflow-rdma/freeflow/internal/orchestrator/ca"
)

// credentials are what a host has joined with: the files ca.crt, router.crt and router.key.
type credentials struct {
	ca     *x509.Certificate
	cert   *x509.Certificate
	key    *ecdsa.PrivateKey
	holder ca.Identity
}

const (
	caFile   = "ca.crt"
	certFile = "router.crt"
	keyFile  = "router.key"
)

func loadCredentials(dir string) (*credentials, error) {
	var c credentials
	text, err := os.ReadFile(filepath.Join(dir, caFile))
	if err != nil {
		return nil, fmt.Errorf("credentials: %w", err)
	}
	if c.ca, err = ca.ParseCert(text); err != nil {
		return nil, err
	}
	if text, err = os.ReadFile(filepath.Join(dir, certFile)); err != nil {
		return nil, fmt.Errorf("credentials: %w", err)
	}
	if c.cert, err = ca.ParseCert(text); err != nil {
		return nil, err
	}
	if text, err = os.ReadFile(filepath.Join(dir, keyFile)); err != nil {
		return nil, fmt.Errorf("credentials: %w", err)
	}
	if c.key, err = ca.ParseKey(text); err != nil {
		return nil, err
	}
	if !c.key.PublicKey.Equal(c.cert.PublicKey) {
		return nil, errors.New("credentials: certificate and key do not belong together")
	}
	c.holder, err = ca.Holder(c.cert)
	return &c, err
}

// save writes the files; the certificate last, so that what is half written is not taken for whole.
func (c *credentials) save(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("credentials: %w", err)
	}
	for _, f := range []struct {
		name string
		text []byte
	}{{caFile, ca.EncodeCert(c.ca.Raw)}, {keyFile, ca.EncodeKey(c.key)}, {certFile, ca.EncodeCert(c.cert.Raw)}} {
		if err := writeFile(filepath.Join(dir, f.name), f.text); err != nil {
			return fmt.Errorf("credentials: %w", err)
		}
	}
	return nil
}

// writeFile replaces a file as a whole.
func writeFile(path string, text []byte) error {
	if err := os.WriteFile(path+".new", text, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// tlsConfig is for connections to the cluster's orchestrators; current is asked at each handshake.
func (c *credentials) tlsConfig(current func() *credentials) *tls.Config {
	pool := x509.NewCertPool()
	pool.AddCert(c.ca)
	return &tls.Config{
		MinVersion: tls.VersionTLS13, RootCAs: pool, ServerName: ca.ServerName,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			now := current()
			return &tls.Certificate{Certificate: [][]byte{now.cert.Raw}, PrivateKey: now.key, Leaf: now.cert}, nil
		},
	}
}
