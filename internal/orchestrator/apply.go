package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"connectrpc.com/connect"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/protobuf/proto"

	pb "github.com/freeflow-rdma/freeflow/api/freeflow/v1"
	"github.com/freeflow-rdma/freeflow/internal/orchestrator/policies"
)

// MaxObjects is how many objects one Apply may have, policies aside: all of them are one transaction.
const MaxObjects = 40

// plan is an Apply as one transaction: what it compares and does, made object by object. Each sees what those before it do.
type plan struct {
	keys    keys
	view    *applyView
	when    []clientv3.Cmp
	then    []clientv3.Op
	object  int // the one at hand
	seen    map[refKey]bool
	actions []pb.ApplyResponse_Action
	changes []changed

	policyAt map[policyKey]int // which objects are policies
}

// applyView is the state that a plan is made for, and then what the plan makes of it.
type applyView struct {
	rev        int64
	networks   map[string]*pb.Network
	revs       map[string]int64 // of networks, as stored
	vnis       map[uint32]string
	containers map[Name]*pb.Container
	conRevs    map[Name]int64
	owners     map[Name]string // network and address to container
	policies   map[policyKey]*pb.Policy
	policyRev  int64
}

// Apply makes the objects be as given, all of them or none.
func (s *Store) Apply(ctx context.Context, r *pb.ApplyRequest) (*pb.ApplyResponse, error) {
	return s.apply(ctx, r, false)
}

// apply is Apply; with onlyNew it leaves alone what exists.
func (s *Store) apply(ctx context.Context, r *pb.ApplyRequest, onlyNew bool) (*pb.ApplyResponse, error) {
	if err := checkNumber(r.Objects); err != nil {
		return nil, err
	}
	for range maxTries {
		if err := s.mirror.Catch(ctx); err != nil {
			return nil, fail("apply", err)
		}
		p := &plan{keys: s.keys, view: s.mirror.applyView(), seen: make(map[refKey]bool), policyAt: make(map[policyKey]int)}
		if onlyNew && p.view.networks[r.Objects[0].GetNetwork().GetName()] != nil {
			return &pb.ApplyResponse{}, nil
		}
		answer, err := p.addAll(r.Objects)
		if err != nil || r.DryRun || len(p.changes) == 0 {
			return answer, err
		}
		then, err := bundle(p.then, len(p.when))
		if err != nil {
			return nil, err
		}
		done, err := s.txn(ctx, p.when, then...)
		if err != nil {
			return nil, fail("apply", err)
		}
		if done {
			for _, c := range p.changes {
				s.tell(ctx, c.before, c.after)
			}
			return answer, nil
		}
	}
	return nil, errBusy
}

// checkNumber refuses more than one transaction can hold.
func checkNumber(list []*pb.Object) error {
	ruling := 0
	for _, o := range list {
		if o.GetPolicy() != nil {
			ruling++
		}
	}
	if n := len(list) - ruling; n > MaxObjects {
		return failf(connect.CodeInvalidArgument, "%d objects that are no policies at once: want at most %d", n, MaxObjects)
	}
	if ruling > MaxPolicies {
		return failf(connect.CodeInvalidArgument, "%d policies at once: want at most %d", ruling, MaxPolicies)
	}
	return nil
}

// maxOps is the most that etcd, by its defaults, takes in one transaction, of comparisons or of operations. A transaction within it may have
// as many less those of the one around it.
const maxOps = 128

// bundle puts many operations into transactions within the transaction, which has that many comparisons. They have none of their own: all or
// nothing is done as before.
func bundle(ops []clientv3.Op, comparisons int) ([]clientv3.Op, error) {
	if len(ops) <= maxOps {
		return ops, nil
	}
	for outer := max(comparisons, 1); outer < maxOps; outer++ {
		if size := maxOps - outer; outer*size >= len(ops) {
			var list []clientv3.Op
			for part := range slices.Chunk(ops, size) {
				list = append(list, clientv3.OpTxn(nil, part, nil))
			}
			return list, nil
		}
	}
	return nil, failf(connect.CodeInvalidArgument, "too many objects at once: apply policies in a file, networks and containers in another")
}

