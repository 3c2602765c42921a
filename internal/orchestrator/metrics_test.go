package orchestrator

import (
	"context"
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	pb "github.com/freeflow-rdma/freeflow/api/freeflow/v1"
)

func TestMetricsNeedARole(t *testing.T) {
	s := startServer(t, Config{MetricsListen: "127.0.0.1:0"})
	url := "https://" + s.Addr().String() + "/metrics"
	get := func(client interface {
		Do(*http.Request) (*http.Response, error)
	}, url string) (int, string) {
		r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, url, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		text, _ := io.ReadAll(answer.Body)
		return answer.StatusCode, string(text)
	}
	token, _ := roleToken(t, s, pb.Role_ROLE_VIEWER)
	router, err := joined(context.Background(), s, "a", "192.0.2.1")
	if err != nil {
		t.Fatal(err)
	}
	if status, _ := get(as(s, nil), url); status != http.StatusUnauthorized {
		t.Errorf("nobody: %d", status)
	}
	if status, _ := get(as(s, router), url); status != http.StatusForbidden {
		t.Errorf("a router: %d", status)
	}
	if status, text := get(bearing{as(s, nil), token}, url); status != http.StatusOK || !strings.Contains(text, `freeflow_api_requests_total{code="ok",method="RouterService.Join",role="nobody"} 1`) ||
		!strings.Contains(text, `freeflow_cluster_hosts{state="gone"} 1`) {
		t.Errorf("a viewer: %d %s", status, text)
	}
	open := "http://" + s.metricsAddr.String()
	if status, text := get(http.DefaultClient, open+"/metrics"); status != http.StatusOK || !strings.Contains(text, "freeflow_denied_total 2") {
		t.Errorf("on an address of its own: %d %s", status, text)
	}
	if status, _ := get(http.DefaultClient, open+"/freeflow.v1.ClusterService/List"); status != http.StatusNotFound {
		t.Errorf("the API is served there too: %d", status)
	}
}

func TestClusterMetricsPassLint(t *testing.T) {
	s := startServer(t, Config{})
	r := prometheus.NewRegistry()
	r.MustRegister(clusterCollector{s.front}, s.front.seen.requests)
	s.front.seen.request("/freeflow.v1.ClusterService/List", "", nil)
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	text, err := os.ReadFile("../../docs/metering.md")
	if err != nil {
		t.Fatal(err)
	}
	names := make(map[string]bool)
	for _, f := range families {
		names[f.GetName()] = true
		if !strings.Contains(string(text), "`"+f.GetName()+"`") {
			t.Errorf("docs/metering.md says nothing of %s", f.GetName())
		}
	}
	for _, m := range regexp.MustCompile("`(freeflow_(?:cluster|api|audit|usage|denied)_[a-z_]+)`").FindAllStringSubmatch(string(text), -1) {
		if !names[m[1]] {
			t.Errorf("docs/metering.md tells of %s, which there is not", m[1])
		}
	}
}
