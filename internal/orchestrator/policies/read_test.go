package policies

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	pb "github.com/freeflow-rdma/freeflow/api/freeflow/v1"
	"github.com/freeflow-rdma/freeflow/internal/policy"
	"github.com/freeflow-rdma/freeflow/internal/qos"
)

func message(t testing.TB, text string) *pb.Policy {
	t.Helper()
	m := &pb.Policy{}
	if err := protojson.Unmarshal([]byte(text), m); err != nil {
		t.Fatal(err)
	}
	return m
}

var (
	high, dscp = qos.ClassHigh, uint8(46)
	// good are messages and what they mean.
	good = []struct {
		text string
		want policy.Policy
	}{
		{`{"name":"p","select":{"network":"n","container":"c*","labels":{"k":"v"},"image":"i","host":"h"},"order":0,"rateLimit":{"scope":"qp","egress":{"bits":5000},"ingress":{"messages":7}}}`,
			policy.Policy{Name: "p", Select: policy.Selector{Network: "n", Container: "c*", Labels: map[string]string{"k": "v"}, Image: "i", Host: "h"},
				Spec: policy.RateLimit{Scope: policy.ScopeQP, Limits: qos.Limits{Egress: qos.Rate{Bits: 5000}, Ingress: qos.Rate{Messages: 7}}}}},
		{`{"name":"p","select":{"tenant":"t"},"quota":{"scope":"tenant","limits":{"qps":4,"mrBytes":0}}}`,
			policy.Policy{Name: "p", Order: 100, Select: policy.Selector{Tenant: "t"}, Spec: policy.Quota{Scope: policy.ScopeTenant,
				Limits: map[qos.Resource]uint64{qos.QPs: 4, qos.MRBytes: 0}}}},
		{`{"name":"p","priority":{"class":"high","weight":9,"dscp":46}}`,
			policy.Policy{Name: "p", Order: 100, Spec: policy.Priority{Class: &high, Weight: 9, DSCP: &dscp}}},
		{`{"name":"p","engineMode":{"mode":"low"}}`, policy.Policy{Name: "p", Order: 100, Spec: policy.EngineMode("low")}},
		{`{"name":"p","access":{"network":"n","default":"deny","rules":[{"action":"allow","from":{"container":"a"}},{"action":"deny"}]}}`,
			policy.Policy{Name: "p", Order: 100, Spec: policy.Access{Network: "n", Default: policy.Deny,
				Rules: []policy.Rule{{Action: policy.Allow, From: policy.Selector{Container: "a"}}, {Action: policy.Deny}}}}},
	}
	bad = map[string]string{
		`{"name":"p"}`: "kind",
		`{"name":"p","select":{"cidr":"x"},"engineMode":{"mode":"low"}}`:                                   "spec.select.cidr",
		`{"name":"p","select":{"cidr":"10.0.0.0/8"},"engineMode":{"mode":"low"}}`:                          "spec.select.cidr",
		`{"name":"p","rateLimit":{"scope":"all","egress":{"bits":5000}}}`:                                  "spec.scope",
		`{"name":"p","quota":{"scope":"all"}}`:                                                             "spec.scope",
		`{"name":"p","quota":{"limits":{"cores":4}}}`:                                                      "spec.limits",
		`{"name":"p","priority":{"scope":"x"}}`:                                                            "spec.scope",
		`{"name":"p","priority":{"class":"top"}}`:                                                          "spec.class",
		`{"name":"p","priority":{"dscp":256}}`:                                                             "spec.dscp",
		`{"name":"p","access":{"network":"n","default":"no"}}`:                                             "spec.default",
		`{"name":"p","access":{"network":"n","rules":[{"action":"drop"}]}}`:                                "spec.rules[0].action",
		`{"name":"p","access":{"network":"n","rules":[{"action":"deny","to":{"cidr":"1.2.3.4/99"}}]}}`:     "spec.rules[0].to.cidr",
		`{"name":"p","access":{"network":"n","rules":[{"action":"deny","from":{"cidr":"fe80::1%eth0"}}]}}`: "spec.rules[0].from.cidr",
	}
)

func TestRead(t *testing.T) {
	for _, c := range good {
		if got, err := Read(message(t, c.text)); err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s\n got %+v, %v\nwant %+v", c.text, got, err, c.want)
		}
	}
	for text, field := range bad {
		_, err := Read(message(t, text))
		var wrong *FieldError
		if !errors.As(err, &wrong) || wrong.Field != field || errors.Unwrap(err) == nil || !strings.HasPrefix(err.Error(), field+": ") {
			t.Errorf("%s: %v, want field %s", text, err, field)
		}
	}
	if _, err := Read(nil); err == nil {
		t.Error("no policy is read as one")
	}
}

// What means the same is stored the same, and means what was given.
func TestNormal(t *testing.T) {
	long := message(t, `{"name":"p","select":{},"order":100,"rateLimit":{"scope":"container","egress":{"bits":5000},"ingress":{}}}`)
	short := message(t, `{"name":"p","rateLimit":{"egress":{"bits":5000}}}`)
	if !proto.Equal(Normal(long), Normal(short)) {
		t.Errorf("%v\n%v", Normal(long), Normal(short))
	}
	one := message(t, `{"name":"p","access":{"network":"n","rules":[{"action":"deny","from":{},"to":{"cidr":"192.0.2.1"}}]}}`)
	if r := Normal(one).GetAccess().Rules[0]; r.From != nil || r.To.Cidr != "192.0.2.1/32" || one.GetAccess().Rules[0].To.Cidr != "192.0.2.1" {
		t.Errorf("%v, of %v", r, one)
	}
}

func TestKinds(t *testing.T) {
	for _, c := range good {
		m := message(t, c.text)
		if k := KindOf(m); !IsKind(k) || KindName(k) != c.want.Kind().String() {
			t.Errorf("%s is %s", c.text, k)
		}
	}
	if IsKind(pb.Kind_KIND_POLICY) || KindName(pb.Kind_KIND_HOST) != "" {
		t.Error("kinds that are none")
	}
}

// Whatever a message is, reading it ends, and what is accepted means the same in its normal form and can be compiled.
func FuzzRead(f *testing.F) {
	add := func(text string) {
		bytes, err := proto.Marshal(message(f, text))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(bytes)
	}
	for _, c := range good {
		add(c.text)
	}
	for text := range bad {
		add(text)
	}
	f.Fuzz(func(t *testing.T, bytes []byte) {
		m := &pb.Policy{}
		if proto.Unmarshal(bytes, m) != nil {
			return
		}
		p, err := Read(m)
		normal := Normal(m)
		again, err2 := Read(normal)
		if (err == nil) != (err2 == nil) || err == nil && !reflect.DeepEqual(p, again) || !proto.Equal(normal, Normal(normal)) {
			t.Fatalf("%v is %+v, %v; its normal form %+v, %v", m, p, err, again, err2)
		}
		if err != nil {
			return
		}
		if _, err := policy.Compile([]policy.Policy{p}); err != nil {
			t.Fatalf("%v is read and not compiled: %v", m, err)
		}
	})
}
