package orchestrator

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"connectrpc.com/connect"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/protobuf/proto"

	pb "github.com/freeflow-rdma/freeflow/api/freeflow/v1"
)

func policyObject(p *pb.Policy) *pb.Object {
	return &pb.Object{Spec: &pb.Object_Policy{Policy: p}}
}

func rateLimit(name string, bits uint64) *pb.Object {
	return policyObject(&pb.Policy{Name: name, Select: &pb.Selector{Container: "c"},
		Spec: &pb.Policy_RateLimit{RateLimit: &pb.RateLimit{Egress: &pb.Rate{Bits: bits}}}})
}

func quotaOf(name string, qps uint64) *pb.Object {
	return policyObject(&pb.Policy{Name: name, Spec: &pb.Policy_Quota{Quota: &pb.Quota{Limits: map[string]uint64{"qps": qps}}}})
}

func accessPolicy(name, network, fallback string) *pb.Object {
	a := &pb.AccessPolicy{Network: network, Default: fallback, Rules: []*pb.AccessRule{{Action: "allow"}}}
	return policyObject(&pb.Policy{Name: name, Spec: &pb.Policy_Access{Access: a}})
}

// watched is what a router hears of policies, by kind and name.
func (w *world) watched(i int) map[policyKey]*pb.Policy {
	w.Helper()
	w.current()
	b, err := w.stores[i].mirror.Watch(w.ctx, 0, func(c *pb.Change) bool { return concerns("h", c) && ofKind(pb.Kind_KIND_POLICY)(c) }).Next(w.ctx)
	if err != nil {
		w.Fatal(err)
	}
	all := make(map[policyKey]*pb.Policy)
	for _, c := range b.changes {
		all[policyKey{refOf(c).kind, refOf(c).name}] = c.GetPolicy()
	}
	return all
}

func TestApplyPolicies(t *testing.T) {
	w := newWorld(t, 2)
	explicit := rateLimit("r", 1e9)
	explicit.GetPolicy().Order, explicit.GetPolicy().GetRateLimit().Scope = proto.Uint32(100), "container"
	explicit.GetPolicy().GetRateLimit().Ingress = &pb.Rate{}
	for _, c := range []struct {
		name    string
		dry     bool
		objects []*pb.Object
		want    string
	}{
		{"dry run", true, []*pb.Object{rateLimit("r", 1e9)}, "+"},
		{"two kinds may have one name", false, []*pb.Object{rateLimit("r", 1e9), quotaOf("r", 4)}, "++"},
		{"the same", false, []*pb.Object{rateLimit("r", 1e9)}, "="},
		{"the same in other words", false, []*pb.Object{explicit}, "="},
		{"another rate", false, []*pb.Object{rateLimit("r", 2e9), quotaOf("r", 4)}, "~="},
		{"a network and its policy", false, []*pb.Object{network("n", "10.9.0.0/24", 0), accessPolicy("a", "n", "deny")}, "++"},
		{"a default moves to another policy", false, []*pb.Object{accessPolicy("a", "n", ""), accessPolicy("b", "n", "allow")}, "~+"},
	} {
		got, objects, err := w.apply(c.dry, c.objects...)
		if err != nil || got != c.want || len(objects) != len(c.want) {
			t.Fatalf("%s: %q, %v, want %q", c.name, got, err, c.want)
		}
		w.consistent()
	}
	for i := range w.stores {
		all := w.watched(i)
		if got := all[policyKey{pb.Kind_KIND_RATE_LIMIT, "r"}].GetRateLimit().GetEgress().GetBits(); got != 2e9 || len(all) != 4 {
			t.Errorf("orchestrator %d tells of %d policies, r is %d", i, len(all), got)
		}
	}
	bad := func(p *pb.Policy) *pb.Object { return policyObject(p) }
	for _, c := range []struct {
		field  string
		object *pb.Object
	}{
		{"metadata.name", rateLimit("", 1e9)},
		{"metadata.name", rateLimit("a/b", 1e9)},
		{"spec.egress.rate", rateLimit("x", 1)},
		{"spec.network", accessPolicy("x", "none", "")},
		{"spec.default", accessPolicy("x", "n", "deny")}, // b says allow
		{"spec.default", accessPolicy("x", "n", "maybe")},
		{"kind", bad(&pb.Policy{Name: "x"})},
		{"spec.limits", bad(&pb.Policy{Name: "x", Spec: &pb.Policy_Quota{Quota: &pb.Quota{Limits: map[string]uint64{"qp": 1}}}})},
		{"spec.limits", bad(&pb.Policy{Name: "x", Spec: &pb.Policy_Quota{}})},
		{"spec.scope", bad(&pb.Policy{Name: "x", Spec: &pb.Policy_Quota{Quota: &pb.Quota{Scope: "qp"}}})},
		{"spec.mode", bad(&pb.Policy{Name: "x", Spec: &pb.Policy_EngineMode{}})},
		{"spec.dscp", bad(&pb.Policy{Name: "x", Spec: &pb.Policy_Priority{Priority: &pb.Priority{Dscp: proto.Uint32(300)}}})},
		{"spec.rules[0].from.cidr", bad(&pb.Policy{Name: "x", Spec: &pb.Policy_Access{Access: &pb.AccessPolicy{Network: "n",
			Rules: []*pb.AccessRule{{Action: "deny", From: &pb.Selector{Cidr: "nowhere"}}}}}})},
		{"spec.rules[0].action", bad(&pb.Policy{Name: "x", Spec: &pb.Policy_Access{Access: &pb.AccessPolicy{Network: "n", Rules: []*pb.AccessRule{nil}}}})},
	} {
		_, _, err := w.apply(false, quotaOf("z", 1), c.object)
		if wrong := WrongField(err); wrong == nil || wrong.Field != c.field || wrong.Object != 1 {
			t.Errorf("%v: %v, want field %s", c.object, err, c.field)
		}
	}
	if _, _, err := w.apply(false, quotaOf("z", 1), quotaOf("z", 2)); WrongField(err).GetField() != "metadata.name" {
		t.Errorf("twice: %v", err)
	}
	if w.watched(0)[policyKey{pb.Kind_KIND_QUOTA, "z"}] != nil {
		t.Error("some of the objects were applied")
	}
}

