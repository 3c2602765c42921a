package metrics

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"google.golang.org/protobuf/proto"

	pb "github.com/freeflow-rdma/freeflow/api/freeflow/v1"
)

// Bounds of a report: the orchestrator takes no more.
const (
	maxSources  = 4096
	maxPairs    = 4096
	maxRefusals = 256
	maxFamily   = 64
)

// Book holds what has to be told: containers that run, and those that have ended until the orchestrator has said that a report with their
// last numbers is kept. docs/metering.md tells why nothing is counted twice. Pure.
type Book struct {
	epoch    int64
	sequence uint64
	tag      string // makes ids unlike those of other runs
	made     int
	running  map[runKey]*entry
	ended    map[string]*entry // by id
	done     map[runKey]*doneRun
	refusals []*pb.Refusal
	pairs    int // that have been told of
}

type runKey struct{ network, name, instance string }

// doneRun is a run that has ended. A snapshot that was made before may still have it, and its last numbers may come after one that has not.
type doneRun struct {
	e      *entry
	rounds int // for which it is remembered
}

const doneRounds = 20

// entry is one source.
type entry struct {
	source   *pb.UsageSource
	raw      *pb.Counters // as the Source gave them last
	base     *pb.Counters // what came before, should they have gone back
	peers    map[peerKey]*peerEntry
	told     bool   // in a report: from then on in all, until settled
	endedIn  uint64 // the first report that told of the end; 0: none yet
	restored bool   // of an earlier run of the router
}

type peerKey struct{ network, peer string }

// peerEntry is what was exchanged with one peer.
type peerEntry struct {
	usage     *pb.PairUsage
	raw, base [4]uint64 // as the Source gave them last, and what came before
	told      bool
}

// NewBook makes a book for a run of the router: epoch is to be higher than that of any run before; now, in ns, is. tag is unlike any other run's.
// old is what the run before has left, or nil.
func NewBook(old *pb.UsageState, now int64, tag string) *Book {
	b := &Book{epoch: max(now, 1), tag: tag, running: make(map[runKey]*entry), ended: make(map[string]*entry), done: make(map[runKey]*doneRun)}
	if old == nil {
		return b
	}
	b.epoch = max(b.epoch, old.Epoch+1)
	for _, s := range old.Sources {
		if s.Counters == nil || s.Id == "" {
			continue
		}
		s.Ended = true
		b.ended[s.Id] = &entry{source: s, told: true, restored: true, peers: make(map[peerKey]*peerEntry)}
	}
	for _, p := range old.Pairs {
		if e := b.ended[p.Source]; e != nil {
			e.peers[peerKey{p.PeerNetwork, p.Peer}] = &peerEntry{usage: p, told: true}
			b.pairs++
		}
	}
	return b
}

// Collect takes over what there is now. What is no longer there has ended.
func (b *Book) Collect(s Snapshot) {
	there := make(map[runKey]bool, len(s.Containers))
	for _, c := range s.Containers {
		key := runKey{c.Network, c.Name, c.Instance}
		if b.done[key] == nil {
			b.take(key, c)
		}
		there[key] = true
	}
	for key, d := range b.done {
		if d.rounds--; d.rounds <= 0 && !there[key] {
			delete(b.done, key)
		}
	}
	for key := range b.running {
		if !there[key] {
			b.end(key)
		}
	}
	b.refusals = s.Refusals[:min(len(s.Refusals), maxRefusals)]
}

// Final takes over the last numbers of a container that has ended.
func (b *Book) Final(c Container) {
	key := runKey{c.Network, c.Name, c.Instance}
	d := b.done[key]
	switch {
	case d == nil:
		b.take(key, c)
		b.end(key)
	case b.ended[d.e.source.Id] != nil: // its end has been told already, with less
		b.running[key] = d.e
		b.take(key, c)
		b.end(key)
		d.e.endedIn = 0
	default: // and settled: what is more is a source of its own
		b.take(key, c)
		e := b.running[key]
		walk(e.source.Counters, d.e.raw, func(now, was uint64) uint64 { return now - min(now, was) })
		b.subtractPeers(e, d.e)
		b.end(key)
	}
}

// subtractPeers leaves what e has exchanged beyond what another entry of the same run has.
func (b *Book) subtractPeers(e, before *entry) {
	for key, p := range e.peers {
		if was := before.peers[key]; was != nil {
			u := p.usage
			for i, n := range []*uint64{&u.TxBytes, &u.RxBytes, &u.TxMessages, &u.RxMessages} {
				*n -= min(*n, was.raw[i])
			}
		}
	}
}

func (b *Book) end(key runKey) {
	e := b.running[key]
	delete(b.running, key)
	b.done[key] = &doneRun{e, doneRounds}
	e.source.Ended = true
	e.source.Objects, e.source.Quota = nil, nil
	b.ended[e.source.Id] = e
}

