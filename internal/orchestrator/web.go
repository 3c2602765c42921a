package orchestrator

import (
	"context"
	"net/http"

	"connectrpc.com/connect"

	"github.com/freeflow-rdma/freeflow/api/freeflow/v1/freeflowv1connect"
	"github.com/freeflow-rdma/freeflow/internal/web"
)

// front is what stands between the store and those who ask: who they are, what they did, what is used.
type front struct {
	doorman *doorman
	audit   *auditLog
	seen    *apiMetrics
	usage   *UsageStore
}

// openFront opens it; it works until ctx ends.
func (s *Server) openFront(ctx context.Context) error {
	creds, err := openCredentials(ctx, s.Store, &s.active)
	if err != nil {
		return err
	}
	s.front = &front{
		doorman: &doorman{store: s.Store, creds: creds, tries: newTries()},
		audit:   openAudit(ctx, s.Store, s.cfg, &s.active),
		seen:    newAPIMetrics(),
	}
	s.front.usage = openUsage(ctx, s.Store, s.cfg, s.front.audit, &s.active)
	s.Store.onChange = s.front.audit.changed
	return nil
}

// handler is everything that is served: the API, and beside it the web page and the metrics.
func (s *Server) handler() http.Handler {
	f := s.front
	options := connect.WithHandlerOptions(connect.WithInterceptors(access{s.Store, f.audit, f.seen}), connect.WithReadMaxBytes(maxRequest),
		connect.WithCompression("gzip", nil, nil)) // of a thousand streams, it costs more than it saves
	mux := http.NewServeMux()
	mux.Handle(freeflowv1connect.NewRouterServiceHandler(routerService{s.Store}, options))
	mux.Handle(freeflowv1connect.NewClusterServiceHandler(clusterService{s.Store}, options))
	mux.Handle(freeflowv1connect.NewAccessServiceHandler(accessService{f.doorman, f.audit}, options))
	mux.Handle(freeflowv1connect.NewAuditServiceHandler(auditService{f.audit}, options))
	mux.Handle(freeflowv1connect.NewUsageServiceHandler(usageService{f.usage}, options))
	mux.Handle("/", web.Handler())
	mux.Handle("GET /metrics", f.forReaders(f.metricsHandler()))
	// A browser sends cookie and certificate along with whatever another site has it send: such requests stop here.
	return s.count(web.Secure(http.NewCrossOriginProtection().Handler(f.doorman.identify(mux))))
}