// Far more than a transaction of etcd holds by itself are applied all at once: a watcher hears of them together.
func TestApplyManyPolicies(t *testing.T) {
	w := newWorld(t, 1)
	rev := w.stores[0].mirror.Revision()
	watcher := w.stores[0].mirror.Watch(w.ctx, rev, anything)
	var objects []*pb.Object
	for i := range MaxPolicies - 1 {
		objects = append(objects, rateLimit(fmt.Sprint("r", i), uint64(i+1)*1e6))
	}
	for i := range MaxObjects {
		objects = append(objects, network(fmt.Sprint("n", i), fmt.Sprintf("10.%d.0.0/16", 100+i), 0))
	}
	objects = append(objects, accessPolicy("last", "n7", "deny"))
	if _, _, err := w.apply(false, objects...); err != nil {
		t.Fatal(err)
	}
	b, err := watcher.Next(w.ctx)
	if err != nil || b.snapshot || len(b.changes) != len(objects) {
		t.Fatalf("%d changes at once, %v", len(b.changes), err)
	}
	var reserved []*pb.Object
	for i := range MaxObjects {
		reserved = append(reserved, reservation("n1", fmt.Sprint("c", i), fmt.Sprintf("10.101.0.%d", 1+i)))
	}
	for i := range 900 {
		reserved = append(reserved, rateLimit(fmt.Sprint("r", i), 7e9))
	}
	_, _, err = w.apply(false, reserved...)
	refused(t, err, connect.CodeInvalidArgument, "in another")
	if _, _, err := w.apply(false, reserved[:MaxObjects+760]...); err != nil {
		t.Errorf("what just fits: %v", err)
	}
	if _, _, err := w.apply(false, append(objects, quotaOf("one-more", 1))...); connect.CodeOf(err) != connect.CodeInvalidArgument {
		t.Errorf("too many: %v", err)
	}
	if got := len(w.watched(0)); got != MaxPolicies {
		t.Errorf("%d policies", got)
	}
	if err := w.stores[0].mirror.load(w.ctx); err != nil {
		t.Fatal(err)
	}
	if got := len(w.watched(0)); got != MaxPolicies {
		t.Errorf("%d policies after the state was loaded again", got)
	}
}

// More than etcd takes in one request is refused with words that help.
func TestApplyTooLargePolicies(t *testing.T) {
	w := newWorld(t, 1)
	var objects []*pb.Object
	name := strings.Repeat("n", 60)
	for i := range 16 {
		o := accessPolicy(fmt.Sprint("p", i), "default", "")
		for range 999 {
			o.GetPolicy().GetAccess().Rules = append(o.GetPolicy().GetAccess().Rules, &pb.AccessRule{Action: "deny", From: &pb.Selector{Container: name}})
		}
		objects = append(objects, o)
	}
	_, _, err := w.apply(false, objects...)
	refused(t, err, connect.CodeResourceExhausted, "too much at once")
	if _, _, err := w.apply(false, objects[:8]...); err != nil {
		t.Error(err)
	}
}