// take takes over the numbers of a container.
func (b *Book) take(key runKey, c Container) {
	e := b.running[key]
	if e == nil {
		b.made++
		e = &entry{peers: make(map[peerKey]*peerEntry), raw: &pb.Counters{}, base: &pb.Counters{}, source: &pb.UsageSource{
			Id: fmt.Sprintf("%x-%s-%d", b.epoch, b.tag, b.made), Network: c.Network, Container: c.Name, Instance: c.Instance, Started: c.Started.UnixNano()}}
		b.running[key] = e
	}
	now := c.Counters
	if now == nil {
		now = &pb.Counters{}
	}
	e.source.Counters = onward(e, now)
	e.source.Objects, e.source.Quota, e.source.Limit, e.source.Class, e.source.Mode = trim(c.Objects), trim(c.Quota), c.Limit, c.Class, c.Mode
	for _, p := range c.Peers {
		e.peer(p)
	}
}

// onward makes numbers that may have gone back go on from where they were.
func onward(e *entry, now *pb.Counters) *pb.Counters {
	if wentBack(e.raw, now) {
		e.base = proto.CloneOf(e.source.Counters)
	}
	e.raw = proto.CloneOf(now)
	total := proto.CloneOf(now)
	walk(total, e.base, func(a, b uint64) uint64 { return a + b })
	for _, m := range families(total) {
		*m = trim(*m)
	}
	return total
}

// wentBack says whether any number is less than it was.
func wentBack(before, now *pb.Counters) (back bool) {
	walk(proto.CloneOf(now), before, func(n, was uint64) uint64 {
		back = back || n < was
		return n
	})
	return back
}

func (e *entry) peer(p *pb.PairUsage) {
	key := peerKey{p.PeerNetwork, p.Peer}
	was := e.peers[key]
	if was == nil {
		was = &peerEntry{}
		e.peers[key] = was
	}
	now := [4]uint64{p.TxBytes, p.RxBytes, p.TxMessages, p.RxMessages}
	for i := range now {
		if now[i] < was.raw[i] {
			for j := range was.base {
				was.base[j] += was.raw[j]
			}
			break
		}
	}
	was.raw = now
	was.usage = &pb.PairUsage{
		PeerNetwork: p.PeerNetwork, Peer: p.Peer, External: p.External, Qps: p.Qps, Refused: p.Refused,
		TxBytes: was.base[0] + now[0], RxBytes: was.base[1] + now[1], TxMessages: was.base[2] + now[2], RxMessages: was.base[3] + now[3],
	}
}

// trim keeps a family within its bound.
func trim(m map[string]uint64) map[string]uint64 {
	if len(m) <= maxFamily {
		return m
	}
	out := make(map[string]uint64, maxFamily)
	for _, name := range slices.Sorted(maps.Keys(m))[:maxFamily] {
		out[name] = m[name]
	}
	return out
}

// Report makes the next report; time is of a clock that only goes forward, ns. What has been told of once is in each report until it is settled:
// if there is too much, new things wait.
func (b *Book) Report(time int64) *pb.UsageReport {
	b.sequence++
	r := &pb.UsageReport{Epoch: b.epoch, Sequence: b.sequence, Time: time, Refusals: b.refusals}
	all := b.entries()
	for _, e := range all[:min(len(all), maxSources)] {
		e.told = true
		if e.source.Ended && e.endedIn == 0 {
			e.endedIn = b.sequence
		}
		r.Sources = append(r.Sources, proto.CloneOf(e.source))
		for _, p := range e.peers {
			if !p.told && b.pairs >= maxPairs {
				continue
			}
			if !p.told {
				p.told = true
				b.pairs++
			}
			told := proto.CloneOf(p.usage)
			told.Source = e.source.Id
			r.Pairs = append(r.Pairs, told)
		}
	}
	return r
}

// entries are all sources: first those that have been told of, then the new ones, the earliest first.
func (b *Book) entries() []*entry {
	all := slices.AppendSeq(slices.Collect(maps.Values(b.running)), maps.Values(b.ended))
	rank := func(e *entry) int {
		if e.told {
			return 0
		}
		return 1
	}
	slices.SortFunc(all, func(x, y *entry) int {
		return cmp.Or(cmp.Compare(rank(x), rank(y)), cmp.Compare(len(x.source.Id), len(y.source.Id)), cmp.Compare(x.source.Id, y.source.Id))
	})
	return all
}

// Answer takes the orchestrator's word on a report over. again says that it did not take the report: it knows a higher epoch.
func (b *Book) Answer(a *pb.UsageReportAnswer) (again bool) {
	if a.Epoch > b.epoch {
		b.epoch, b.sequence = a.Epoch+1, 0
		for _, e := range b.ended {
			e.endedIn = 0
		}
		return true
	}
	if a.Epoch != b.epoch {
		return false
	}
	for id, e := range b.ended {
		if e.endedIn != 0 && e.endedIn <= a.Settled {
			delete(b.ended, id)
			for _, p := range e.peers {
				if p.told {
					b.pairs--
				}
			}
		}
	}
	return false
}

// State is what the next run of the router has to know.
func (b *Book) State() *pb.UsageState {
	s := &pb.UsageState{Epoch: b.epoch, Sequence: b.sequence}
	for _, e := range b.entries() {
		s.Sources = append(s.Sources, proto.CloneOf(e.source))
		for _, p := range e.peers {
			kept := proto.CloneOf(p.usage)
			kept.Source = e.source.Id
			s.Pairs = append(s.Pairs, kept)
		}
	}
	return s
}
