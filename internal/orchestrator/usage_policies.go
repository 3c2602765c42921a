package orchestrator

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"connectrpc.com/connect"

	pb "github.com/freeflow-rdma/freeflow/api/freeflow/v1"
	"github.com/freeflow-rdma/freeflow/internal/orchestrator/policies"
	"github.com/freeflow-rdma/freeflow/internal/policy"
)

// talliedFor is how long an answer about all policies and all containers is good: it costs more than other looks.
const talliedFor = 4 * time.Second

// policyBoard is the policies as people look at them. Any goroutine may use it.
type policyBoard struct {
	mu   sync.Mutex
	rev  int64 // of the compiled ones
	list []policy.Policy
	set  *policy.Set
	at   time.Time
	rows []*pb.LivePolicy
	// concerns tells which policies of list concern a container; messages never change, so it holds while both are the same.
	concerns map[concernKey][]int
}

type concernKey struct {
	c      *pb.Container
	tenant string
}

// compiled are the policies that hold now. What this orchestrator does not understand is left out. The caller holds mu.
func (b *policyBoard) compiled(m *Mirror) *policy.Set {
	m.mu.RLock()
	rev, list := m.policyRev, make([]*pb.Policy, 0, len(m.policies))
	for _, p := range m.policies {
		list = append(list, p)
	}
	m.mu.RUnlock()
	if rev == b.rev && b.set != nil {
		return b.set
	}
	b.list = nil
	for _, p := range list {
		if read, err := policies.Read(p); err == nil {
			b.list = append(b.list, read)
		}
	}
	set, err := policy.Compile(b.list)
	if err != nil {
		set, b.list = &policy.Set{}, nil // they were checked together when they were applied: not by this release
	}
	b.rev, b.set, b.at, b.concerns = rev, set, time.Time{}, nil
	return set
}

// matches are the policies that concern a container.
func (b *policyBoard) matches(m *Mirror, c *pb.Container, tenant string) []*pb.PolicyMatch {
	b.mu.Lock()
	set := b.compiled(m)
	b.mu.Unlock()
	var list []*pb.PolicyMatch
	for _, match := range set.Explain(policies.Subject(c, tenant)) {
		list = append(list, &pb.PolicyMatch{Kind: match.Kind.String(), Name: match.Name, Order: match.Order, Selects: match.Selects, Holds: match.Holds, Overruled: match.Overruled})
	}
	return list
}

// all are all policies, with what they do.
func (b *policyBoard) all(l *live, now time.Time) []*pb.LivePolicy {
	b.mu.Lock()
	defer b.mu.Unlock()
	set := b.compiled(l.mirror)
	if now.Sub(b.at) < talliedFor && now.After(b.at) {
		return b.rows
	}
	index := make(map[policyRef]int, len(b.list))
	b.rows = make([]*pb.LivePolicy, len(b.list))
	for i, p := range b.list {
		index[policyRef{p.Kind(), p.Name}] = i
		b.rows[i] = &pb.LivePolicy{Kind: p.Kind().String(), Name: p.Name, Order: p.Order, Selects: p.Selects(), What: p.What()}
	}
	known := make(map[concernKey][]int)
	for c, does := range l.doing(now.UnixNano()) {
		key := concernKey{c, does.tenant}
		concerns, ok := b.concerns[key]
		if !ok {
			concerns = concerning(set, key, index)
		}
		known[key] = concerns
		for _, i := range concerns {
			does.count(b.rows[i], b.list[i].Kind())
		}
	}
	b.concerns = known
	slices.SortFunc(b.rows, func(x, y *pb.LivePolicy) int { return cmp.Or(cmp.Compare(x.Kind, y.Kind), cmp.Compare(x.Name, y.Name)) })
	b.at = now
	return b.rows
}

type policyRef struct {
	kind policy.Kind
	name string
}

// concerning are the places in index of the policies that concern a container.
func concerning(set *policy.Set, key concernKey, index map[policyRef]int) (list []int) {
	for _, match := range set.Explain(policies.Subject(key.c, key.tenant)) {
		if i, ok := index[policyRef{match.Kind, match.Name}]; ok {
			list = append(list, i)
		}
	}
	return list
}

// doing is what happens to a container.
type doing struct {
	tenant          string
	limited         bool
	denied, refused uint64
}

func (d doing) count(row *pb.LivePolicy, kind policy.Kind) {
	row.Containers++
	switch kind {
	case policy.KindRateLimit:
		if d.limited {
			row.Limited++
		}
	case policy.KindQuota:
		row.Denied += d.denied
	case policy.KindAccess:
		row.Refused += d.refused
	}
}

// doing is what happens to each running container.
func (l *live) doing(now int64) map[*pb.Container]doing {
	s := l.mirror.scene(now)
	l.mu.Lock()
	defer l.mu.Unlock()
	all := make(map[*pb.Container]doing)
	for _, c := range s.containers {
		if c.State != pb.Container_STATE_RUNNING {
			continue
		}
		d := doing{tenant: s.tenants[c.Network]}
		if lc := l.container(c, now); lc != nil {
			d.limited, d.denied, d.refused = lc.rates.limited > 0, lc.denied.sum(now), lc.refused.sum(now)
		}
		all[c] = d
	}
	return all
}

// Policies is part of the API.
func (s usageService) Policies(_ context.Context, r *connect.Request[pb.PoliciesRequest]) (*connect.Response[pb.PoliciesResponse], error) {
	page := r.Msg.GetPage()
	if page == nil {
		page = &pb.Page{Limit: maxPage}
	}
	search := strings.ToLower(page.Search)
	all := s.usage.board.all(s.usage.live, time.Now())
	list := slices.DeleteFunc(slices.Clone(all), func(p *pb.LivePolicy) bool { return !found(search, p.Kind, p.Name, p.Selects, p.What) })
	return connect.NewResponse(&pb.PoliciesResponse{Policies: cut(list, page), Total: int32(len(list))}), nil
}
