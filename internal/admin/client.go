package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"syscall"
)

// ErrNotRunning means that no router serves the run directory.
var ErrNotRunning = errors.New("no router is running")

// Client talks to the router of one run directory.
type Client struct {
	runDir string
	http   *http.Client
}

// NewClient makes a client; it connects when it is used.
func NewClient(runDir string) *Client {
	c := &Client{runDir: runDir}
	c.http = &http.Client{Transport: &http.Transport{DialContext: c.dial, DisableKeepAlives: true}}
	return c
}

// Status asks the router who it is.
func (c *Client) Status(ctx context.Context) (Status, error) {
	var s Status
	return s, c.get(ctx, "status", &s)
}

// Containers lists the containers.
func (c *Client) Containers(ctx context.Context) ([]ContainerRow, error) {
	return listOf[ContainerRow](ctx, c, "containers")
}

// QPs lists the queue pairs.
func (c *Client) QPs(ctx context.Context) ([]QPRow, error) { return listOf[QPRow](ctx, c, "qps") }

// CMIDs lists the identifiers of RDMA-CM.
func (c *Client) CMIDs(ctx context.Context) ([]CMIDRow, error) {
	return listOf[CMIDRow](ctx, c, "cm-ids")
}

// MRs lists the memory regions.
func (c *Client) MRs(ctx context.Context) ([]MRRow, error) { return listOf[MRRow](ctx, c, "mrs") }

// Networks lists the networks.
func (c *Client) Networks(ctx context.Context) ([]NetworkRow, error) {
	return listOf[NetworkRow](ctx, c, "networks")
}

// Hosts lists the hosts.
func (c *Client) Hosts(ctx context.Context) ([]HostRow, error) {
	return listOf[HostRow](ctx, c, "hosts")
}

// Counters lists what the router has counted since it started.
func (c *Client) Counters(ctx context.Context) ([]CounterRow, error) {
	return listOf[CounterRow](ctx, c, "counters")
}

// Lease is a registered container, from the side of the process that registered it.
type Lease struct {
	Info   ContainerInfo
	client *Client
	body   io.ReadCloser
	lost   chan struct{}
}

// Register makes a container of the network namespace that the calling process' main thread is in. The
// lease ends when it is released, or with the process.
func (c *Client) Register(ctx context.Context, spec ContainerSpec) (*Lease, error) {
	// The request lives on as the lease; ctx bounds only the wait for its answer.
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, end)
	resp, err := c.do(life, http.MethodPost, "containers", spec)
	stop()
	if err != nil {
		end()
		return nil, err
	}
	l := &Lease{client: c, body: resp.Body, lost: make(chan struct{})}
	if err := json.NewDecoder(resp.Body).Decode(&l.Info); err != nil {
		resp.Body.Close()
		return nil, fmt.Errorf("read the router's answer to register: %w", err)
	}
	go func() {
		_, _ = io.Copy(io.Discard, l.body)
		close(l.lost)
		end()
	}()
	return l, nil
}

// Lost is closed when the router has ended the lease: it stopped, or was killed.
func (l *Lease) Lost() <-chan struct{} { return l.lost }

// Release ends the lease, and returns when nothing of the container's network is left, or when ctx ends.
func (l *Lease) Release(ctx context.Context) error {
	defer l.body.Close()
	resp, err := l.client.do(ctx, http.MethodDelete, "containers/"+l.Info.ID, nil)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

func listOf[T any](ctx context.Context, c *Client, kind string) ([]T, error) {
	var all items[T]
	err := c.get(ctx, kind, &all)
	return all.Items, err
}

func (c *Client) get(ctx context.Context, path string, into any) error {
	resp, err := c.do(ctx, http.MethodGet, path, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
		return fmt.Errorf("read the router's answer to %s: %w", path, err)
	}
	return nil
}

// do sends a request; an answer that is an error comes back as one.
func (c *Client) do(ctx context.Context, method, path string, body any) (*http.Response, error) {
	var payload bytes.Buffer
	if body != nil {
		if err := json.NewEncoder(&payload).Encode(body); err != nil {
			return nil, fmt.Errorf("encode request: %w", err)
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://router/v1/"+path, &payload)
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, plainError(err)
	}
	if resp.StatusCode >= 300 {
		defer resp.Body.Close()
		return nil, remoteError(resp)
	}
	return resp, nil
}

func (c *Client) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	path := SocketPath(c.runDir)
	if err := checkSocketPath(path); err != nil {
		return nil, err
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", path)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return nil, fmt.Errorf("%w on run directory %s: start one with `freeflow up`, or give its --run-dir", ErrNotRunning, c.runDir)
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("no permission to use %s: run this as root: %w", path, fs.ErrPermission)
	}
	return conn, err
}

// plainError strips what the HTTP client wraps around an error: the URL is made up and tells nobody anything.
func plainError(err error) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		return wrapped.Err
	}
	return err
}
