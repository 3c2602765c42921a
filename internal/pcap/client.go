package pcap

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
)

// Client asks the router behind a Unix socket (admin.SocketPath).
type Client struct {
	http http.Client
}

// NewClient makes a client; it connects when it is used.
func NewClient(socket string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", socket)
	}
	return &Client{http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}}
}

// Open starts a capture. What is read is a file in pcap format, until the capture ends; Close, or the end of ctx, ends it.
func (c *Client) Open(ctx context.Context, q Query) (io.ReadCloser, error) {
	return c.get(ctx, q.values().Encode())
}

// Stats tells what came of the capture that ended last.
func (c *Client) Stats(ctx context.Context) (s Stats, err error) {
	body, err := c.get(ctx, "stats=1")
	if err != nil {
		return s, err
	}
	defer body.Close()
	if err := json.NewDecoder(body).Decode(&s); err != nil {
		return s, fmt.Errorf("read the router's answer: %w", err)
	}
	return s, nil
}

func (c *Client) get(ctx context.Context, query string) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://router/v1/capture?"+query, nil)
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask the router: %w", err)
	}
	if resp.StatusCode == http.StatusOK {
		return resp.Body, nil
	}
	defer resp.Body.Close()
	var f struct{ Error string }
	if json.NewDecoder(resp.Body).Decode(&f) == nil && f.Error != "" {
		return nil, errors.New(f.Error)
	}
	return nil, fmt.Errorf("the router answered %s", resp.Status)
}
