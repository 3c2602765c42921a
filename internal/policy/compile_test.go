package policy

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/freeflow-rdma/freeflow/internal/qos"
)

func ptr(v uint8) *uint8 { return &v }

func rate(name string, s Selector, bits uint64) Policy {
	return Policy{Name: name, Order: DefaultOrder, Select: s, Spec: RateLimit{ScopeContainer, qos.Limits{Egress: qos.Rate{Bits: bits}}}}
}

// A policy that makes no sense is left out, and the error says which and why.
func TestWrongPolicies(t *testing.T) {
	good := rate("good", Selector{}, 1e9)
	for _, c := range []struct {
		p    Policy
		want string
	}{
		{Policy{Name: "p"}, "unknown kind p: kind:"},
		{Policy{Name: "", Spec: EngineMode("low")}, "metadata.name"},
		{Policy{Name: "p", Order: MaxOrder + 1, Spec: EngineMode("low")}, "spec.order"},
		{Policy{Name: "p", Spec: EngineMode("slow")}, "spec.mode"},
		{rate("p", Selector{Container: "a b"}, 1e9), "spec.select.container"},
		{rate("p", Selector{Host: "h/1"}, 1e9), "spec.select.host"},
		{rate("p", Selector{Labels: map[string]string{"": "x"}}, 1e9), "spec.select.labels"},
		{rate("p", Selector{Labels: map[string]string{"k": strings.Repeat("x", 257)}}, 1e9), "spec.select.labels"},
		{rate("p", Selector{Image: strings.Repeat("x", 257)}, 1e9), "spec.select.image"},
		{rate("p", Selector{}, 999), "spec.egress.rate"},
		{Policy{Name: "p", Spec: Quota{ScopeQP, map[qos.Resource]uint64{qos.QPs: 1}}}, "spec.scope"},
		{Policy{Name: "p", Spec: Quota{Limits: map[qos.Resource]uint64{qos.NumResources: 1}}}, "spec.limits"},
		{Policy{Name: "p", Spec: Quota{Limits: map[qos.Resource]uint64{qos.QPs: qos.Unlimited}}}, "spec.limits.qps"},
		{Policy{Name: "p", Spec: Priority{Class: ptr(3)}}, "spec.class"},
		{Policy{Name: "p", Spec: Priority{DSCP: ptr(64)}}, "spec.dscp"},
		{Policy{Name: "p", Spec: Priority{Weight: MaxWeight + 1}}, "spec.weight"},
		{Policy{Name: "p", Select: Selector{Network: "n"}, Spec: Priority{Scope: ScopeTenant, Weight: 2}}, "spec.select"},
		{acl("p", 1, Access{Default: 3}), "spec.default"},
		{acl("p", 1, Access{Rules: []Rule{{}}}), "spec.rules[0].action"},
		{acl("p", 1, Access{Rules: make([]Rule, MaxRules+1)}), "spec.rules"},
	} {
		s, err := Compile([]Policy{c.p, good})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %s", c.p, err, c.want)
		}
		if s.Params(container("x")).Container.Egress.Bits != 1e9 {
			t.Errorf("%+v: the other policy does not hold", c.p)
		}
	}
}

func TestGlob(t *testing.T) {
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"web-*", "web-1", true}, {"web-*", "web-", true}, {"web-*", "web", false}, {"*", "x", true}, {"*a*b", "xaab", true}, {"*a*b", "xaba", false},
		{"?", "a", true}, {"?", "ab", false}, {"a?c", "abc", true}, {"a", "a", true}, {"a", "b", false}, {"**", "x", true}, {"*x", "y", false},
	} {
		if got := glob(c.pattern, c.name); got != c.want {
			t.Errorf("%s, %s: %v", c.pattern, c.name, got)
		}
	}
	if glob(strings.Repeat("*a", 31), strings.Repeat("a", 60)+"b") {
		t.Error("that does not match")
	}
}

// Names and the values that they stand for go both ways.
func TestNames(t *testing.T) {
	for _, name := range ResourceNames() {
		if r, ok := ParseResource(name); !ok || name == "" || ResourceName(r) != name {
			t.Errorf("resource %q is %d", name, r)
		}
	}
	for class := range qos.NumClasses {
		if got, ok := ParseClass(ClassName(class)); !ok || got != class {
			t.Errorf("class %d", class)
		}
	}
	for _, s := range []Scope{ScopeContainer, ScopeQP, ScopeTenant} {
		if got, ok := ParseScope(s.String()); !ok || got != s {
			t.Errorf("scope %s", s)
		}
	}
	for _, v := range []Verdict{Allow, Deny} {
		if got, ok := ParseVerdict(v.String()); !ok || got != v {
			t.Errorf("verdict %s", v)
		}
	}
	for _, k := range Kinds {
		if text, err := k.MarshalText(); err != nil || strings.Contains(string(text), "unknown") {
			t.Errorf("kind %d", k)
		}
	}
	for s := range numSlots {
		if text := (saying{s, 1}).String(); text == "" {
			t.Errorf("slot %d says nothing", s)
		}
	}
}

// The mode of a host is what policies say of all of it, not of some of its containers.
func TestHostMode(t *testing.T) {
	s := compile(t, Policy{Name: "all", Spec: EngineMode("low")}, Policy{Name: "h", Select: Selector{Host: "h"}, Spec: EngineMode("fast")},
		Policy{Name: "c", Select: Selector{Host: "h", Container: "*"}, Spec: EngineMode("auto")})
	if s.HostMode("h") != "fast" || s.HostMode("k") != "low" {
		t.Errorf("%s, %s", s.HostMode("h"), s.HostMode("k"))
	}
	if got := s.Params(Subject{Name: "x", Host: "h"}).Mode; got != "auto" {
		t.Error(got)
	}
}

func TestExplain(t *testing.T) {
	s := compile(t,
		rate("all", Selector{}, 5e9), rate("c", Selector{Container: "c"}, 1e9),
		Policy{Name: "low", Spec: Priority{Class: ptr(qos.ClassLow), Weight: 2}},
		Policy{Name: "high", Select: Selector{Labels: map[string]string{"k": "v"}}, Spec: Priority{Class: ptr(qos.ClassHigh)}},
		acl("acl", 5, Access{Default: Deny, Rules: []Rule{
			{Action: Allow, From: Selector{Container: "c"}}, {Action: Allow, From: Selector{Container: "d"}, To: Selector{Container: "d"}}}}))
	want := []Match{
		{KindAccess, "acl", 5, "network n", []string{"rule 1: allow from container c to everybody", "default deny"}, nil},
		{KindRateLimit, "all", 100, "everybody", nil, []string{"container: egress 5Gbit (c has container: egress 1Gbit)"}},
		{KindRateLimit, "c", 100, "container c", []string{"container: egress 1Gbit"}, nil},
		{KindPriority, "high", 0, "label k=v", []string{"class high"}, nil},
		{KindPriority, "low", 0, "everybody", []string{"container: weight 2"}, []string{"class low (high has class high)"}},
	}
	if got := s.Explain(container("c", "k=v")); !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%s\nwant\n%s", lines(got), lines(want))
	}
}

func lines(list []Match) (text string) {
	for _, m := range list {
		text += fmt.Sprintf("%+v\n", m)
	}
	return text
}
