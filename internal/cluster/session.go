package cluster

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"connectrpc.com/connect"

	pb "github.com/freeflow-rdma/freeflow/api/freeflow/v1"
	"github.com/freeflow-rdma/freeflow/internal/orchestrator/ca"
)

// session is the time with one orchestrator, from the first heartbeat that it answers to the first thing that goes wrong.
//
//	run → dial one → heartbeat → sync containers → live: heartbeats, watch, memory map → broken → back off → the next one
type session struct {
	c      *Client
	e      *endpoint
	cancel context.CancelCauseFunc
}

const (
	minBackoff = 100 * time.Millisecond
	maxBackoff = 3 * time.Second
	longEnough = 10 * time.Second // a session that lasted so long was a good one
)

var errRestart = errors.New("restarted")

// run has one session after the other.
func (c *Client) run(ctx context.Context) {
	var lease int64
	backoff, failures := minBackoff, 0
	for i := 0; ctx.Err() == nil; i++ {
		e := c.endpoints[i%len(c.endpoints)]
		began := time.Now()
		err := c.session(ctx, e, &lease)
		if ctx.Err() != nil {
			return
		}
		if errors.Is(err, errRestart) {
			i-- // there is nothing wrong with it
		} else {
			c.cfg.Log.Warn("lost the orchestrator", "url", e.url, "err", tidy(err))
		}
		if connect.CodeOf(err) == connect.CodeUnauthenticated {
			c.rejoin(ctx)
		}
		if time.Since(began) > longEnough {
			backoff, failures = minBackoff, 0
		}
		// Each orchestrator is tried once before the wait grows.
		wait := minBackoff
		if failures++; errors.Is(err, errRestart) {
			failures = 0
		}
		c.alone.Store(failures > len(c.endpoints))
		if failures%len(c.endpoints) == 0 && failures > 0 {
			wait, backoff = backoff, min(2*backoff, maxBackoff)
		}
		sleep(ctx, wait/2+rand.N(wait))
	}
}

// rejoin joins again, if there is a token: the cluster does not know this host any more.
func (c *Client) rejoin(ctx context.Context) {
	if c.cfg.Token == "" {
		return
	}
	if err := join(ctx, c.cfg); err != nil {
		c.cfg.Log.Warn("cannot join again", "err", err)
		return
	}
	if fresh, err := loadCredentials(c.cfg.Dir); err == nil {
		c.useCredentials(fresh)
	}
}

// useCredentials takes new ones for all connections from now on.
func (c *Client) useCredentials(fresh *credentials) {
	c.creds.Store(fresh)
	for _, e := range c.endpoints {
		e.transport.CloseIdleConnections()
	}
}

// session lasts until something goes wrong, and returns what.
func (c *Client) session(ctx context.Context, e *endpoint, lease *int64) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	s := &session{c, e, cancel}
	ttl, err := s.heartbeat(ctx, lease)
	if err != nil {
		return err
	}
	if err := c.sync(ctx, e); err != nil {
		return err
	}
	c.mrs.restart() // the map may have been lost with an earlier lease
	c.live.Store(s)
	c.alone.Store(false)
	defer c.live.Store(nil)
	c.cfg.Log.Info("connected to the orchestrator", "url", e.url)
	done := make(chan error, 3)
	go func() { done <- s.beat(ctx, lease, ttl) }()
	go func() { done <- s.watch(ctx) }()
	go func() { done <- c.reportMRs(ctx, e) }()
	err = <-done
	cancel(err)
	cause := context.Cause(ctx)
	_, _ = <-done, <-done
	if errors.Is(cause, errRestart) {
		return errRestart
	}
	return err
}

// restart ends the session, so that the next one tells everything anew.
func (c *Client) restart() {
	if s := c.live.Load(); s != nil {
		s.cancel(errRestart)
	}
}

// heartbeat keeps the lease, or gets a new one.
func (s *session) heartbeat(ctx context.Context, lease *int64) (ttl time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, callPatience)
	defer cancel()
	answer, err := s.e.router.Heartbeat(ctx, connect.NewRequest(&pb.HeartbeatRequest{
		Lease: *lease, Features: s.c.cfg.Features, Version: s.c.cfg.Version,
	}))
	if err != nil {
		return 0, err
	}
	*lease = answer.Msg.Lease
	return time.Duration(answer.Msg.TtlMs) * time.Millisecond, nil
}

// beat keeps the lease three times a TTL, and the certificate good.
func (s *session) beat(ctx context.Context, lease *int64, ttl time.Duration) error {
	interval := max(ttl/3, 200*time.Millisecond)
	for sleep(ctx, interval*3/4+rand.N(interval/4+1)) {
		before := *lease
		if _, err := s.heartbeat(ctx, lease); err != nil {
			return err
		}
		if *lease != before {
			return errRestart // others have seen us gone: containers may be others' by now
		}
		if err := s.renew(ctx, time.Now()); err != nil {
			s.c.cfg.Log.Warn("cannot renew the certificate, trying again", "err", tidy(err))
		}
	}
	return ctx.Err()
}

// renew gets a new certificate when two thirds of the old one's time are over.
func (s *session) renew(ctx context.Context, now time.Time) error {
	old := s.c.creds.Load()
	life := old.cert.NotAfter.Sub(old.cert.NotBefore)
	if now.Before(old.cert.NotBefore.Add(life * 2 / 3)) {
		return nil
	}
	csr, err := ca.Request(old.key)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, callPatience)
	defer cancel()
	answer, err := s.e.router.Renew(ctx, connect.NewRequest(&pb.RenewRequest{Csr: csr}))
	if err != nil {
		return err
	}
	fresh := *old
	if fresh.cert, err = x509.ParseCertificate(answer.Msg.Certificate); err != nil {
		return fmt.Errorf("renewed certificate: %w", err)
	}
	if err := fresh.cert.CheckSignatureFrom(fresh.ca); err != nil {
		return fmt.Errorf("renewed certificate: %w", err)
	}
	if err := fresh.save(s.c.cfg.Dir); err != nil {
		return err
	}
	s.c.useCredentials(&fresh)
	return nil
}

// watch takes in what the orchestrator tells.
func (s *session) watch(ctx context.Context) error {
	have := s.c.State()
	stream, err := s.e.router.Watch(ctx, connect.NewRequest(&pb.WatchRequest{Cluster: have.Cluster, Revision: have.Revision}))
	if err != nil {
		return err
	}
	defer stream.Close()
	var part *builder
	for stream.Receive() {
		s.c.apply(stream.Msg(), &part)
	}
	if err := stream.Err(); err != nil {
		return err
	}
	return errors.New("the orchestrator has ended the watch")
}

// keepState writes the state to disk, now and then, when it has changed.
func (c *Client) keepState(ctx context.Context) {
	for {
		select {
		case <-c.dirty:
		case <-ctx.Done():
			return
		}
		sleep(ctx, time.Second)
		if err := writeMessage(c.cfg.Dir, stateFile, c.State().message()); err != nil {
			c.cfg.Log.Warn("the cluster's state cannot be kept on disk", "err", err)
		}
	}
}

// sleep waits; it reports false if ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
