package orchestrator

import (
	"cmp"
	"maps"
	"slices"

	"google.golang.org/protobuf/proto"

	pb "github.com/freeflow-rdma/freeflow/api/freeflow/v1"
)

// ledger knows how much of what a host's sources have counted is in the store ("settled"), and how much is not yet
// ("pending"). It is pure; UsageStore holds a lock around it.
//
// Why nothing is lost or counted twice, whatever restarts, repeats or overtakes:
//
//   - A source counts from nothing and never goes back, and its id is used once. What a source has used is the largest
//     value that it has told, so a report that comes twice, or late, adds nothing.
//   - What goes into a bucket is written together with the values up to which it was counted (state), in one transaction
//     that fails if somebody else has written that state since. An orchestrator that ends loses its memory, not the router's:
//     the next report tells the same values, and what was pending is pending again.
//   - A router tells of a source that has ended until an answer has said that a report with it is settled, and only then
//     the state forgets it: a report that is older than the last one is not taken, so nobody can tell of it again.
type ledger struct {
	epoch    int64
	sequence uint64
	sources  map[string]*account
	pairs    map[pairKey]*pairAccount
	refusals map[refusalKey]uint64
}

// account is one source.
type account struct {
	name            Name
	instance        string
	tenant          string
	settled, latest *pb.Counters
	left            bool // reports tell no more of it
	told            told // the last report that did
}

// told is which report said something: of which run of the router, and its number there.
type told struct {
	epoch    int64
	sequence uint64
}

func (t told) before(epoch int64, sequence uint64) bool {
	return cmp.Or(cmp.Compare(t.epoch, epoch), cmp.Compare(t.sequence, sequence)) < 0
}

type pairKey struct{ source, peerNetwork, peer string }

type pairAccount struct {
	external        bool
	settled, latest pairCount
	left            bool
}

// pairCount is what two have exchanged, as one of them counts it.
type pairCount struct{ txBytes, rxBytes, txMessages, rxMessages uint64 }

type refusalKey struct{ network, container, what, peer, resource, policy string }

func newLedger() *ledger {
	return &ledger{sources: make(map[string]*account), pairs: make(map[pairKey]*pairAccount), refusals: make(map[refusalKey]uint64)}
}

func countOf(p *pb.PairUsage) pairCount {
	return pairCount{p.TxBytes, p.RxBytes, p.TxMessages, p.RxMessages}
}

func (a pairCount) each(b pairCount, f func(a, b uint64) uint64) pairCount {
	return pairCount{f(a.txBytes, b.txBytes), f(a.rxBytes, b.rxBytes), f(a.txMessages, b.txMessages), f(a.rxMessages, b.rxMessages)}
}

func later(a, b uint64) uint64 { return max(a, b) }

// newer says whether a report is later than the last one that was taken.
func (l *ledger) newer(epoch int64, sequence uint64) bool {
	return told{l.epoch, l.sequence}.before(epoch, sequence)
}

// take takes a report, which has been checked, over; tenant is that of a network. It is false if the report is old.
func (l *ledger) take(r *pb.UsageReport, tenant func(network string) string) bool {
	if !l.newer(r.Epoch, r.Sequence) {
		return false
	}
	l.epoch, l.sequence = r.Epoch, r.Sequence
	for _, a := range l.sources {
		a.left = true
	}
	for _, p := range l.pairs {
		p.left = true
	}
	for _, s := range r.Sources {
		a := l.sources[s.Id]
		if a == nil {
			a = &account{settled: &pb.Counters{}, latest: &pb.Counters{}}
			l.sources[s.Id] = a
		}
		a.name, a.instance, a.tenant, a.left = Name{s.Network, s.Container}, s.Instance, cmp.Or(tenant(s.Network), a.tenant), false
		a.told = told{r.Epoch, r.Sequence}
		raise(a.latest, s.Counters)
	}
	for _, m := range r.Pairs {
		key := pairKey{m.Source, m.PeerNetwork, m.Peer}
		p := l.pairs[key]
		if p == nil {
			p = &pairAccount{}
			l.pairs[key] = p
		}
		p.external, p.left, p.latest = m.External, false, p.latest.each(countOf(m), later)
	}
	return true
}

// refused takes over how often the router has refused what, and returns what is new of it.
func (l *ledger) refused(list []*pb.Refusal, epoch int64) []*pb.Refusal {
	if epoch != l.epoch {
		clear(l.refusals) // a router counts from its start
	}
	var news []*pb.Refusal
	for _, r := range list {
		key := refusalKey{r.Network, r.Container, r.What, r.Peer, r.Resource, r.Policy}
		if n := minus(r.Count, l.refusals[key]); n > 0 {
			l.refusals[key] = r.Count
			fresh := proto.CloneOf(r)
			fresh.Count = n
			news = append(news, fresh)
		}
	}
	return news
}

// posting is what one transaction writes: pending entries, and the state that says that they are settled.
type posting struct {
	entries []*pb.UsageEntry
	state   *pb.UsageState
	gone    []string  // sources that are not in the state
	past    []pairKey // pairs that are not
}

