package manifest

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	pb "github.com/freeflow-rdma/freeflow/api/freeflow/v1"
	"github.com/freeflow-rdma/freeflow/internal/orchestrator/policies"
)

func parseOne(t *testing.T, text string) *pb.Policy {
	t.Helper()
	docs, err := Parse("f", []byte(text))
	if err != nil || len(docs) != 1 {
		t.Fatalf("%d documents, %v", len(docs), err)
	}
	return docs[0].Object.GetPolicy()
}

// policyText is a document of a policy, whose spec begins in line 5.
func policyText(kind, spec string) string {
	return "apiVersion: freeflow/v1\nkind: " + kind + "\nmetadata: {name: p}\nspec:\n" + spec
}

func TestPolicies(t *testing.T) {
	both := &pb.Rate{Bits: 5e9, Messages: 100e3, Burst: 1 << 20}
	for _, c := range []struct {
		kind, spec string
		want       *pb.Policy
	}{
		{"RateLimit", "  select: {container: c}\n  rate: 5Gbit\n  messages: 100k\n  burst: 1MiB\n", &pb.Policy{
			Name: "p", Select: &pb.Selector{Container: "c"}, Spec: &pb.Policy_RateLimit{RateLimit: &pb.RateLimit{Egress: both, Ingress: both}}}},
		{"RateLimit", "  scope: qp\n  order: 0\n  ingress: {rate: 1500kbit}\n", &pb.Policy{
			Name: "p", Order: proto.Uint32(0), Spec: &pb.Policy_RateLimit{RateLimit: &pb.RateLimit{Scope: "qp", Ingress: &pb.Rate{Bits: 1500e3}}}}},
		{"Quota", "  select: {labels: {a: b, c: \"1\"}}\n  limits: {qps: 4, mrBytes: 1GiB, cmIds: 0}\n", &pb.Policy{
			Name: "p", Select: &pb.Selector{Labels: map[string]string{"a": "b", "c": "1"}},
			Spec: &pb.Policy_Quota{Quota: &pb.Quota{Limits: map[string]uint64{"qps": 4, "mrBytes": 1 << 30, "cmIds": 0}}}}},
		{"Priority", "  class: high\n  weight: 4\n  dscp: 0\n", &pb.Policy{
			Name: "p", Spec: &pb.Policy_Priority{Priority: &pb.Priority{Class: "high", Weight: 4, Dscp: proto.Uint32(0)}}}},
		{"EngineMode", "  select: {host: h, image: i}\n  mode: fast\n", &pb.Policy{
			Name: "p", Select: &pb.Selector{Host: "h", Image: "i"}, Spec: &pb.Policy_EngineMode{EngineMode: &pb.EngineMode{Mode: "fast"}}}},
		{"AccessPolicy", "  default: deny\n  rules:\n  - {action: allow, from: {container: a*}, to: {cidr: 192.0.2.1}}\n  - action: deny\n", &pb.Policy{
			Name: "p", Spec: &pb.Policy_Access{Access: &pb.AccessPolicy{Network: "default", Default: "deny", Rules: []*pb.AccessRule{
				{Action: "allow", From: &pb.Selector{Container: "a*"}, To: &pb.Selector{Cidr: "192.0.2.1"}}, {Action: "deny"}}}}}},
	} {
		if got := parseOne(t, policyText(c.kind, c.spec)); !proto.Equal(got, c.want) {
			t.Errorf("%s\n got %v\nwant %v", c.spec, got, c.want)
		}
	}
}