func (p *plan) addAll(list []*pb.Object) (*pb.ApplyResponse, error) {
	answer := &pb.ApplyResponse{}
	for i, o := range list {
		p.object = i
		planned, err := p.add(o)
		if err != nil {
			return nil, err
		}
		answer.Objects = append(answer.Objects, planned)
	}
	answer.Actions = p.actions
	return answer, p.agree()
}

func (p *plan) add(o *pb.Object) (*pb.Object, error) {
	switch spec := o.GetSpec().(type) {
	case *pb.Object_Network:
		if err := p.once(refKey{pb.Kind_KIND_NETWORK, "", spec.Network.GetName()}); err != nil {
			return nil, err
		}
		n, err := p.planNetwork(spec.Network)
		return &pb.Object{Spec: &pb.Object_Network{Network: n}}, err
	case *pb.Object_Container:
		if err := p.once(refKey{pb.Kind_KIND_CONTAINER, spec.Container.GetNetwork(), spec.Container.GetName()}); err != nil {
			return nil, err
		}
		c, err := p.planContainer(spec.Container)
		return &pb.Object{Spec: &pb.Object_Container{Container: c}}, err
	case *pb.Object_Policy:
		if err := p.once(refKey{policies.KindOf(spec.Policy), "", spec.Policy.GetName()}); err != nil {
			return nil, err
		}
		m, err := p.planPolicy(spec.Policy)
		return &pb.Object{Spec: &pb.Object_Policy{Policy: m}}, err
	}
	return nil, p.wrong("kind", "this orchestrator knows no such kind")
}

// once refuses an object that the request has already had.
func (p *plan) once(key refKey) error {
	if p.seen[key] {
		return p.wrong("metadata.name", "%q is given twice", key.name)
	}
	p.seen[key] = true
	return nil
}

func (p *plan) done(a pb.ApplyResponse_Action) { p.actions = append(p.actions, a) }

// wrong is an error about a field of the object at hand.
func (p *plan) wrong(field, format string, args ...any) error {
	text := fmt.Errorf(format, args...)
	err := connect.NewError(connect.CodeInvalidArgument, fmt.Errorf("%s: %w", field, text))
	detail, detailErr := connect.NewErrorDetail(&pb.FieldError{Object: int32(p.object), Field: field, Message: text.Error()})
	if detailErr == nil {
		err.AddDetail(detail)
	}
	return err
}

// WrongField is the detail of an error of Apply: which field of which object was wrong; nil if it has none.
func WrongField(err error) *pb.FieldError {
	var c *connect.Error
	if !errors.As(err, &c) {
		return nil
	}
	for _, d := range c.Details() {
		if m, err := d.Value(); err == nil {
			if f, ok := m.(*pb.FieldError); ok {
				return f
			}
		}
	}
	return nil
}