// post prepares what is pending for the store; nil if the store has all of it.
func (l *ledger) post() *posting {
	p := &posting{state: &pb.UsageState{Epoch: l.epoch, Sequence: l.sequence}}
	for _, id := range slices.Sorted(maps.Keys(l.sources)) {
		a := l.sources[id]
		if d := grown(a.latest, a.settled); d != nil {
			p.entries = append(p.entries, &pb.UsageEntry{Network: a.name.Network, Container: a.name.Name, Tenant: a.tenant, Counters: d})
		}
		if a.left {
			p.gone = append(p.gone, id)
			continue
		}
		p.state.Sources = append(p.state.Sources, &pb.UsageSource{
			Id: id, Network: a.name.Network, Container: a.name.Name, Instance: a.instance, Counters: proto.CloneOf(a.latest)})
	}
	l.postPairs(p)
	for key, n := range l.refusals {
		p.state.Refusals = append(p.state.Refusals, &pb.Refusal{
			Network: key.network, Container: key.container, What: key.what, Peer: key.peer, Resource: key.resource, Policy: key.policy, Count: n})
	}
	if len(p.entries) == 0 && len(p.gone) == 0 && len(p.past) == 0 {
		return nil
	}
	return p
}

func (l *ledger) postPairs(p *posting) {
	for key, a := range l.pairs {
		s := l.sources[key.source]
		if d := a.latest.each(a.settled, minus); d != (pairCount{}) && s != nil {
			p.entries = append(p.entries, &pb.UsageEntry{
				Network: s.name.Network, Container: s.name.Name, Tenant: s.tenant, PeerNetwork: key.peerNetwork, Peer: key.peer,
				Counters: &pb.Counters{TxBytes: d.txBytes, RxBytes: d.rxBytes, TxMessages: d.txMessages, RxMessages: d.rxMessages},
			})
		}
		if a.left || s == nil || s.left {
			p.past = append(p.past, key)
			continue
		}
		n := a.latest
		p.state.Pairs = append(p.state.Pairs, &pb.PairUsage{Source: key.source, PeerNetwork: key.peerNetwork, Peer: key.peer, External: a.external,
			TxBytes: n.txBytes, RxBytes: n.rxBytes, TxMessages: n.txMessages, RxMessages: n.rxMessages})
	}
}

// settle notes that a posting is in the store.
func (l *ledger) settle(p *posting) {
	l.settleState(p.state, true)
	for _, id := range p.gone {
		if a := l.sources[id]; a != nil && a.left {
			delete(l.sources, id)
		}
	}
	for _, key := range p.past {
		if a := l.pairs[key]; a != nil && (a.left || l.sources[key.source] == nil) {
			delete(l.pairs, key)
		}
	}
}

// settleState takes the values of a state as settled. left says what of it is not known here.
func (l *ledger) settleState(state *pb.UsageState, left bool) {
	for _, s := range state.Sources {
		a := l.sources[s.Id]
		if a == nil {
			a = &account{name: Name{s.Network, s.Container}, instance: s.Instance, settled: &pb.Counters{}, latest: &pb.Counters{}, left: left}
			l.sources[s.Id] = a
		}
		raise(a.settled, s.Counters)
		raise(a.latest, s.Counters)
		a.left = a.left && left
	}
	for _, m := range state.Pairs {
		key := pairKey{m.Source, m.PeerNetwork, m.Peer}
		p := l.pairs[key]
		if p == nil {
			p = &pairAccount{external: m.External, left: left}
			l.pairs[key] = p
		}
		p.settled, p.latest = p.settled.each(countOf(m), later), p.latest.each(countOf(m), later)
		p.left = p.left && left
	}
}

// adopt takes over the state that is in the store and was not written from here. What it does not have although it knows of a later report than
// the last that told of it is settled and forgotten. If it knows a later report than this ledger, what it has is current; if not, what it has and the
// last report here did not is to be forgotten.
func (l *ledger) adopt(state *pb.UsageState) {
	newer := l.newer(state.Epoch, state.Sequence)
	l.keep(state)
	if newer {
		l.epoch, l.sequence = state.Epoch, state.Sequence
		clear(l.refusals)
	}
	l.settleState(state, !newer)
	if !newer && state.Epoch != l.epoch {
		return
	}
	for _, r := range state.Refusals {
		key := refusalKey{r.Network, r.Container, r.What, r.Peer, r.Resource, r.Policy}
		l.refusals[key] = max(l.refusals[key], r.Count)
	}
}

// keep drops what a state has forgotten.
func (l *ledger) keep(state *pb.UsageState) {
	there := make(map[string]bool, len(state.Sources))
	for _, s := range state.Sources {
		there[s.Id] = true
	}
	maps.DeleteFunc(l.sources, func(id string, a *account) bool { return !there[id] && a.told.before(state.Epoch, state.Sequence) })
	maps.DeleteFunc(l.pairs, func(key pairKey, _ *pairAccount) bool { return l.sources[key.source] == nil && !there[key.source] })
}
