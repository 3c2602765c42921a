package orchestrator

import (
	"maps"
	"math"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	pb "github.com/freeflow-rdma/freeflow/api/freeflow/v1"
)

// How often routers report, and for how long a look counts as looking.
const (
	idleInterval  = 5 * time.Second
	watchInterval = 2 * time.Second
	lookFor       = int64(15e9)
	silentAfter   = int64(20e9) // without a report nobody knows of rates
	forgetAfter   = int64(10 * 60e9)
	maxInspected  = 16 // containers of a host that people look at at once
)

// live is what goes on now, of the hosts whose routers report to this orchestrator. In memory alone. Any goroutine may use it.
type live struct {
	mirror *Mirror

	mu      sync.Mutex
	watched int64 // until when somebody looks
	hosts   map[string]*liveHost
	inspect map[Name]int64 // until when somebody looks at them
	details map[Name]*detail
}

type detail struct {
	msg *pb.ContainerDetails
	at  int64
}

// liveHost is what a host's router told last.
type liveHost struct {
	reported   int64 // by our clock
	time       int64 // by the router's
	epoch      int64
	containers map[Name]*liveContainer
	pairs      map[pairKey]*livePair
	rates      rates
	past       ring
}

type liveContainer struct {
	source  *pb.UsageSource
	rates   rates
	past    ring
	denied  recent
	refused recent
}

type livePair struct {
	from  Name
	usage *pb.PairUsage
	rates rates
	past  ring
}

// rates are per second.
type rates struct {
	txBits, rxBits, txMessages, rxMessages float64
	limited                                float64 // share of the time
}

func (r *rates) add(o rates) {
	r.txBits, r.rxBits, r.txMessages, r.rxMessages = r.txBits+o.txBits, r.rxBits+o.rxBits, r.txMessages+o.txMessages, r.rxMessages+o.rxMessages
}

func (r rates) shown() *pb.Rates {
	return &pb.Rates{TxBits: r.txBits, RxBits: r.rxBits, TxMessages: r.txMessages, RxMessages: r.rxMessages, Limited: r.limited}
}

// recent counts what happened in the last five minutes, more or less.
type recent struct {
	slots [10]uint64
	last  int64
}

const recentSlot = int64(30e9)

func (r *recent) add(now int64, n uint64) {
	r.roll(now)
	r.slots[r.last%10] += n
}

func (r *recent) roll(now int64) {
	slot := now / recentSlot
	for n := max(r.last+1, slot-9); n <= slot; n++ {
		r.slots[n%10] = 0
	}
	r.last = max(r.last, slot)
}

func (r *recent) sum(now int64) (total uint64) {
	r.roll(now)
	for _, n := range r.slots {
		total += n
	}
	return total
}

func newLive(m *Mirror) *live {
	return &live{mirror: m, hosts: make(map[string]*liveHost), inspect: make(map[Name]int64), details: make(map[Name]*detail)}
}

// tenant is that of a network.
func (l *live) tenant(network string) string {
	l.mirror.mu.RLock()
	defer l.mirror.mu.RUnlock()
	if n := l.mirror.nets[network]; n != nil {
		return n.net.Tenant
	}
	return ""
}

// take takes a report over that is newer than those before; now is our clock.
func (l *live) take(host string, r *pb.UsageReport, now int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	before := l.hosts[host]
	h := &liveHost{reported: now, time: r.Time, epoch: r.Epoch, containers: make(map[Name]*liveContainer), pairs: make(map[pairKey]*livePair)}
	if before != nil {
		h.past = before.past
	}
	dt := elapsed(before, h)
	names := make(map[string]Name, len(r.Sources))
	for _, s := range r.Sources {
		if s.Ended {
			continue
		}
		name := Name{s.Network, s.Container}
		names[s.Id] = name
		c := &liveContainer{source: s}
		if before != nil {
			c.follow(before.containers[name], now, dt)
		}
		h.containers[name] = c
		h.rates.add(c.rates)
	}
	for _, m := range r.Pairs {
		name, ok := names[m.Source]
		if !ok {
			continue
		}
		key := pairKey{m.Source, m.PeerNetwork, m.Peer}
		p := &livePair{from: name, usage: m}
		if before != nil {
			p.follow(before.pairs[key], now, dt)
		}
		h.pairs[key] = p
	}
	h.past.add(now-dt, now, h.rates.txBits*float64(dt)/1e9, h.rates.rxBits*float64(dt)/1e9)
	l.hosts[host] = h
	for _, d := range r.Details {
		name := Name{d.Network, d.Container}
		if _, asked := l.inspect[name]; asked {
			l.details[name] = &detail{d, now}
		}
	}
}

// elapsed is the time between two reports, ns; 0: nobody knows.
func elapsed(before, h *liveHost) int64 {
	switch {
	case before == nil:
		return 0
	case before.epoch == h.epoch:
		return max(0, h.time-before.time)
	}
	return max(0, h.reported-before.reported)
}

