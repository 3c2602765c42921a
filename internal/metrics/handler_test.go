package metrics

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	pb "github.com/freeflow-rdma/freeflow/api/freeflow/v1"
)

// fixed is a source that always tells the same.
type fixed Snapshot

func (f fixed) Snapshot() Snapshot                       { return Snapshot(f) }
func (f fixed) Details(_, _ string) *pb.ContainerDetails { return nil }

var example = fixed{
	Containers: []Container{{
		Network: "default", Name: "db", Tenant: "blue", Instance: "1", Started: time.Unix(1700000000, 5e8), Limit: "egress 5Gbit", Class: "high", Mode: "auto",
		Counters: &pb.Counters{TxBytes: 1, RxBytes: 2, TxMessages: 3, RxMessages: 4, TxPackets: 5, RxPackets: 6, RnrWaits: 7, Retransmits: 8, Timeouts: 9,
			SequenceErrors: 10, Duplicates: 11, CnpsSent: 12, CnpsReceived: 13, LimitedNs: 1.5e9, Refused: 15,
			Operations: map[string]uint64{"send": 16, "send_imm": 1}, Errors: map[string]uint64{"RETRY_EXC_ERR": 17}, Drops: map[string]uint64{"no_receive": 18},
			Denied: map[string]uint64{"qps": 19}, Rdma: map[string]uint64{"send_rnr_err": 20, "out_of_seq_request": 21, "no_such": 22}},
		Objects: map[string]uint64{"qps": 4, "mrBytes": 4096}, Quota: map[string]uint64{"qps": 4, "mrBytes": 1 << 20},
	}, {Network: "default", Name: "db", Instance: "2"}, {Network: "default", Name: "idle"}},
	Counters: []Counter{
		{"fabric", "drop_forged", 1}, {"transport", "retransmits", 2}, {"worker core0", "turns", 3}, {"worker core1", "turns", 4},
		{"geneve 192.0.2.1:6081", "sent_bytes", 5}, {"geneve 192.0.2.1:6081", "feature_gro", 1}, {"plain 192.0.2.1:4791", "receive_buffer", 7},
	},
}

func scrape(t *testing.T) string {
	t.Helper()
	w := httptest.NewRecorder()
	Handler(example).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	text, err := io.ReadAll(w.Body)
	if err != nil || w.Code != 200 {
		t.Fatal(w.Code, string(text), err)
	}
	return string(text)
}

func TestHandler(t *testing.T) {
	text := scrape(t)
	const db = `container="db",network="default",tenant="blue"`
	for _, line := range []string{
		`freeflow_container_transmitted_bytes_total{` + db + `} 1`,
		`freeflow_container_rate_limited_seconds_total{` + db + `} 1.5`,
		`freeflow_container_operations_total{container="db",network="default",operation="send",tenant="blue"} 16`,
		`freeflow_container_quota_denied_total{container="db",network="default",resource="qps",tenant="blue"} 19`,
		`freeflow_container_objects_quota{container="db",network="default",resource="qps",tenant="blue"} 4`,
		`freeflow_container_registered_bytes{` + db + `} 4096`,
		`freeflow_container_start_time_seconds{` + db + `} 1.7000000005e+09`,
		`node_infiniband_port_data_received_bytes_total{container="db",device="rxe0",network="default",port="1",tenant="blue"} 2`,
		`freeflow_rdma_duplicate_request_total{container="db",link="rxe0/1",network="default",tenant="blue"} 11`,
		`freeflow_rdma_out_of_seq_request_total{container="db",link="rxe0/1",network="default",tenant="blue"} 21`,
		`freeflow_rdma_send_rnr_err_total{container="db",link="rxe0/1",network="default",tenant="blue"} 20`,
		`freeflow_rdma_rdma_sends_total{container="db",link="rxe0/1",network="default",tenant="blue"} 17`,
		`freeflow_container_transmitted_bytes_total{container="idle",network="default",tenant=""} 0`,
		`freeflow_containers 3`,
		`freeflow_fabric_drop_forged_total 1`,
		`freeflow_worker_turns_total{worker="core1"} 4`,
		`freeflow_port_sent_bytes_total{port="geneve 192.0.2.1:6081"} 5`,
		`freeflow_port_feature_gro{port="geneve 192.0.2.1:6081"} 1`,
		`freeflow_port_receive_buffer_bytes{port="plain 192.0.2.1:4791"} 7`,
	} {
		if !strings.Contains(text, "\n"+line+"\n") {
			t.Errorf("no line %s", line)
		}
	}
	if strings.Contains(text, "no_such") || strings.Contains(text, "ack_deferred") {
		t.Error("a counter that nobody knows is shown")
	}
}

// Prometheus' own rules for names, units and help.
func TestNamesPassLint(t *testing.T) {
	r := prometheus.NewRegistry()
	r.MustRegister(&collector{example})
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
}

// Every metric is in the document, and the document has no other.
func TestNamesAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/metering.md")
	if err != nil {
		t.Fatal(err)
	}
	document := string(text)
	names := make(map[string]bool)
	for _, m := range regexp.MustCompile(`(?m)^# TYPE ((?:freeflow_|node_)\S+)`).FindAllStringSubmatch(scrape(t), -1) {
		names[m[1]] = true
	}
	for name := range names {
		generic := regexp.MustCompile(`^freeflow_(fabric|transport|worker|port)_`).MatchString(name)
		if !generic && !strings.Contains(document, "`"+name+"`") {
			t.Errorf("docs/metering.md says nothing of %s", name)
		}
	}
	for _, m := range regexp.MustCompile("`(freeflow_container_[a-z_]+|freeflow_rdma_[a-z_]+|node_infiniband_[a-z_]+)`").FindAllStringSubmatch(document, -1) {
		known := names[m[1]]
		for _, s := range statistics {
			known = known || m[1] == "freeflow_rdma_"+s.name+"_total"
		}
		if !known {
			t.Errorf("docs/metering.md tells of %s, which there is not", m[1])
		}
	}
}
