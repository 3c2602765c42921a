package orchestrator

import (
	"strings"

	"connectrpc.com/connect"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/freeflow-rdma/freeflow/internal/orchestrator/ca"
)

// apiMetrics counts the requests that the API has answered.
type apiMetrics struct{ requests *prometheus.CounterVec }

func newAPIMetrics() *apiMetrics {
	return &apiMetrics{prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "freeflow_api_requests_total", Help: "Requests answered, by method, role of the caller, and code; a stream counts when it ends.",
	}, []string{"method", "role", "code"})}
}

// request counts one. The labels are bounded: methods and roles are those that exist.
func (m *apiMetrics) request(procedure string, role ca.Role, err error) {
	method := "unknown"
	if _, known := methods[procedure]; known {
		method = methodName(procedure)
	}
	code := "ok"
	if err != nil {
		code = strings.ReplaceAll(connect.CodeOf(err).String(), " ", "_")
	}
	who := string(role)
	if who == "" {
		who = "nobody"
	}
	m.requests.WithLabelValues(method, who, code).Inc()
}
