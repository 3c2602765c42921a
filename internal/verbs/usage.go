package verbs

import (
	"slices"
	"strings"
	"sync"

	"github.com/freeflow-rdma/freeflow/internal/qos"
)

// Metering. A queue pair's counters are written by the worker that runs it, on cache lines that nobody else writes; what containers used is summed
// up when somebody asks: of the queue pairs that are there, of those that are going, and of what those that went have left behind. All three
// change under one lock, so that nothing is counted twice, or for a moment not at all.

// NumOps is the number of operations that Traffic.Ops tells apart: an Opcode's index is its value, NumOps-1 at most.
const NumOps = 16

// numStatuses is the number of completion statuses.
const numStatuses = int(WCGeneralErr) + 1

// Traffic is what was carried, from when counting began. Bytes are of payload; a message counts in the direction of its request, its bytes in the
// direction that they go.
type Traffic struct {
	EgressMessages, EgressBytes   uint64
	IngressMessages, IngressBytes uint64
	Ops                           [NumOps]uint64      // work requests that ended well
	Errors                        [numStatuses]uint64 // work requests that did not, by status; not those that were flushed
	RNRWaits                      uint64              // times that a peer had no receive
	Retries                       uint64              // timers that ran out
	Resent                        uint64              // packets sent again
	Marks                         uint64              // congestion marks and notifications heard
	Dropped                       uint64              // datagrams that a limit or a policy kept away
	LimitedNS                     uint64              // waited for limits
}

// add sums up.
func (t *Traffic) add(x *Traffic) {
	t.EgressMessages += x.EgressMessages
	t.EgressBytes += x.EgressBytes
	t.IngressMessages += x.IngressMessages
	t.IngressBytes += x.IngressBytes
	for i, n := range x.Ops {
		t.Ops[i] += n
	}
	for i, n := range x.Errors {
		t.Errors[i] += n
	}
	t.RNRWaits += x.RNRWaits
	t.Retries += x.Retries
	t.Resent += x.Resent
	t.Marks += x.Marks
	t.Dropped += x.Dropped
	t.LimitedNS += x.LimitedNS
}

// Traffic reads the counters.
func (s *Stats) Traffic() (t Traffic) {
	t.EgressBytes = s.SentBytes.Load() + s.ServedBytes.Load()
	t.IngressMessages, t.IngressBytes = s.ReceivedMessages.Load()+s.Served.Load(), s.ReceivedBytes.Load()+s.ReadBytes.Load()
	for i := range t.Ops {
		t.Ops[i] = s.Ops[i].Load()
		if Opcode(i) != OpBindMW && Opcode(i) != OpLocalInv { // which go nowhere
			t.EgressMessages += t.Ops[i]
		}
	}
	for i := range t.Errors {
		t.Errors[i] = s.ErrorsBy[i].Load()
	}
	t.RNRWaits, t.Retries, t.Resent = s.RNRWaits.Load(), s.Retries.Load(), s.Resent.Load()
	t.Marks, t.Dropped, t.LimitedNS = s.Marks.Load(), s.Dropped.Load(), s.Limited.Load()
	return t
}

// Usage is what a container has used and has.
type Usage struct {
	Container *Container
	Gone      bool // the container has been removed; this is the last that is known of it
	Tenant    string
	Traffic
	Peers   []PeerTraffic // of connected queue pairs, by peer
	QPs     int
	Has     qos.Quota // of each resource
	Denied  [qos.NumResources]uint64
	Refused uint64 // what a policy did not let pass
}

// PeerTraffic is what a container has exchanged with one peer. The zero GID stands for all that there was no room for.
type PeerTraffic struct {
	Peer                                                       GID
	EgressMessages, EgressBytes, IngressMessages, IngressBytes uint64
}

// meter keeps what is no queue pair's any more.
type meter struct {
	mu      sync.Mutex
	leaving map[*QP]bool // destroyed, but a worker may still be at it
	gone    []*Container // removed, the oldest first
}

// metered is what queue pairs that went have left to their container. Under meter.mu.
type metered struct {
	traffic Traffic
	peers   map[GID]*PeerTraffic
}

// Bounds of what is kept: peers of a container, containers that were removed.
const (
	peersMost = 1024
	goneMost  = 256
)