func TestDeletePolicy(t *testing.T) {
	w := newWorld(t, 2)
	s := w.stores[1]
	if _, _, err := w.apply(false, rateLimit("r", 1e9), quotaOf("r", 4), quotaOf("q", 4)); err != nil {
		t.Fatal(err)
	}
	refused(t, s.DeletePolicy(w.ctx, pb.Kind_KIND_POLICY, "r"), connect.CodeFailedPrecondition, "Quota r", "RateLimit r")
	refused(t, s.DeletePolicy(w.ctx, pb.Kind_KIND_PRIORITY, "r"), connect.CodeNotFound, "Priority")
	refused(t, s.DeletePolicy(w.ctx, pb.Kind_KIND_POLICY, "none"), connect.CodeNotFound, "policy")
	for _, kind := range []pb.Kind{pb.Kind_KIND_QUOTA, pb.Kind_KIND_POLICY} { // then there is only one of that name
		if err := s.DeletePolicy(w.ctx, kind, "r"); err != nil {
			t.Fatal(err)
		}
	}
	for i := range w.stores {
		if all := w.watched(i); len(all) != 1 || all[policyKey{pb.Kind_KIND_QUOTA, "q"}] == nil {
			t.Errorf("left: %v", all)
		}
	}
}

// Orchestrators that change policies at once do not make them disagree.
func TestPoliciesAgreeWhoeverChangesThem(t *testing.T) {
	w := newWorld(t, 2)
	for round := range 10 {
		var group sync.WaitGroup
		errs := make([]error, 2)
		for i, s := range w.stores {
			group.Go(func() {
				o := accessPolicy(fmt.Sprint("p", i), "default", []string{"allow", "deny"}[i])
				_, errs[i] = s.Apply(w.ctx, &pb.ApplyRequest{Objects: []*pb.Object{o}})
			})
		}
		group.Wait()
		if (errs[0] == nil) == (errs[1] == nil) {
			t.Fatalf("round %d: %v, %v: want one of them refused", round, errs[0], errs[1])
		}
		if all := w.watched(0); len(all) != 1 {
			t.Fatalf("round %d: %v", round, all)
		}
		if err := w.stores[round%2].DeletePolicy(w.ctx, pb.Kind_KIND_POLICY, map[bool]string{true: "p0", false: "p1"}[errs[0] == nil]); err != nil {
			t.Fatal(err)
		}
	}
}

// Everything that operators change is told, with what was there before.
func TestChangesAreTold(t *testing.T) {
	w := newWorld(t, 1)
	s := w.stores[0]
	w.keep(w.host("a"))
	var told []string
	s.onChange = func(_ context.Context, _ caller, before, after *pb.Change) {
		name := func(c *pb.Change) string {
			if c == nil {
				return "-"
			}
			return fmt.Sprint(refOf(c).name, c.GetPolicy().GetQuota().GetLimits()["qps"])
		}
		told = append(told, name(before)+">"+name(after))
	}
	step := func(want string, err error) {
		t.Helper()
		if got := fmt.Sprint(told); err != nil || got != want {
			t.Errorf("%s, %v, want %s", got, err, want)
		}
		told = nil
	}
	apply := func(dry bool, objects ...*pb.Object) error {
		_, _, err := w.apply(dry, objects...)
		return err
	}
	step("[]", apply(true, quotaOf("q", 1)))
	step("[->q1 ->n0 ->db0]", apply(false, quotaOf("q", 1), network("n", "10.9.0.0/24", 0), reservation("n", "db", "10.9.0.9")))
	step("[q1>q2]", apply(false, quotaOf("q", 2), network("n", "10.9.0.0/24", 0)))
	step("[n0>n0 db0>db0]", apply(false, network("n", "10.9.0.0/16", 0), reservation("n", "db", "10.9.0.8")))
	step("[db0>-]", s.DeleteContainer(w.ctx, Name{"n", "db"}))
	step("[n0>-]", s.DeleteNetwork(w.ctx, "n"))
	step("[q2>-]", s.DeletePolicy(w.ctx, pb.Kind_KIND_QUOTA, "q"))
	if w.apply(false, rateLimit("bad", 1)); len(told) != 0 {
		t.Errorf("what was refused is told: %v", told)
	}
	step("[a0>-]", s.DeleteHost(w.ctx, "a", true))
}

// What a later release has put there, or somebody by hand, does no harm.
func TestStrangePoliciesInEtcd(t *testing.T) {
	w := newWorld(t, 1)
	if _, _, err := w.apply(false, quotaOf("q", 1)); err != nil {
		t.Fatal(err)
	}
	k := w.stores[0].keys
	for key, value := range map[string]string{
		k.prefix + "policies/futurekind/x": `{"name":"x","future":{}}`,
		k.prefix + "policies/nothing":      "",
		k.prefix + "policies/quota/broken": `{"name":`,
		k.prefix + "policies/quota/other":  `{"name":"x","quota":{}}`,
	} {
		if _, err := w.client.Put(w.ctx, key, value); err != nil {
			t.Fatal(err)
		}
	}
	if all := w.watched(0); len(all) != 1 {
		t.Errorf("%v", all)
	}
	if _, err := w.client.Delete(w.ctx, k.prefix+"policies/", clientv3.WithPrefix()); err != nil {
		t.Fatal(err)
	}
	if all := w.watched(0); len(all) != 0 {
		t.Errorf("%v", all)
	}
	if _, _, err := w.apply(false, quotaOf("q", 1)); err != nil {
		t.Errorf("after all was deleted: %v", err)
	}
}
