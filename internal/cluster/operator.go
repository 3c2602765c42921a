package cluster

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"

	"github.com/freeflow-rdma/freeflow/api/freeflow/v1/freeflowv1connect"
	"github.com/freeflow-rdma/freeflow/internal/orchestrator/ca"
)

// Operator calls the orchestrator as an operator.
type Operator struct {
	freeflowv1connect.ClusterServiceClient
	services
	transport *http.Transport
}

// OpenOperator reaches the orchestrator of this machine by its Unix socket, with no further credentials.
func OpenOperator(socket string) *Operator {
	t := target{"unix", socket, "http://" + ca.ServerName}
	return newOperator(t, nil)
}

// OpenRemoteOperator reaches an orchestrator by its URL, with ca.crt, client.crt and client.key of a directory, which `freeflow token create
// --certificate` makes, or with ca.crt, admin.crt and admin.key, which every orchestrator leaves in its data directory.
func OpenRemoteOperator(url, credentials string) (*Operator, error) {
	t, err := parseURL(url)
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(filepath.Join(credentials, caFile))
	if err != nil {
		return nil, fmt.Errorf("operator's credentials: %w", err)
	}
	authority, err := ca.ParseCert(text)
	if err != nil {
		return nil, err
	}
	cert, err := tls.LoadX509KeyPair(filepath.Join(credentials, "client.crt"), filepath.Join(credentials, "client.key"))
	if errors.Is(err, fs.ErrNotExist) {
		cert, err = tls.LoadX509KeyPair(filepath.Join(credentials, "admin.crt"), filepath.Join(credentials, "admin.key"))
	}
	if err != nil {
		return nil, fmt.Errorf("operator's credentials: %w", err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(authority)
	return newOperator(t, &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: pool, ServerName: ca.ServerName, Certificates: []tls.Certificate{cert}}), nil
}

func newOperator(t target, config *tls.Config) *Operator {
	transport := newTransport(t, config)
	return newOperatorWith(&http.Client{Transport: transport}, transport, t.base)
}

func newOperatorWith(client *http.Client, transport *http.Transport, base string) *Operator {
	return &Operator{freeflowv1connect.NewClusterServiceClient(client, base), newServices(client, base), transport}
}

// Close gives the connection back.
func (o *Operator) Close() { o.transport.CloseIdleConnections() }
