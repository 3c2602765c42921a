package orchestrator

import (
	"context"
	"crypto/x509"
	"net"
	"net/http"
	"strings"

	"connectrpc.com/connect"

	"github.com/freeflow-rdma/freeflow/api/freeflow/v1/freeflowv1connect"
	"github.com/freeflow-rdma/freeflow/internal/orchestrator/ca"
)

// Who may call what:
//
//	RouterService.Join       anybody who has a token
//	RouterService, the rest  the holder of a router's certificate, as long as its host has no newer one
//	ClusterService           the holder of an admin certificate; whoever may open the Unix socket
//	anything else            nobody

// caller is who makes a request.
type caller struct {
	ca.Identity
	cert *x509.Certificate // nil: over the Unix socket
}

type callerKey struct{}
type localKey struct{}

// identify notes in the request's context who sends it. TLS has checked the certificate, if there is one.
func identify(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var c caller
		switch {
		case r.Context().Value(localKey{}) != nil:
			c.Role = ca.RoleAdmin
		case r.TLS != nil && len(r.TLS.VerifiedChains) > 0:
			cert := r.TLS.PeerCertificates[0]
			if id, err := ca.Holder(cert); err == nil {
				c = caller{id, cert}
			}
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), callerKey{}, c)))
	})
}

// markLocal is for the server of the Unix socket, whose file only root can open.
func markLocal(ctx context.Context, _ net.Conn) context.Context {
	return context.WithValue(ctx, localKey{}, true)
}

func callerOf(ctx context.Context) caller {
	c, _ := ctx.Value(callerKey{}).(caller)
	return c
}

// access refuses what a caller may not call. It is a connect.Interceptor.
type access struct{ store *Store }

func (a access) check(ctx context.Context, procedure string) error {
	c := callerOf(ctx)
	switch {
	case procedure == freeflowv1connect.RouterServiceJoinProcedure:
		return nil
	case strings.HasPrefix(procedure, "/"+freeflowv1connect.RouterServiceName+"/"):
		if c.Role != ca.RoleRouter {
			return deny(c, "a router's certificate")
		}
		return a.store.Member(ctx, c.Identity, c.cert)
	case strings.HasPrefix(procedure, "/"+freeflowv1connect.ClusterServiceName+"/"):
		if c.Role != ca.RoleAdmin {
			return deny(c, "an admin certificate, or the orchestrator's Unix socket")
		}
		return nil
	}
	return failf(connect.CodePermissionDenied, "%s is nobody's to call", procedure)
}

func deny(c caller, want string) error {
	if c.Role == "" {
		return failf(connect.CodeUnauthenticated, "this needs %s", want)
	}
	return failf(connect.CodePermissionDenied, "this needs %s; the certificate is for %s %s", want, c.Role, c.Name)
}

// WrapUnary is part of connect.Interceptor.
func (a access) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, r connect.AnyRequest) (connect.AnyResponse, error) {
		if err := a.check(ctx, r.Spec().Procedure); err != nil {
			return nil, err
		}
		return next(ctx, r)
	}
}

// WrapStreamingClient is part of connect.Interceptor; servers do not use it.
func (a access) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return next
}

// WrapStreamingHandler is part of connect.Interceptor.
func (a access) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return func(ctx context.Context, conn connect.StreamingHandlerConn) error {
		if err := a.check(ctx, conn.Spec().Procedure); err != nil {
			return err
		}
		return next(ctx, conn)
	}
}
