package orchestrator

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	pb "github.com/freeflow-rdma/freeflow/api/freeflow/v1"
)

// What people see of live: lists, filtered, sorted and cut into pages here, so that a page on a phone is as light with a
// thousand containers as with ten.

const maxPage = 500

// scene is the cluster as the mirror has it, for one answer.
type scene struct {
	now        int64
	hosts      []*pb.Host
	tenants    map[string]string // by network
	containers map[Name]*pb.Container
}

func (m *Mirror) scene(now int64) scene {
	m.mu.RLock()
	defer m.mu.RUnlock()
	s := scene{now: now, tenants: make(map[string]string, len(m.nets)), containers: make(map[Name]*pb.Container, len(m.byName))}
	for _, h := range m.hosts {
		if h.shown != nil {
			s.hosts = append(s.hosts, h.shown)
		}
	}
	for name, n := range m.nets {
		s.tenants[name] = n.net.Tenant
	}
	for name, c := range m.byName {
		s.containers[name] = c.c
	}
	slices.SortFunc(s.hosts, func(a, b *pb.Host) int { return cmp.Compare(a.Name, b.Name) })
	return s
}

// view answers one request.
func (l *live) view(r *pb.LiveRequest, now int64) *pb.LiveResponse {
	s := l.mirror.scene(now)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.watched = now + lookFor
	flows := l.flows(s)
	answer := &pb.LiveResponse{Time: now, Totals: l.totals(s, flows, r.History)}
	if r.Hosts {
		answer.Hosts, answer.Links = l.shownHosts(s, r.History), links(flows)
	}
	if r.Containers != nil {
		answer.Containers, answer.ContainersTotal = l.pageOfContainers(s, r.Containers, histories(r))
	}
	if r.Flows != nil {
		answer.Flows, answer.FlowsTotal = pageOfFlows(s, flows, r.Flows, histories(r))
	}
	return answer
}

// histories is how many rows of a page are to have their history.
func histories(r *pb.LiveRequest) int {
	switch {
	case !r.History:
		return 0
	case r.Histories > 0:
		return int(r.Histories)
	}
	return maxPage
}

func (l *live) totals(s scene, flows []*flow, past bool) *pb.LiveTotals {
	t := &pb.LiveTotals{Hosts: int32(len(s.hosts)), Networks: int32(len(s.tenants)), Containers: int32(len(s.containers)), Flows: int32(len(flows))}
	var all rates
	for _, h := range s.hosts {
		if h.State != pb.Host_STATE_READY {
			continue
		}
		t.HostsReady++
		if lh := l.hosts[h.Name]; lh.silent(s.now) {
			t.Silent++
		} else {
			all.add(lh.rates)
			t.History = sumHistory(t.History, shownHistory(&lh.past, s.now, past))
		}
	}
	for _, c := range s.containers {
		if c.State == pb.Container_STATE_RUNNING {
			t.Running++
		}
		if lc := l.container(c, s.now); lc != nil {
			if lc.rates.limited > 0 {
				t.Limited++
			}
			if lc.denied.sum(s.now)+lc.refused.sum(s.now) > 0 {
				t.Denied++
			}
		}
	}
	t.Rates = all.shown()
	return t
}

func sumHistory(total, more *pb.History) *pb.History {
	if total == nil || more == nil {
		return cmp.Or(total, more)
	}
	for i := range total.TxBits {
		total.TxBits[i] += more.TxBits[i]
		total.RxBits[i] += more.RxBits[i]
	}
	return total
}

func (l *live) shownHosts(s scene, past bool) []*pb.LiveHost {
	running := make(map[string]int32)
	for _, c := range s.containers {
		if c.State == pb.Container_STATE_RUNNING {
			running[c.Host]++
		}
	}
	var list []*pb.LiveHost
	for _, h := range s.hosts {
		shown := &pb.LiveHost{Host: h, Containers: running[h.Name]}
		if lh := l.hosts[h.Name]; lh != nil {
			shown.Reported = lh.reported
			if !lh.silent(s.now) {
				shown.Rates, shown.History = lh.rates.shown(), forRow(shownHistory(&lh.past, s.now, past))
			}
		}
		list = append(list, shown)
	}
	return list
}

// found says whether a text has what is searched for in it; search is in lower case.
func found(search string, texts ...string) bool {
	return search == "" || slices.ContainsFunc(texts, func(t string) bool { return strings.Contains(strings.ToLower(t), search) })
}

func (l *live) pageOfContainers(s scene, p *pb.Page, histories int) ([]*pb.LiveContainer, int32) {
	search := strings.ToLower(p.Search)
	var list []*pb.Container
	for _, c := range s.containers {
		texts := []string{c.Name, c.Network, c.Ip, c.Host, s.tenants[c.Network]}
		for k, v := range c.Labels {
			texts = append(texts, k+"="+v)
		}
		if found(search, texts...) && l.selected(c, p, s.now) {
			list = append(list, c)
		}
	}
	weight := func(c *pb.Container) float64 { return l.weight(c, p.Sort, s.now) }
	slices.SortFunc(list, func(a, b *pb.Container) int {
		return cmp.Or(cmp.Compare(weight(b), weight(a)), cmp.Compare(hostFirst(a, p), hostFirst(b, p)), cmp.Compare(a.Network, b.Network), cmp.Compare(a.Name, b.Name))
	})
	var shown []*pb.LiveContainer
	for i, c := range cut(list, p) {
		one := l.shownContainer(c, s.tenants[c.Network], s.now, i < histories)
		one.History = forRow(one.History)
		shown = append(shown, one)
	}
	return shown, int32(len(list))
}

func hostFirst(c *pb.Container, p *pb.Page) string {
	if p.Sort == "host" {
		return c.Host
	}
	return ""
}

