package policy

import (
	"net/netip"
	"strings"
	"testing"
)

func container(name string, labels ...string) Subject {
	c := Subject{Network: "n", Name: name, Labels: map[string]string{}}
	for _, l := range labels {
		k, v, _ := strings.Cut(l, "=")
		c.Labels[k] = v
	}
	return c
}

func acl(name string, order uint32, a Access) Policy {
	a.Network = "n"
	return Policy{Name: name, Order: order, Spec: a}
}

func compile(t *testing.T, list ...Policy) *Set {
	t.Helper()
	s, err := Compile(list)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Who may talk to whom in the example of docs/policies.md.
func TestAccess(t *testing.T) {
	s := compile(t,
		acl("web", 100, Access{Default: Deny, Rules: []Rule{
			{Action: Allow, From: Selector{Container: "web-*"}, To: Selector{Labels: map[string]string{"app": "db"}}},
			{Action: Allow, To: Selector{CIDR: netip.MustParsePrefix("192.0.2.0/24")}},
		}}),
		acl("first", 10, Access{Rules: []Rule{{Action: Deny, From: Selector{Container: "web-bad"}}}}))
	web, bad, db, other := container("web-1"), container("web-bad"), container("x", "app=db"), container("other")
	inside, outside := Outside(netip.MustParseAddr("192.0.2.7")), Outside(netip.MustParseAddr("192.0.3.7"))
	foreign := db
	foreign.Network = "m"
	for _, c := range []struct {
		name           string
		from, to       Subject
		allowed, pair  bool
		policy, reason string
	}{
		{"a rule allows", web, db, true, true, "web", "rule 1: allow from container web-* to label app=db"},
		{"the way back is not allowed, but a connection is", db, web, false, true, "web", "default deny"},
		{"no rule", web, other, false, false, "web", "default deny"},
		{"an earlier policy denies", bad, db, false, false, "first", "rule 1: deny from container web-bad to everybody"},
		{"what is denied to one side is no connection", db, bad, false, false, "web", "default deny"},
		{"outside", other, inside, true, true, "web", "rule 2: allow from everybody to 192.0.2.0/24"},
		{"from outside", inside, other, false, true, "web", "default deny"},
		{"elsewhere outside", other, outside, false, false, "web", "default deny"},
		{"everybody is outside too", bad, inside, false, false, "first", ""},
		{"itself", other, other, true, true, "", "itself"},
		{"another network", web, foreign, false, false, "", "different networks"},
		{"nobody of ours", inside, outside, false, false, "", "neither side"},
		{"outside and a network without policies", foreign, outside, true, true, "", ""},
	} {
		d := s.Allowed(c.from, c.to)
		if d.Allowed != c.allowed || d.Policy != c.policy || !strings.Contains(d.Rule, c.reason) {
			t.Errorf("%s: %+v", c.name, d)
		}
		if d := s.Pair(c.from, c.to); d.Allowed != c.pair {
			t.Errorf("%s: pair %+v", c.name, d)
		}
	}
}

// Where nobody has written anything, everybody of a network talks to everybody.
func TestNoPolicies(t *testing.T) {
	for _, s := range []*Set{nil, {}, compile(t)} {
		a, b, out := container("a"), container("b"), Outside(netip.MustParseAddr("192.0.2.7"))
		if !s.Allowed(a, b).Allowed || !s.Pair(a, b).Allowed || !s.Allowed(a, out).Allowed || s.Pair(out, out).Allowed {
			t.Error("who may talk")
		}
		if p := s.Params(a); p.Tenant != "" || p.Weight != 1 || p.Mode != "" || s.HostMode("h") != "" || s.Explain(a) != nil {
			t.Errorf("%+v", p)
		}
	}
}

// Two defaults of one network are an error, and deny is what counts.
func TestTwoDefaults(t *testing.T) {
	for _, order := range []uint32{1, 3} {
		s, err := Compile([]Policy{acl("a", 2, Access{Default: Allow}), acl("b", order, Access{Default: Deny})})
		if err == nil || !strings.Contains(err.Error(), "spec.default") {
			t.Fatal(err)
		}
		if d := s.Allowed(container("x"), container("y")); d.Allowed || d.Policy != "b" {
			t.Errorf("%+v", d)
		}
	}
}
