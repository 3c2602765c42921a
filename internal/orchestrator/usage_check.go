package orchestrator

import (
	"net/netip"
	"regexp"
	"slices"

	"connectrpc.com/connect"

	pb "github.com/freeflow-rdma/freeflow/api/freeflow/v1"
)

// Bounds of a report. A router is believed about its own host alone, and cannot make us remember more than this.
const (
	maxSources   = 4096
	maxPairs     = 4096
	maxRefusals  = 256
	maxFamily    = 64  // counters of a family
	maxDetails   = 256 // queue pairs, and ids, of a container
	maxReportTxt = 128
)

var (
	counterPattern = regexp.MustCompile(`^[A-Za-z0-9_]{1,48}$`)
	idPattern      = regexp.MustCompile(`^[!-.0-~]{1,64}$`) // printable, no slash
)

// checkReport makes a report be what a router may say, or says what is wrong. What is not the host's is left out, and counted.
func (u *UsageStore) checkReport(host string, r *pb.UsageReport) error {
	switch {
	case r.Epoch <= 0 || r.Sequence == 0:
		return failf(connect.CodeInvalidArgument, "usage report without epoch and sequence")
	case len(r.Sources) > maxSources || len(r.Pairs) > maxPairs || len(r.Refusals) > maxRefusals || len(r.Details) > maxInspected:
		return failf(connect.CodeInvalidArgument, "usage report of %d containers, %d pairs: want at most %d, %d", len(r.Sources), len(r.Pairs), maxSources, maxPairs)
	}
	foreign := u.foreign(host)
	there := make(map[string]bool)
	for _, s := range r.Sources {
		if s.Counters == nil {
			s.Counters = &pb.Counters{}
		}
		if err := checkSource(s); err != nil {
			return err
		}
		there[s.Id] = true
	}
	known := u.known(host)
	before := len(r.Sources)
	r.Sources = slices.DeleteFunc(r.Sources, func(s *pb.UsageSource) bool {
		drop := foreign(s.Network, s.Container) && !known[s.Id]
		if drop {
			delete(there, s.Id)
		}
		return drop
	})
	r.Refusals = slices.DeleteFunc(r.Refusals, func(f *pb.Refusal) bool {
		return foreign(f.Network, f.Container) || !short(f.Network, f.Container, f.What, f.Peer, f.Resource, f.Policy)
	})
	r.Details = slices.DeleteFunc(r.Details, func(d *pb.ContainerDetails) bool { return foreign(d.Network, d.Container) })
	for _, d := range r.Details {
		checkDetails(d)
	}
	u.refused.Add(uint64(before - len(r.Sources)))
	r.Pairs = slices.DeleteFunc(r.Pairs, func(p *pb.PairUsage) bool { return !there[p.Source] || !peerIsGood(p) })
	return nil
}

func checkSource(s *pb.UsageSource) error {
	if !idPattern.MatchString(s.Id) || !NamePattern.MatchString(s.Network) || !NamePattern.MatchString(s.Container) || !short(s.Instance, s.Limit, s.Class, s.Mode) {
		return failf(connect.CodeInvalidArgument, "usage report: source %q of container %q", s.Id, s.Container)
	}
	for _, m := range append(familiesOf(s.Counters), &s.Objects, &s.Quota) {
		if len(*m) > maxFamily {
			return failf(connect.CodeInvalidArgument, "usage report: %d counters of a kind: want at most %d", len(*m), maxFamily)
		}
		for name := range *m {
			if !counterPattern.MatchString(name) {
				return failf(connect.CodeInvalidArgument, "usage report: counter %q: want letters, digits and _", name)
			}
		}
	}
	return nil
}

// short says whether texts are printable and of bounded length.
func short(texts ...string) bool {
	for _, t := range texts {
		if len(t) > maxReportTxt {
			return false
		}
		for _, r := range t {
			if r < ' ' || r > '~' {
				return false
			}
		}
	}
	return true
}

// peerIsGood says whether a pair's peer is a container's name, or an address.
func peerIsGood(p *pb.PairUsage) bool {
	if p.External {
		_, err := netip.ParseAddr(p.Peer)
		return err == nil && p.PeerNetwork == ""
	}
	return NamePattern.MatchString(p.Peer) && NamePattern.MatchString(p.PeerNetwork)
}

func checkDetails(d *pb.ContainerDetails) {
	d.Qps = d.Qps[:min(len(d.Qps), maxDetails)]
	d.CmIds = d.CmIds[:min(len(d.CmIds), maxDetails)]
	d.Qps = slices.DeleteFunc(d.Qps, func(q *pb.QPDetails) bool { return !short(q.Type, q.State, q.Peer, q.Fabric) })
	d.CmIds = slices.DeleteFunc(d.CmIds, func(c *pb.CMDetails) bool { return !short(c.State, c.Local, c.Peer) })
}

// foreign says of containers whether they are known to be other hosts'. One that nobody knows is believed: it may have ended already.
func (u *UsageStore) foreign(host string) func(network, container string) bool {
	m := u.store.mirror
	return func(network, container string) bool {
		m.mu.RLock()
		defer m.mu.RUnlock()
		e := m.byName[Name{network, container}]
		return e != nil && e.c.Host != host
	}
}

// known are the sources that the host has told of before: its container may have moved since.
func (u *UsageStore) known(host string) map[string]bool {
	h := u.of(host)
	h.mu.Lock()
	defer h.mu.Unlock()
	ids := make(map[string]bool, len(h.ledger.sources))
	for id := range h.ledger.sources {
		ids[id] = true
	}
	return ids
}
