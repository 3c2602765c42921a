package cluster

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"

	"connectrpc.com/connect"

	pb "github.com/freeflow-rdma/freeflow/api/freeflow/v1"
	"github.com/freeflow-rdma/freeflow/api/freeflow/v1/freeflowv1connect"
	"github.com/freeflow-rdma/freeflow/internal/orchestrator/ca"
)

// ReportUsage tells the orchestrator that answers now what the containers of this host use. ErrUnreachable: none does.
func (c *Client) ReportUsage(ctx context.Context, r *pb.UsageReport) (*pb.UsageReportAnswer, error) {
	s := c.live.Load()
	if s == nil {
		return nil, ErrUnreachable
	}
	answer, err := freeflowv1connect.NewUsageServiceClient(&http.Client{Transport: s.e.transport}, s.e.base).Report(ctx, connect.NewRequest(r))
	if err != nil {
		return nil, tidy(err)
	}
	return answer.Msg, nil
}

// services are what an operator can call beside ClusterService.
type services struct {
	Usage  freeflowv1connect.UsageServiceClient
	Audit  freeflowv1connect.AuditServiceClient
	Access freeflowv1connect.AccessServiceClient
}

func newServices(client connect.HTTPClient, base string) services {
	return services{
		freeflowv1connect.NewUsageServiceClient(client, base), freeflowv1connect.NewAuditServiceClient(client, base),
		freeflowv1connect.NewAccessServiceClient(client, base),
	}
}

// OpenTokenOperator reaches an orchestrator by its URL with a token of a role. The token names the authority to believe, so no file is needed.
func OpenTokenOperator(url, token string) (*Operator, error) {
	t, err := parseURL(url)
	if err != nil {
		return nil, err
	}
	parsed, err := ca.ParseToken(token)
	if err != nil {
		return nil, err
	}
	config := &tls.Config{
		MinVersion: tls.VersionTLS13, ServerName: ca.ServerName,
		InsecureSkipVerify: true, // the chain is checked below, against the authority that the token names
		VerifyConnection:   func(s tls.ConnectionState) error { return signedBy(parsed.Fingerprint, s.PeerCertificates) },
	}
	transport := newTransport(t, config)
	return newOperatorWith(&http.Client{Transport: bearer{transport, parsed.String()}}, transport, t.base), nil
}

// signedBy says whether a chain is an orchestrator's, under the authority with that fingerprint, which has to be in it.
func signedBy(fingerprint string, chain []*x509.Certificate) error {
	for _, cert := range chain[min(1, len(chain)):] {
		sum := sha256.Sum256(cert.Raw)
		if hex.EncodeToString(sum[:]) != fingerprint {
			continue
		}
		roots := x509.NewCertPool()
		roots.AddCert(cert)
		if _, err := chain[0].Verify(x509.VerifyOptions{DNSName: ca.ServerName, Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}); err != nil {
			return fmt.Errorf("orchestrator: %w", err)
		}
		return nil
	}
	return errors.New("orchestrator: it is not the one that the token is for")
}

// bearer gives a token with each request.
type bearer struct {
	next  http.RoundTripper
	token string
}

// RoundTrip is part of http.RoundTripper.
func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+b.token)
	return b.next.RoundTrip(r)
}
