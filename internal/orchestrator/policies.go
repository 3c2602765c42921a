package orchestrator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"connectrpc.com/connect"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/protobuf/proto"

	pb "github.com/freeflow-rdma/freeflow/api/freeflow/v1"
	"github.com/freeflow-rdma/freeflow/internal/orchestrator/policies"
)

// Policies have to agree with each other, so every change of any of them also writes policiesChanged, and compares that nobody else has:
// they change one after the other.

// MaxPolicies is how many policies one Apply may have.
const MaxPolicies = 2000

// policyKey names a policy.
type policyKey struct {
	kind pb.Kind // never KIND_POLICY
	name string
}

func (k policyKey) String() string { return policies.KindName(k.kind) + " " + k.name }

// policyDirs are the folders of the kinds under policies/.
var policyDirs = map[pb.Kind]string{
	pb.Kind_KIND_ACCESS_POLICY: "access", pb.Kind_KIND_QUOTA: "quota", pb.Kind_KIND_RATE_LIMIT: "ratelimit", pb.Kind_KIND_PRIORITY: "priority",
	pb.Kind_KIND_ENGINE_MODE: "enginemode",
}

func (k keys) policy(p policyKey) string {
	return k.prefix + dirPolicies + policyDirs[p.kind] + "/" + p.name
}
func (k keys) policiesChanged() string { return k.prefix + dirPolicies + restChanged }

// restChanged is what follows dirPolicies in the key that every change writes.
const restChanged = "changed"

// applyPolicy takes over a policy, or its end, or that there was a change.
func (m *Mirror) applyPolicy(rest string, kv *mvccpb.KeyValue, deleted bool) (*pb.Change, error) {
	if rest == restChanged {
		if m.policyRev = kv.ModRevision; deleted {
			m.policyRev = 0
		}
		return nil, nil
	}
	dir, name, _ := strings.Cut(rest, "/")
	var key policyKey
	for kind, d := range policyDirs {
		if d == dir {
			key = policyKey{kind, name}
		}
	}
	switch {
	case key.kind == 0:
		return nil, fmt.Errorf("policy of an unknown kind") // a later release's
	case deleted:
		delete(m.policies, key)
		return removed(key.kind, "", name), nil
	}
	p := &pb.Policy{}
	if err := decode(kv.Value, p); err != nil {
		return nil, err
	}
	if p.Name != name || policies.KindOf(p) != key.kind {
		return nil, fmt.Errorf("holds %s %s", policies.KindName(policies.KindOf(p)), p.Name)
	}
	m.policies[key] = p
	return policyChange(p), nil
}

func policyChange(p *pb.Policy) *pb.Change { return &pb.Change{What: &pb.Change_Policy{Policy: p}} }

// planPolicy says what makes the policy be as given.
func (p *plan) planPolicy(m *pb.Policy) (*pb.Policy, error) {
	if _, err := policies.Read(m); err != nil {
		return nil, p.wrongPolicy(err)
	}
	if network := m.GetAccess().GetNetwork(); network != "" && p.view.networks[network] == nil {
		return nil, p.wrong("spec.network", "there is no network %q", network)
	}
	m = policies.Normal(m)
	key := policyKey{policies.KindOf(m), m.Name}
	old := p.view.policies[key]
	p.view.policies[key], p.policyAt[key] = m, p.object
	action := pb.ApplyResponse_ACTION_CREATED
	if old != nil {
		action = pb.ApplyResponse_ACTION_CHANGED
	}
	if proto.Equal(old, m) {
		p.done(pb.ApplyResponse_ACTION_UNCHANGED)
		return m, nil
	}
	p.then = append(p.then, clientv3.OpPut(p.keys.policy(key), encode(m)))
	p.note(old, m)
	p.done(action)
	return m, nil
}

// note keeps what the plan changes, for who wants to know.
func (p *plan) note(before, after *pb.Policy) {
	c := changed{after: policyChange(after)}
	if before != nil {
		c.before = policyChange(before)
	}
	p.changes = append(p.changes, c)
}

func (p *plan) wrongPolicy(err error) error {
	var field *policies.FieldError
	if errors.As(err, &field) {
		return p.wrong(field.Field, "%w", field.Err)
	}
	return p.wrong("spec", "%w", err)
}

// agree checks what policies must agree about, and has the transaction fail if others change policies meanwhile.
func (p *plan) agree() error {
	if len(p.policyAt) == 0 {
		return nil
	}
	p.when = append(p.when, unchanged(p.keys.policiesChanged(), p.view.policyRev))
	p.then = append(p.then, clientv3.OpPut(p.keys.policiesChanged(), fmt.Sprint(now())))
	type said struct {
		verdict string
		by      policyKey
	}
	defaults := make(map[string]said)
	order := func(a, b policyKey) int { // those that are given last: they are the ones to blame
		_, mine := p.policyAt[a]
		_, its := p.policyAt[b]
		if mine != its {
			if its {
				return -1
			}
			return 1
		}
		return cmp.Or(cmp.Compare(p.policyAt[a], p.policyAt[b]), cmp.Compare(a.name, b.name))
	}
	for _, key := range slices.SortedFunc(maps.Keys(p.view.policies), order) {
		a := p.view.policies[key].GetAccess()
		if a.GetDefault() == "" {
			continue
		}
		other, ok := defaults[a.Network]
		if at, mine := p.policyAt[key]; ok && other.verdict != a.Default && mine {
			p.object = at
			return p.wrong("spec.default", "network %s has default %s from policy %s: give it in one policy only", a.Network, other.verdict, other.by.name)
		}
		defaults[a.Network] = said{a.Default, key}
	}
	return nil
}

// DeletePolicy removes a policy. With KIND_POLICY, it is the only one of that name, of whichever kind.
func (s *Store) DeletePolicy(ctx context.Context, kind pb.Kind, name string) error {
	for range maxTries {
		if err := s.mirror.Catch(ctx); err != nil {
			return fail("delete policy", err)
		}
		key, rev, err := s.mirror.policyNamed(kind, name)
		if err != nil {
			return err
		}
		before := s.mirror.policy(key)
		done, err := s.txn(ctx, []clientv3.Cmp{unchanged(s.keys.policiesChanged(), rev)},
			clientv3.OpDelete(s.keys.policy(key)), clientv3.OpPut(s.keys.policiesChanged(), fmt.Sprint(now())))
		if err != nil {
			return fail("delete policy", err)
		}
		if done {
			s.tell(ctx, policyChange(before), nil)
			return nil
		}
	}
	return errBusy
}

// policyNamed finds the policy of that name, and the revision of the latest change of any.
func (m *Mirror) policyNamed(kind pb.Kind, name string) (policyKey, int64, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	var found []policyKey
	for key := range m.policies {
		if key.name == name && (key.kind == kind || kind == pb.Kind_KIND_POLICY) {
			found = append(found, key)
		}
	}
	slices.SortFunc(found, func(a, b policyKey) int { return cmp.Compare(a.kind, b.kind) })
	switch len(found) {
	case 1:
		return found[0], m.policyRev, nil
	case 0:
		what := policies.KindName(kind)
		if what == "" {
			what = "policy"
		}
		return policyKey{}, 0, failf(connect.CodeNotFound, "there is no %s %q", what, name)
	}
	return policyKey{}, 0, failf(connect.CodeFailedPrecondition, "%d policies have that name: say %s or %s", len(found), found[0], found[1])
}

func (m *Mirror) policy(key policyKey) *pb.Policy {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.policies[key]
}