// planContainer reserves an address for a container that may come later.
func (p *plan) planContainer(c *pb.Container) (*pb.Container, error) {
	if err := checkName("container name", c.Name); err != nil {
		return nil, p.wrong("metadata.name", "%w", plainError(err))
	}
	n := p.view.networks[c.Network]
	if n == nil {
		return nil, p.wrong("spec.network", "there is no network %q", c.Network)
	}
	ip, err := netip.ParseAddr(c.Ip)
	if err != nil || !newPool(netip.MustParsePrefix(n.Cidr)).has(ip) {
		return nil, p.wrong("spec.ip", "%q is not an address that network %s (%s) can assign", c.Ip, n.Name, n.Cidr)
	}
	key, at := Name{c.Network, c.Name}, Name{c.Network, ip.String()}
	old := p.view.containers[key]
	p.when = append(p.when, unchanged(p.keys.container(key), p.view.conRevs[key]), unchanged(p.keys.network(n.Name), p.view.revs[n.Name]))
	if old != nil && old.Ip == ip.String() && !old.Ephemeral {
		p.done(pb.ApplyResponse_ACTION_UNCHANGED)
		return old, nil
	}
	if owner := p.view.owners[at]; owner != "" && owner != c.Name {
		return nil, p.wrong("spec.ip", "%s is container %s's", ip, owner)
	}
	if old != nil && old.State == pb.Container_STATE_RUNNING {
		return nil, p.wrong("spec.ip", "container %s runs on host %s with %s: stop it first", key, old.Host, old.Ip)
	}
	next := &pb.Container{Network: c.Network, Name: c.Name, Ip: ip.String(), State: pb.Container_STATE_STOPPED, Since: now()}
	action := pb.ApplyResponse_ACTION_CREATED
	if old != nil {
		next = proto.CloneOf(old)
		next.Ip, action = ip.String(), pb.ApplyResponse_ACTION_CHANGED
		p.then = append(p.then, clientv3.OpDelete(p.keys.address(c.Network, old.Ip)))
		delete(p.view.owners, Name{c.Network, old.Ip})
	}
	p.when = append(p.when, absent(p.keys.address(c.Network, next.Ip)))
	p.then = append(p.then, clientv3.OpPut(p.keys.container(key), encode(next)), clientv3.OpPut(p.keys.address(c.Network, next.Ip), c.Name))
	p.view.containers[key], p.view.owners[at] = next, c.Name
	p.changes = append(p.changes, containerChanged(old, next))
	p.done(action)
	return next, nil
}

func containerChanged(before, after *pb.Container) changed {
	if before == nil {
		return changed{nil, containerChange(after)}
	}
	return changed{containerChange(before), containerChange(after)}
}

// applyView copies what plans are made on. Applying is rare; the copy keeps it simple.
func (m *Mirror) applyView() *applyView {
	m.mu.RLock()
	defer m.mu.RUnlock()
	v := &applyView{
		rev:      m.rev,
		networks: make(map[string]*pb.Network), revs: make(map[string]int64), vnis: make(map[uint32]string),
		containers: make(map[Name]*pb.Container), conRevs: make(map[Name]int64), owners: make(map[Name]string),
		policies: maps.Clone(m.policies), policyRev: m.policyRev,
	}
	for name, e := range m.nets {
		v.networks[name], v.revs[name], v.vnis[e.net.Vni] = e.net, e.rev, name
	}
	for key, e := range m.byName {
		v.containers[key], v.conRevs[key] = e.c, e.rev
		v.owners[Name{key.Network, e.c.Ip}] = key.Name
	}
	return v
}

func (v *applyView) freeVNI() uint32 {
	n := uint32(1)
	for v.vnis[n] != "" {
		n++
	}
	return n
}

// DeleteContainer ends a reservation. A container that runs is its host's to end.
func (s *Store) DeleteContainer(ctx context.Context, key Name) error {
	for range maxTries {
		v, err := s.look(ctx, key, true)
		if err != nil {
			return fail("delete container", err)
		}
		if v.c == nil {
			return failf(connect.CodeNotFound, "there is no container %s", key)
		}
		when := []clientv3.Cmp{unchanged(s.keys.container(key), v.rev)}
		if v.c.State == pb.Container_STATE_RUNNING {
			if v.hostAlive {
				return failf(connect.CodeFailedPrecondition, "container %s runs on host %s: end it there first", key, v.c.Host)
			}
			when = append(when, absent(s.keys.alive(v.c.Host)))
		}
		done, err := s.txn(ctx, when, clientv3.OpDelete(s.keys.container(key)), clientv3.OpDelete(s.keys.address(key.Network, v.c.Ip)))
		if err != nil {
			return fail("delete container", err)
		}
		if done {
			s.tell(ctx, containerChange(v.c), nil)
			return nil
		}
	}
	return errBusy
}
