package orchestrator

import (
	"context"
	"time"

	pb "github.com/freeflow-rdma/freeflow/api/freeflow/v1"
	"github.com/freeflow-rdma/freeflow/internal/orchestrator/policies"
)

const (
	// chunk is how many changes go in one message.
	chunk = 1000
	// While changes come without end they are put together: between two messages to one watcher there is a pause,
	// a little for each watcher there is, so that messages do not take all of the processor.
	pauseEach = 300 * time.Microsecond
	minPause  = 20 * time.Millisecond
	maxPause  = 500 * time.Millisecond
	// laterPatience is how long a watcher waits that has seen more than this orchestrator.
	laterPatience = 5 * time.Second
)

// watcher is one stream's place in what happens. One goroutine's.
type watcher struct {
	m    *Mirror
	past *history // which history next counts in: a loaded state has a new one
	next uint64
	want func(*pb.Change) bool
	last time.Time
}

// batch is what brings a watcher to a revision.
type batch struct {
	rev      int64
	snapshot bool // everything there is
	changes  []*pb.Change
}

// Watch begins after rev, or with everything if rev is 0 or too long ago.
func (m *Mirror) Watch(ctx context.Context, rev int64, want func(*pb.Change) bool) *watcher {
	w := &watcher{m: m, want: want}
	if rev == 0 {
		return w
	}
	ctx, cancel := context.WithTimeout(ctx, laterPatience)
	defer cancel()
	if m.Wait(ctx, rev) != nil {
		return w // etcd is not what it was: everything again
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	if n, ok := m.past.since(rev); ok {
		w.past, w.next = m.past, n
	}
	return w
}

// Next waits until there is something to tell.
func (w *watcher) Next(ctx context.Context) (batch, error) {
	w.m.watching.Add(1)
	defer w.m.watching.Add(-1)
	pause := min(max(minPause, time.Duration(w.m.watching.Load())*pauseEach), maxPause)
	if wait := time.Until(w.last.Add(pause)); wait > 0 {
		select {
		case <-ctx.Done():
			return batch{}, ctx.Err()
		case <-time.After(wait):
		}
	}
	for {
		b, changed := w.take()
		if b.snapshot || len(b.changes) > 0 {
			w.last = time.Now()
			return b, nil
		}
		select {
		case <-ctx.Done():
			return batch{}, ctx.Err()
		case <-changed:
		}
	}
}

// take is what has happened since the last time, and what is closed when there is more.
func (w *watcher) take() (batch, <-chan struct{}) {
	m := w.m
	m.mu.RLock()
	defer m.mu.RUnlock()
	b := batch{rev: m.rev}
	events, kept := []event(nil), false
	if w.past == m.past {
		events, kept = m.past.from(w.next)
	}
	if !kept {
		b.snapshot, b.changes = true, m.everything(w.want)
	} else {
		b.changes = latest(events, w.want)
	}
	w.past, w.next = m.past, m.past.end()
	return b, m.changed
}

// everything is the whole state as changes. The caller holds mu.
func (m *Mirror) everything(want func(*pb.Change) bool) []*pb.Change {
	list := make([]*pb.Change, 0, len(m.hosts)+len(m.nets)+len(m.byName))
	add := func(c *pb.Change) {
		if want(c) {
			list = append(list, c)
		}
	}
	for _, e := range m.nets {
		add(networkChange(e.net))
	}
	for _, h := range m.hosts {
		if h.shown != nil {
			add(hostChange(h.shown))
		}
	}
	for _, e := range m.byName {
		add(containerChange(e.c))
	}
	for _, r := range m.revoked {
		add(&pb.Change{What: &pb.Change_Revocation{Revocation: r}})
	}
	for _, p := range m.policies {
		add(policyChange(p))
	}
	return list
}

// latest drops what has been changed again since.
func latest(events []event, want func(*pb.Change) bool) []*pb.Change {
	seen := make(map[refKey]bool, len(events))
	var list []*pb.Change
	for i := len(events) - 1; i >= 0; i-- {
		c := events[i].change
		if key := refOf(c); want(c) && !seen[key] {
			seen[key] = true
			list = append(list, c)
		}
	}
	for i, j := 0, len(list)-1; i < j; i, j = i+1, j-1 {
		list[i], list[j] = list[j], list[i]
	}
	return list
}

// refKey names what a change is about.
type refKey struct {
	kind          pb.Kind
	network, name string
}

func refOf(c *pb.Change) refKey {
	switch w := c.What.(type) {
	case *pb.Change_Host:
		return refKey{pb.Kind_KIND_HOST, "", w.Host.Name}
	case *pb.Change_Network:
		return refKey{pb.Kind_KIND_NETWORK, "", w.Network.Name}
	case *pb.Change_Container:
		return refKey{pb.Kind_KIND_CONTAINER, w.Container.Network, w.Container.Name}
	case *pb.Change_Mr:
		return refKey{pb.Kind_KIND_MR, "", mrName(w.Mr.Host, w.Mr.Id)}
	case *pb.Change_Revocation:
		return refKey{pb.Kind_KIND_REVOCATION, "", mrName(w.Revocation.Host, w.Revocation.Id)}
	case *pb.Change_Policy:
		return refKey{policies.KindOf(w.Policy), "", w.Policy.Name}
	case *pb.Change_Removed:
		return refKey{w.Removed.Kind, w.Removed.Network, w.Removed.Name}
	}
	return refKey{}
}
