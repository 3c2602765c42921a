package orchestrator

import (
	"cmp"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	pb "github.com/freeflow-rdma/freeflow/api/freeflow/v1"
	"github.com/freeflow-rdma/freeflow/internal/orchestrator/ca"
	"github.com/freeflow-rdma/freeflow/internal/orchestrator/policies"
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

// clusterCollector makes metrics of what the orchestrator knows, anew for each scrape.
type clusterCollector struct{ f *front }

func clusterDesc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("freeflow_"+name, help, labels, nil)
}

var (
	descHosts       = clusterDesc("cluster_hosts", "Hosts, by state.", "state")
	descSilent      = clusterDesc("cluster_hosts_silent", "Hosts that are ready, and whose routers report no usage here.")
	descNetworks    = clusterDesc("cluster_networks", "Networks.")
	descContainers  = clusterDesc("cluster_containers", "Containers, by state.", "state")
	descPolicies    = clusterDesc("cluster_policies", "Policies, by kind.", "kind")
	descLimited     = clusterDesc("cluster_containers_limited", "Containers that waited for a rate limit just now.")
	descDenied      = clusterDesc("cluster_containers_denied", "Containers that were refused something in the last five minutes.")
	descFlows       = clusterDesc("cluster_flows", "Pairs of containers, and outside addresses, that have exchanged something or are connected; each direction is one.")
	descTransmitted = clusterDesc("cluster_transmitted_bytes_per_second", "Payload that containers send now.")
	descReceived    = clusterDesc("cluster_received_bytes_per_second", "Payload that containers receive now.")
	descRefused     = clusterDesc("denied_total", "Attempts refused: calls, logins, connections, creations over quota.")
	descEvents      = clusterDesc("audit_events_total", "Events written to the audit.")
	descEventsLost  = clusterDesc("audit_events_lost_total", "Events of the audit that could not be written.")
	descReports     = clusterDesc("usage_reports_total", "Reports of routers.")
	descStale       = clusterDesc("usage_reports_stale_total", "Reports of routers that came after a later one.")
	descForeign     = clusterDesc("usage_sources_refused_total", "Containers of other hosts that routers told of.")
	descPosted      = clusterDesc("usage_postings_total", "Writes of a host's usage.")
	descPostFailed  = clusterDesc("usage_postings_failed_total", "Writes of a host's usage that failed and were tried again.")
)

// Describe is part of prometheus.Collector.
func (c clusterCollector) Describe(out chan<- *prometheus.Desc) { prometheus.DescribeByCollect(c, out) }

// Collect is part of prometheus.Collector.
func (c clusterCollector) Collect(out chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	counter := func(d *prometheus.Desc, n uint64) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n))
	}
	u, a := c.f.usage, c.f.audit
	t := u.live.peek(time.Now().UnixNano())
	gauge(descHosts, float64(t.HostsReady), "ready")
	gauge(descHosts, float64(t.Hosts-t.HostsReady), "gone")
	gauge(descSilent, float64(t.Silent))
	gauge(descNetworks, float64(t.Networks))
	gauge(descContainers, float64(t.Running), "running")
	gauge(descContainers, float64(t.Containers-t.Running), "stopped")
	for kind, n := range u.store.mirror.countPolicies() {
		gauge(descPolicies, float64(n), kind)
	}
	gauge(descLimited, float64(t.Limited))
	gauge(descDenied, float64(t.Denied))
	gauge(descFlows, float64(t.Flows))
	gauge(descTransmitted, t.Rates.TxBits/8)
	gauge(descReceived, t.Rates.RxBits/8)
	counter(descRefused, a.total.Load())
	counter(descEvents, a.wrote.Load())
	counter(descEventsLost, a.failed.Load())
	counter(descReports, u.reports.Load())
	counter(descStale, u.stale.Load())
	counter(descForeign, u.refused.Load())
	counter(descPosted, u.posted.Load())
	counter(descPostFailed, u.failed.Load())
}

// peek is what goes on now, without counting as somebody who looks.
func (l *live) peek(now int64) *pb.LiveTotals {
	s := l.mirror.scene(now)
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.totals(s, l.flows(s), false)
}

// countPolicies counts policies by kind; a kind without any is there too.
func (m *Mirror) countPolicies() map[string]int {
	count := map[string]int{"accesspolicy": 0, "quota": 0, "ratelimit": 0, "priority": 0, "enginemode": 0}
	m.mu.RLock()
	defer m.mu.RUnlock()
	for _, p := range m.policies {
		count[strings.ToLower(policies.KindName(policies.KindOf(p)))]++
	}
	return count
}

// metricsHandler answers scrapes.
func (f *front) metricsHandler() http.Handler {
	r := prometheus.NewRegistry()
	r.MustRegister(clusterCollector{f}, f.seen.requests, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return promhttp.HandlerFor(r, promhttp.HandlerOpts{MaxRequestsInFlight: 4})
}

// forReaders refuses who may not read.
func (f *front) forReaders(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := callerOf(r.Context())
		if roleSets[c.Role]&readers != 0 && c.refused == nil {
			next.ServeHTTP(w, r)
			return
		}
		err := cmp.Or(c.refused, deny(c, readers.wanted()))
		f.audit.denied(&pb.AuditEvent{Actor: c.actor(), Role: shownRole(c.Role), Source: c.source, Action: "call", Object: r.URL.Path, Reason: plainError(err).Error()}, time.Now())
		status := http.StatusUnauthorized
		if connect.CodeOf(err) == connect.CodePermissionDenied {
			status = http.StatusForbidden
		}
		http.Error(w, plainError(err).Error(), status)
	})
}

// listenMetrics serves /metrics, and nothing else, where the operator has said so.
func (s *Server) listenMetrics() error {
	if s.cfg.MetricsListen == "" {
		return nil
	}
	l, err := net.Listen("tcp", s.cfg.MetricsListen)
	if err != nil {
		return fmt.Errorf("--metrics-listen: %w", err)
	}
	s.metricsAddr = l.Addr()
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", s.front.metricsHandler())
	h := s.httpServer(s.count(mux))
	s.serve(h, "metrics", func() error { return h.Serve(l) })
	return nil
}
