package cluster

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"connectrpc.com/connect"

	"github.com/freeflow-rdma/freeflow/api/freeflow/v1/freeflowv1connect"
	"github.com/freeflow-rdma/freeflow/internal/orchestrator/ca"
)

// DefaultPort is the orchestrator's.
const DefaultPort = "7470"

// Patience with an orchestrator that does not answer.
const (
	dialPatience = 3 * time.Second
	callPatience = 4 * time.Second
	pingInterval = 5 * time.Second
	pingPatience = 5 * time.Second
)

// target is where an orchestrator is.
type target struct {
	network, address string // as for net.Dial
	base             string // URL of its API
}

// parseURL reads https://HOST[:PORT], HOST[:PORT] or unix:PATH. With http:// it is TLS all the same: there is
// no orchestrator without.
func parseURL(text string) (target, error) {
	if path, ok := strings.CutPrefix(text, "unix:"); ok {
		if strings.HasPrefix(path, "///") {
			path = path[2:]
		}
		if !strings.HasPrefix(path, "/") {
			return target{}, fmt.Errorf("orchestrator %q: want unix:/PATH", text)
		}
		return target{"unix", path, "https://" + ca.ServerName}, nil
	}
	rest := text
	if scheme, after, ok := strings.Cut(text, "://"); ok {
		if scheme != "https" && scheme != "http" {
			return target{}, fmt.Errorf("orchestrator %q: want https://HOST:PORT", text)
		}
		rest = after
	}
	u, err := url.Parse("https://" + strings.TrimSuffix(rest, "/"))
	if err != nil || u.Hostname() == "" || u.Path != "" || u.RawQuery != "" || u.User != nil || u.Fragment != "" {
		return target{}, fmt.Errorf("orchestrator %q: want https://HOST:PORT", text)
	}
	port := u.Port()
	if port == "" {
		port = DefaultPort
	}
	address := net.JoinHostPort(u.Hostname(), port)
	return target{"tcp", address, "https://" + address}, nil
}

// endpoint is one orchestrator, with the connection to it.
type endpoint struct {
	target
	url       string
	transport *http.Transport
	router    freeflowv1connect.RouterServiceClient
}

func newEndpoint(text string, config *tls.Config) (*endpoint, error) {
	t, err := parseURL(text)
	if err != nil {
		return nil, err
	}
	e := &endpoint{target: t, url: text, transport: newTransport(t, config)}
	e.router = freeflowv1connect.NewRouterServiceClient(&http.Client{Transport: e.transport}, t.base, connect.WithAcceptCompression("gzip", nil, nil))
	return e, nil
}

// newTransport speaks HTTP/2 with one target, over TLS if config is given.
func newTransport(t target, config *tls.Config) *http.Transport {
	dialer := &net.Dialer{Timeout: dialPatience}
	protocols := new(http.Protocols)
	if config != nil {
		protocols.SetHTTP2(true)
	} else {
		protocols.SetUnencryptedHTTP2(true)
	}
	return &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, t.network, t.address)
		},
		TLSClientConfig: config, TLSHandshakeTimeout: dialPatience, Protocols: protocols,
		HTTP2: &http.HTTP2Config{SendPingTimeout: pingInterval, PingTimeout: pingPatience},
	}
}