// An error names line and field, and says what to write instead.
func TestPolicyErrors(t *testing.T) {
	for _, c := range []struct{ kind, spec, want string }{
		{"RateLimit", "  rat: 5Gbit\n", "f:5: spec.rat: there is no such field: write rate"},
		{"RateLimit", "  speed: 5Gbit\n", "f:5: spec.speed: there is no such field: want burst, egress, "},
		{"RateLimit", "  rate: 5G\n", `f:5: spec.rate: "5G": want bits per second: write 5Gbit`},
		{"RateLimit", "  rate: 5\n", `f:5: spec.rate: "5": want bits per second, such as 5Gbit`},
		{"RateLimit", "  rate: 1GBps\n", `f:5: spec.rate: "1GBps": want bits per second: write 8Gbit`},
		{"RateLimit", "  rate: 0Gbit\n", "f:5: spec.rate: 0 does not stop anything"},
		{"RateLimit", "  rate: 10bit\n", "f:5: spec.egress.rate: 10bit: want 1kbit to 100Tbit"},
		{"RateLimit", "  rate: 1Gbit\n  egress: {rate: 2Gbit}\n", "f:6: spec.egress: what stands directly under spec is for both directions"},
		{"RateLimit", "  egress:\n    rate: 1Gbit\n    burst: 1mib\n", `f:7: spec.egress.burst: "1mib": want a number of bytes: write 1MiB`},
		{"RateLimit", "  burst: 1MiB\n", "f:5: spec.egress.burst: is of a rate: give rate too"},
		{"RateLimit", "  scope: host\n  rate: 1Gbit\n", `f:5: spec.scope: "host": want qp, container or tenant`},
		{"RateLimit", "  scope: tenant\n  rate: 1Gbit\n  select:\n    container: c\n", "f:7: spec.select: scope tenant counts all of a tenant's containers"},
		{"RateLimit", "  select: {container: c}\n", "f:4: spec: limits nothing: give rate or messages"},
		{"RateLimit", "  select: {cidr: 10.0.0.0/8}\n  rate: 1Gbit\n", "f:5: spec.select.cidr: there is no such field"},
		{"RateLimit", "  select: c\n  rate: 1Gbit\n", "f:5: spec.select: want fields, each with its name"},
		{"RateLimit", "  select: {labels: {a: 1}}\n  rate: 1Gbit\n", "f:5: spec.select.labels.a: 1 is not a text: put it in quotation marks"},
		{"RateLimit", "  order: -1\n  rate: 1Gbit\n", `f:5: spec.order: "-1": want a number`},
		{"RateLimit", "  order: 99999\n  rate: 1Gbit\n", "f:5: spec.order: 10001: want 0 to 10000"},
		{"Quota", "  limits: {}\n", "f:5: spec.limits: is empty: want one or more of contexts, pds"},
		{"Quota", "  select: {}\n", "spec.limits: is missing"},
		{"Quota", "  limits: {qp: 4}\n", "f:5: spec.limits.qp: there is no such field: write qps"},
		{"Quota", "  limits: {qps: four}\n", `f:5: spec.limits.qps: "four": want a number, such as 100`},
		{"Quota", "  scope: tenant\n  limits:\n    qpDepth: 4\n", "f:7: spec.limits.qpDepth: bounds each queue: want scope container"},
		{"Quota", "  scope: qp\n  limits: {qps: 4}\n", `f:5: spec.scope: "qp": want container or tenant`},
		{"Priority", "  class: highest\n", `f:5: spec.class: "highest": want high, normal or low`},
		{"Priority", "  select: {container: a}\n", "f:4: spec: says nothing: give class, weight or dscp"},
		{"Priority", "  weight: 0\n", "f:5: spec.weight: 0: want 1 to 1000"},
		{"Priority", "  weight: 2k\n", "f:5: spec.weight: 1001: want 1 to 1000"},
		{"Priority", "  dscp: 64\n", "f:5: spec.dscp: 64: want 0 to 63"},
		{"EngineMode", "  mode: slow\n", `f:5: spec.mode: "slow": want auto, fast or low`},
		{"EngineMode", "  select: {tenant: t}\n  mode: low\n", "f:5: spec.select: an engine mode goes by container, labels, image or host"},
		{"AccessPolicy", "  network: n\n", "f:4: spec.rules: says nothing"},
		{"AccessPolicy", "  rules: {}\n", "f:5: spec.rules: want a list"},
		{"AccessPolicy", "  rules:\n  - from: {}\n", "f:6: spec.rules[0].action: is missing"},
		{"AccessPolicy", "  rules:\n  - action: allow\n  - action: permit\n", `f:7: spec.rules[1].action: "permit": want allow or deny`},
		{"AccessPolicy", "  rules:\n  - action: allow\n    to:\n      cidr: 10.0.0.1/8\n", "f:8: spec.rules[0].to.cidr: 10.0.0.1/8: has bits set behind the prefix: write 10.0.0.0/8"},
		{"AccessPolicy", "  rules:\n  - action: allow\n    to:\n      container: a\n      cidr: 10.0.0.0/8\n", "f:9: spec.rules[0].to.cidr: selects addresses outside the cluster"},
		{"AccessPolicy", "  rules:\n  - action: allow\n    from: {network: other}\n", `f:7: spec.rules[0].from.network: "other": containers of other networks`},
		{"AccessPolicy", "  rules:\n  - action: allow\n    from: {conteiner: a}\n", "f:7: spec.rules[0].from.conteiner: there is no such field: write container"},
		{"RateLimits", "  rate: 1Gbit\n", `f:2: kind: "RateLimits": write RateLimit`},
		{"Bridge", "  rate: 1Gbit\n", `f:2: kind: "Bridge": want AccessPolicy, Container, EngineMode, Network, Priority, Quota or RateLimit`},
	} {
		_, err := Parse("f", []byte(policyText(c.kind, c.spec)))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s%s\n got %v\nwant %s", c.kind, c.spec, err, c.want)
		}
	}
}