// exchanged adds what a queue pair exchanged with its present peer since it was connected.
func exchanged(peers map[GID]*PeerTraffic, qp *QP, t *Traffic) {
	g := qp.attr.Load().AV.DGID
	if qp.Type == TypeUD || g == (GID{}) {
		return
	}
	p := peers[g]
	if p == nil && len(peers) >= peersMost {
		g = GID{}
		p = peers[g]
	}
	if p == nil {
		p = &PeerTraffic{Peer: g}
		peers[g] = p
	}
	b := &qp.before
	p.EgressMessages += t.EgressMessages - b.EgressMessages
	p.EgressBytes += t.EgressBytes - b.EgressBytes
	p.IngressMessages += t.IngressMessages - b.IngressMessages
	p.IngressBytes += t.IngressBytes - b.IngressBytes
}

// leave takes a queue pair out of the table, but not yet out of the sums.
func (d *Device) leave(qp *QP) {
	m := &d.meter
	m.mu.Lock()
	defer m.mu.Unlock()
	d.qps.clear(uint32(qp.Num))
	if m.leaving == nil {
		m.leaving = map[*QP]bool{}
	}
	m.leaving[qp] = true
}

// left leaves a queue pair's counters to its container: no worker is at it any more.
func (d *Device) left(qp *QP) {
	m := &d.meter
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.leaving, qp)
	t := qp.Stats.Traffic()
	qp.ctx.cont.metered.traffic.add(&t)
	d.parted(qp, &t)
}

// parted leaves what a queue pair exchanged with its peer to its container. Under meter.mu.
func (d *Device) parted(qp *QP, t *Traffic) {
	x := &qp.ctx.cont.metered
	if x.peers == nil {
		x.peers = map[GID]*PeerTraffic{}
	}
	exchanged(x.peers, qp, t)
	qp.before = PeerTraffic{EgressMessages: t.EgressMessages, EgressBytes: t.EgressBytes, IngressMessages: t.IngressMessages, IngressBytes: t.IngressBytes}
}

// disconnect is parted, for a queue pair that is reset.
func (d *Device) disconnect(qp *QP) {
	d.meter.mu.Lock()
	defer d.meter.mu.Unlock()
	t := qp.Stats.Traffic()
	d.parted(qp, &t)
}

// bury remembers a container that was removed.
func (m *meter) bury(c *Container) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.gone = append(m.gone, c)
	if n := len(m.gone) - goneMost; n > 0 {
		m.gone = slices.Delete(m.gone, 0, n)
	}
}

// Usage tells what each container has used since it came, those that were removed lately too. No counter ever goes back. Any goroutine.
func (d *Device) Usage() []Usage {
	d.mu.Lock()
	conts := make([]*Container, 0, len(d.conts))
	for _, c := range d.conts {
		conts = append(conts, c)
	}
	d.mu.Unlock()
	m := &d.meter
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range m.gone {
		if !slices.Contains(conts, c) {
			conts = append(conts, c)
		}
	}
	sums := make(map[*Container]*sum, len(conts))
	for _, c := range conts {
		sums[c] = newSum(c)
	}
	count := func(qp *QP) {
		if s := sums[qp.ctx.cont]; s != nil {
			s.count(qp)
		}
	}
	d.qps.each(func(_ uint32, qp *QP) { count(qp) })
	for qp := range m.leaving {
		count(qp)
	}
	all := make([]Usage, 0, len(conts))
	for _, c := range conts {
		all = append(all, sums[c].usage(c))
	}
	slices.SortFunc(all, func(a, b Usage) int { return strings.Compare(a.Container.ID, b.Container.ID) })
	return all
}

// sum is a container's usage in the making. Under meter.mu.
type sum struct {
	Usage
	peers map[GID]*PeerTraffic
}

func newSum(c *Container) *sum {
	s := &sum{Usage: Usage{Container: c, Gone: c.Gone(), Traffic: c.metered.traffic}, peers: make(map[GID]*PeerTraffic, len(c.metered.peers))}
	for g, p := range c.metered.peers {
		was := *p
		s.peers[g] = &was
	}
	return s
}

func (s *sum) count(qp *QP) {
	t := qp.Stats.Traffic()
	s.Traffic.add(&t)
	s.QPs++
	exchanged(s.peers, qp, &t)
}

func (s *sum) usage(c *Container) Usage {
	s.Has, s.Denied, s.Refused = c.Used(), c.Denied(), c.Refused()
	if p := c.params.Load(); p != nil {
		s.Tenant = p.Tenant
	}
	for _, p := range s.peers {
		s.Peers = append(s.Peers, *p)
	}
	slices.SortFunc(s.Peers, func(a, b PeerTraffic) int { return slices.Compare(a.Peer[:], b.Peer[:]) })
	return s.Usage
}