// selected says whether a container is one of those that the page is about.
func (l *live) selected(c *pb.Container, p *pb.Page, now int64) bool {
	if p.Network != "" && c.Network != p.Network || p.Host != "" && c.Host != p.Host {
		return false
	}
	running := c.State == pb.Container_STATE_RUNNING
	switch p.Only {
	case "running":
		return running
	case "stopped":
		return !running
	case "limited", "denied":
		return l.weight(c, p.Only, now) > 0
	}
	return true
}

// weight is what containers are sorted by, most first.
func (l *live) weight(c *pb.Container, by string, now int64) float64 {
	lc := l.container(c, now)
	if lc == nil {
		return 0
	}
	switch by {
	case "rate":
		return lc.rates.txBits + lc.rates.rxBits
	case "limited":
		return lc.rates.limited
	case "denied":
		return float64(lc.denied.sum(now) + lc.refused.sum(now))
	}
	return 0
}

// cut is the part of a list that a page wants.
func cut[T any](list []T, p *pb.Page) []T {
	from := min(max(int(p.Offset), 0), len(list))
	return list[from:min(from+min(max(int(p.Limit), 0), maxPage), len(list))]
}

// flow is what goes from one to another.
type flow struct {
	from, to         Name
	fromHost, toHost string
	external         bool
	bits, messages   float64
	bytes            uint64
	qps, refused     uint64
	past             *ring
	received         bool // past's rx is of this direction
}

// flows are all of them, from what the senders' hosts tell, or, if they tell nothing, the receivers'. The caller holds mu.
func (l *live) flows(s scene) []*flow {
	type way struct{ from, to Name }
	all := make(map[way]*flow)
	for host, h := range l.hosts {
		if h.silent(s.now) {
			continue
		}
		for _, p := range h.pairs {
			peer := Name{p.usage.PeerNetwork, p.usage.Peer}
			peerHost := "external"
			if c := s.containers[peer]; c != nil && !p.usage.External {
				peerHost = c.Host
			}
			u := p.usage
			if u.TxBytes > 0 || u.Refused > 0 || u.Qps > 0 && (u.RxBytes == 0 || p.from.String() < peer.String()) {
				all[way{p.from, peer}] = &flow{from: p.from, to: peer, fromHost: host, toHost: peerHost, external: u.External, bits: p.rates.txBits,
					messages: p.rates.txMessages, bytes: u.TxBytes, qps: u.Qps, refused: u.Refused, past: &p.past}
			}
			back := way{peer, p.from}
			if lh := l.hosts[peerHost]; u.RxBytes > 0 && all[back] == nil && (lh.silent(s.now) || u.External) {
				all[back] = &flow{from: peer, to: p.from, fromHost: peerHost, toHost: host, external: u.External, bits: p.rates.rxBits,
					messages: p.rates.rxMessages, bytes: u.RxBytes, qps: u.Qps, past: &p.past, received: true}
			}
		}
	}
	return slices.Collect(maps.Values(all))
}

// links adds flows up by the hosts between which they are.
func links(flows []*flow) []*pb.LiveLink {
	type way struct{ from, to string }
	sums := make(map[way]*pb.LiveLink)
	for _, f := range flows {
		w := way{f.fromHost, f.toHost}
		if sums[w] == nil {
			sums[w] = &pb.LiveLink{From: f.fromHost, To: f.toHost}
		}
		sums[w].Bits += f.bits
		sums[w].Flows++
	}
	return slices.SortedFunc(maps.Values(sums), func(a, b *pb.LiveLink) int {
		return cmp.Or(cmp.Compare(b.Bits, a.Bits), cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To))
	})
}

func pageOfFlows(s scene, flows []*flow, p *pb.Page, histories int) ([]*pb.LiveFlow, int32) {
	search := strings.ToLower(p.Search)
	list := slices.DeleteFunc(slices.Clone(flows), func(f *flow) bool {
		return !found(search, f.from.Name, f.to.Name, f.from.Network, f.fromHost, f.toHost) ||
			p.Network != "" && f.from.Network != p.Network && f.to.Network != p.Network ||
			p.Host != "" && f.fromHost != p.Host && f.toHost != p.Host ||
			p.Container != "" && !f.touches(p.Container)
	})
	slices.SortFunc(list, func(a, b *flow) int {
		if p.Sort != "name" {
			if c := cmp.Or(cmp.Compare(b.bits, a.bits), cmp.Compare(b.bytes, a.bytes)); c != 0 {
				return c
			}
		}
		return cmp.Or(cmp.Compare(a.from.String(), b.from.String()), cmp.Compare(a.to.String(), b.to.String()))
	})
	var shown []*pb.LiveFlow
	for i, f := range cut(list, p) {
		shown = append(shown, f.shown(s.now, i < histories))
	}
	return shown, int32(len(list))
}

// touches says whether a container, NAME or NETWORK/NAME, is at either end.
func (f *flow) touches(container string) bool {
	for _, end := range []Name{f.from, f.to} {
		if end.Name == container || end.String() == container {
			return true
		}
	}
	return false
}

func (f *flow) shown(now int64, past bool) *pb.LiveFlow {
	h := shownHistory(f.past, now, past)
	if h != nil {
		if f.received {
			h.TxBits = h.RxBits
		}
		h.RxBits = nil
	}
	h = forRow(h)
	return &pb.LiveFlow{
		Network: f.from.Network, From: f.from.Name, FromHost: f.fromHost, ToNetwork: f.to.Network, To: f.to.Name, ToHost: f.toHost,
		External: f.external, Bits: f.bits, Messages: f.messages, Bytes: f.bytes, Qps: f.qps, Refused: f.refused, History: h,
	}
}