// Every example can be applied, there is one of each kind, and what is printed of a policy is the policy.
func TestExamples(t *testing.T) {
	files, err := filepath.Glob("../../../docs/examples/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	missing := map[string]bool{}
	for kind := range kinds {
		missing[kind] = true
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		docs, err := Parse(file, text)
		if err != nil {
			t.Error(err)
		}
		for _, d := range docs {
			delete(missing, d.Kind)
			if p := d.Object.GetPolicy(); p != nil {
				sameAgain(t, p)
			}
		}
	}
	if len(missing) > 0 {
		t.Errorf("no example of %v", missing)
	}
	text, err := os.ReadFile("../../../docs/examples/rate-limit.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if p := parseOne(t, string(text)); p.GetSelect().GetContainer() != "c" || p.GetRateLimit().GetEgress().GetBits() != 5e9 {
		t.Errorf("docs/examples/rate-limit.yaml does not cap the container c: %v", p)
	}
}

// sameAgain checks that a policy that is written and read is the same.
func sameAgain(t *testing.T, p *pb.Policy) {
	t.Helper()
	text, err := json.Marshal([]Written{Format(p)})
	if err != nil {
		t.Fatal(err)
	}
	docs, err := Parse("printed", text)
	if err != nil || len(docs) != 1 {
		t.Fatalf("%s\n%v", text, err)
	}
	if got := docs[0].Object.GetPolicy(); !proto.Equal(policies.Normal(got), policies.Normal(p)) {
		t.Fatalf("%s\n got %v\nwant %v", text, got, p)
	}
}

func FuzzPolicies(f *testing.F) {
	f.Add("RateLimit", "  rate: 5Gbit\n  select: {container: a, labels: {k: v}}")
	f.Add("AccessPolicy", "  rules: [{action: deny, to: {cidr: 'fd00::/8'}}]")
	f.Add("Quota", "  limits: {qps: 1k, mrBytes: 1.5GiB}")
	f.Add("Priority", "  dscp: 5\n  order: 7\n  scope: tenant\n  weight: 3")
	f.Add("EngineMode", "  mode: low")
	f.Fuzz(func(t *testing.T, kind, spec string) {
		docs, err := Parse("f", []byte(policyText(kind, spec)))
		if err != nil {
			return
		}
		for _, d := range docs {
			if p := d.Object.GetPolicy(); p != nil {
				if _, err := policies.Read(p); err != nil {
					t.Fatalf("accepted %v: %v", p, err)
				}
				sameAgain(t, p)
			}
		}
	})
}