// follow works out what has happened since the report before.
func (c *liveContainer) follow(before *liveContainer, now, dt int64) {
	old := &pb.Counters{}
	if before != nil {
		c.past, c.denied, c.refused = before.past, before.denied, before.refused
		if before.source.Id == c.source.Id {
			old = before.source.Counters
		}
	}
	d := grown(c.source.Counters, old)
	if d == nil {
		d = &pb.Counters{}
	}
	c.rates = perSecond(pairCount{d.TxBytes, d.RxBytes, d.TxMessages, d.RxMessages}, dt)
	if dt > 0 {
		c.rates.limited = min(1, float64(d.LimitedNs)/float64(dt))
	}
	c.past.add(now-dt, now, 8*float64(d.TxBytes), 8*float64(d.RxBytes))
	c.denied.add(now, sum(d.Denied))
	c.refused.add(now, d.Refused)
}

func (p *livePair) follow(before *livePair, now, dt int64) {
	var old pairCount
	if before != nil {
		p.past, old = before.past, countOf(before.usage)
	}
	d := countOf(p.usage).each(old, minus)
	p.rates = perSecond(d, dt)
	p.past.add(now-dt, now, 8*float64(d.txBytes), 8*float64(d.rxBytes))
}

func perSecond(d pairCount, dt int64) rates {
	if dt <= 0 {
		return rates{}
	}
	s := float64(dt) / 1e9
	return rates{txBits: 8 * float64(d.txBytes) / s, rxBits: 8 * float64(d.rxBytes) / s, txMessages: float64(d.txMessages) / s, rxMessages: float64(d.rxMessages) / s}
}

// interval is when the next report is wanted.
func (l *live) interval(now int64) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now < l.watched {
		return watchInterval
	}
	return idleInterval
}

// lookAt notes that somebody looks at a container, and returns its details if they are known.
func (l *live) lookAt(name Name, now int64) *detail {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.watched, l.inspect[name] = now+lookFor, now+lookFor
	return l.details[name]
}

// wanted are the containers of a host that somebody looks at.
func (l *live) wanted(host string, now int64) []*pb.Ref {
	l.mu.Lock()
	defer l.mu.Unlock()
	maps.DeleteFunc(l.inspect, func(name Name, until int64) bool {
		if until < now {
			delete(l.details, name)
		}
		return until < now
	})
	var list []*pb.Ref
	for name := range l.inspect {
		h := l.hosts[host]
		if h != nil && h.containers[name] != nil && len(list) < maxInspected {
			list = append(list, &pb.Ref{Kind: pb.Kind_KIND_CONTAINER, Network: name.Network, Name: name.Name})
		}
	}
	return list
}

// forget drops hosts that have not reported for long.
func (l *live) forget(now int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	maps.DeleteFunc(l.hosts, func(_ string, h *liveHost) bool { return h.reported < now-forgetAfter })
}

// silent says whether nobody knows what happens on a host.
func (h *liveHost) silent(now int64) bool { return h == nil || h.reported < now-silentAfter }

// shownHistory is a ring as it is shown; nil if there is nothing in it, or nobody wants it.
func shownHistory(r *ring, now int64, want bool) *pb.History {
	if !want || r.tx == nil {
		return nil
	}
	tx, rx := r.rates(now)
	for _, list := range [][]float32{tx, rx} {
		for i, v := range list {
			list[i] = threeDigits(v)
		}
	}
	return &pb.History{StepMs: ringStep / 1e6, TxBits: tx, RxBits: rx}
}

// threeDigits is a number of which three digits count: its text is short.
func threeDigits(v float32) float32 {
	if v <= 0 {
		return 0
	}
	unit := math.Pow(10, math.Floor(math.Log10(float64(v)))-2)
	return float32(math.Round(float64(v)/unit) * unit)
}

// rowSteps is how much of the past a row of a list shows.
const rowSteps = 60

// forRow cuts a history to what a row shows.
func forRow(h *pb.History) *pb.History {
	if h != nil {
		h.TxBits, h.RxBits = h.TxBits[max(0, len(h.TxBits)-rowSteps):], h.RxBits[max(0, len(h.RxBits)-rowSteps):]
	}
	return h
}

// container is what a host told last of a container; nil if nothing.
func (l *live) container(c *pb.Container, now int64) *liveContainer {
	h := l.hosts[c.Host]
	if h.silent(now) || c.State != pb.Container_STATE_RUNNING {
		return nil
	}
	return h.containers[Name{c.Network, c.Name}]
}

// shownContainer is a container with what goes on in it. The caller holds mu.
func (l *live) shownContainer(c *pb.Container, tenant string, now int64, past bool) *pb.LiveContainer {
	s := &pb.LiveContainer{Container: c, Tenant: tenant, Mode: c.Mode}
	lc := l.container(c, now)
	if lc == nil {
		return s
	}
	s.Rates, s.History = lc.rates.shown(), shownHistory(&lc.past, now, past)
	s.Counters, s.Objects, s.Quota = proto.CloneOf(lc.source.Counters), maps.Clone(lc.source.Objects), maps.Clone(lc.source.Quota)
	s.Limit, s.Class = lc.source.Limit, lc.source.Class
	if lc.source.Mode != "" {
		s.Mode = lc.source.Mode
	}
	s.DeniedRecently, s.RefusedRecently = lc.denied.sum(now), lc.refused.sum(now)
	return s
}
