package top

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"github.com/freeflow-rdma/freeflow/internal/admin"
)

// Snapshot is what the router had at one moment.
type Snapshot struct {
	At         time.Time
	Hosts      []admin.HostRow // of the network; the queue pairs are those of the one called Host
	Host       string
	Containers []admin.ContainerRow
	QPs        []admin.QPRow
}

// Rates is traffic per second.
type Rates struct {
	TxBytes, RxBytes, TxMsgs, RxMsgs float64
}

func (r *Rates) add(o Rates) {
	r.TxBytes += o.TxBytes
	r.RxBytes += o.RxBytes
	r.TxMsgs += o.TxMsgs
	r.RxMsgs += o.RxMsgs
}

// busier orders by bytes, then messages, the most first.
func (r Rates) busier(o Rates) int {
	return cmp.Or(cmp.Compare(o.TxBytes+o.RxBytes, r.TxBytes+r.RxBytes), cmp.Compare(o.TxMsgs+o.RxMsgs, r.TxMsgs+r.RxMsgs))
}

// View is what is shown: each list with the busiest first.
type View struct {
	At         time.Time
	Measured   bool // there are rates: this is not the first snapshot
	Total      Rates
	Hosts      []Host
	Containers []Container
	QPs        []QP
}

// Host is a host of the network. Of others than the router's own there are no rates.
type Host struct {
	admin.HostRow
	Rates
	Known bool // the rates are
}

// Container is a container with what its queue pairs do.
type Container struct {
	Name, Network string
	IP            netip.Addr
	QPs           int
	Rates
}

// QP is a queue pair with what it does.
type QP struct {
	admin.QPRow
	Rates
}

// key tells queue pairs apart that exist at one time.
type key struct {
	container string
	qpn       uint32
	pid       int
}

// Model remembers the last snapshot.
type Model struct {
	at   time.Time
	last map[key]admin.QPRow
}

// Update takes a snapshot and gives the rates since the one before.
func (m *Model) Update(s Snapshot) *View {
	v := &View{At: s.At, Measured: m.last != nil && s.At.After(m.at)}
	seconds := s.At.Sub(m.at).Seconds()
	now := make(map[key]admin.QPRow, len(s.QPs))
	containers := make(map[string]*Container, len(s.Containers))
	for _, c := range s.Containers {
		containers[c.Name] = &Container{Name: c.Name, Network: c.Network, IP: c.IP}
	}
	for _, row := range s.QPs {
		k := key{row.Container, row.QPN, row.PID}
		now[k] = row
		qp := QP{QPRow: row}
		if v.Measured {
			qp.Rates = rates(m.last[k], row, seconds)
		}
		v.QPs = append(v.QPs, qp)
		v.Total.add(qp.Rates)
		c := containers[row.Container]
		if c == nil { // it came or went between the lists
			c = &Container{Name: row.Container}
			containers[row.Container] = c
		}
		c.QPs++
		c.add(qp.Rates)
	}
	for _, c := range containers {
		v.Containers = append(v.Containers, *c)
	}
	for _, h := range s.Hosts {
		host := Host{HostRow: h, Known: h.Name == s.Host}
		if host.Known {
			host.Rates = v.Total
		}
		v.Hosts = append(v.Hosts, host)
	}
	m.at, m.last = s.At, now
	v.sort()
	return v
}

// rates of a queue pair. One whose number was another's before has smaller counters: all that they count is new.
func rates(before, now admin.QPRow, seconds float64) Rates {
	if now.TxBytes < before.TxBytes || now.RxBytes < before.RxBytes || now.TxMsgs < before.TxMsgs || now.RxMsgs < before.RxMsgs {
		before = admin.QPRow{}
	}
	per := func(a, b uint64) float64 { return float64(b-a) / seconds }
	return Rates{
		TxBytes: per(before.TxBytes, now.TxBytes), RxBytes: per(before.RxBytes, now.RxBytes),
		TxMsgs: per(before.TxMsgs, now.TxMsgs), RxMsgs: per(before.RxMsgs, now.RxMsgs),
	}
}

func (v *View) sort() {
	slices.SortFunc(v.Hosts, func(a, b Host) int { return cmp.Or(a.busier(b.Rates), cmp.Compare(a.Name, b.Name)) })
	slices.SortFunc(v.Containers, func(a, b Container) int { return cmp.Or(a.busier(b.Rates), cmp.Compare(a.Name, b.Name)) })
	slices.SortFunc(v.QPs, func(a, b QP) int {
		return cmp.Or(a.busier(b.Rates), cmp.Compare(a.Container, b.Container), cmp.Compare(a.QPN, b.QPN))
	})
}
