package orchestrator

import (
	"context"
	"crypto/x509"
	"errors"
	"net"
	"time"

	"connectrpc.com/connect"

	pb "github.com/freeflow-rdma/freeflow/api/freeflow/v1"
	"github.com/freeflow-rdma/freeflow/internal/orchestrator/ca"
)

// Who may call what is told in roles.go; who calls is found out in login_identify.go.

// caller is who makes a request.
type caller struct {
	ca.Identity
	cert       *x509.Certificate // nil: by other means
	source     string            // address that the request came from; "local": a Unix socket
	credential *credential       // nil: the Unix socket, or a certificate that has no record
	session    *session          // of the web page; nil: another way
	refused    error             // what it gave to say who it is was no good
}

// actor is the caller as the audit names it.
func (c caller) actor() string {
	if c.Role == "" {
		return "nobody"
	}
	return string(c.Role) + " " + c.Name
}

type callerKey struct{}
type localKey struct{}

// markLocal is for the server of the Unix socket, whose file only root can open.
func markLocal(ctx context.Context, _ net.Conn) context.Context {
	return context.WithValue(ctx, localKey{}, true)
}

func callerOf(ctx context.Context) caller {
	c, _ := ctx.Value(callerKey{}).(caller)
	return c
}

// access refuses what a caller may not call, and ends streams when its right to them ends. It is a connect.Interceptor.
type access struct {
	store *Store
	audit *auditLog
	seen  *apiMetrics
}

// admit is check that tells the audit of refusals.
func (a access) admit(ctx context.Context, procedure string, message any) error {
	err := a.check(ctx, procedure, message)
	if code := connect.CodeOf(err); err != nil && (code == connect.CodeUnauthenticated || code == connect.CodePermissionDenied) {
		a.audit.deniedCall(callerOf(ctx), procedure, err, time.Now())
	}
	return err
}

// WrapUnary is part of connect.Interceptor.
func (a access) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, r connect.AnyRequest) (answer connect.AnyResponse, err error) {
		defer func() { a.seen.request(r.Spec().Procedure, callerOf(ctx).Role, err) }()
		if err := a.admit(ctx, r.Spec().Procedure, r.Any()); err != nil {
			return nil, err
		}
		answer, err = next(ctx, r)
		a.afterwards(ctx, r, err)
		return answer, err
	}
}

// afterwards tells the audit of what methods that anybody may call have done or refused, and of join tokens.
func (a access) afterwards(ctx context.Context, r connect.AnyRequest, err error) {
	by := callerOf(ctx)
	switch m := r.Any().(type) {
	case *pb.JoinRequest:
		if code := connect.CodeOf(err); code == connect.CodeUnauthenticated || code == connect.CodePermissionDenied {
			a.audit.denied(&pb.AuditEvent{Actor: by.actor(), Source: by.source, Action: "join", Kind: "host", Object: m.Host, Reason: plainError(err).Error()}, time.Now())
		} else if err == nil {
			by.Identity = ca.Identity{Role: ca.RoleRouter, Name: m.Host}
			a.audit.done(ctx, by, &pb.AuditEvent{Action: "join", Kind: "host", Object: m.Host, After: changeText(hostChange(&pb.Host{Name: m.Host, Underlay: m.Underlay}))})
		}
	case *pb.CreateTokenRequest:
		if err == nil {
			a.audit.done(ctx, by, &pb.AuditEvent{Action: "token.create", Kind: "join"})
		}
	}
}

// WrapStreamingClient is part of connect.Interceptor; servers do not use it.
func (a access) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return next
}

// WrapStreamingHandler is part of connect.Interceptor.
func (a access) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return func(ctx context.Context, conn connect.StreamingHandlerConn) (err error) {
		defer func() { a.seen.request(conn.Spec().Procedure, callerOf(ctx).Role, err) }()
		if err := a.admit(ctx, conn.Spec().Procedure, nil); err != nil {
			return err
		}
		ctx, cancel := callerOf(ctx).whileGood(ctx)
		defer cancel()
		err = next(ctx, conn)
		if errors.Is(context.Cause(ctx), errEnded) {
			return connect.NewError(connect.CodeUnauthenticated, errEnded)
		}
		return err
	}
}

var errEnded = errors.New("the token or the session has ended")

// whileGood is a context that ends when the caller's token or session does.
func (c caller) whileGood(ctx context.Context) (context.Context, context.CancelFunc) {
	if c.credential == nil {
		return context.WithCancel(ctx)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	ended, left := c.credential.gone, time.Until(c.credential.Expires)
	logout := make(<-chan struct{})
	if c.session != nil {
		logout, left = c.session.gone, min(left, time.Until(c.session.Expires))
	}
	go func() {
		expired := time.NewTimer(left)
		defer expired.Stop()
		select {
		case <-ctx.Done():
			return
		case <-ended:
		case <-logout:
		case <-expired.C:
		}
		cancel(errEnded)
	}()
	return ctx, func() { cancel(nil) }
}
