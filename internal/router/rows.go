package router

import (
	"cmp"
	"slices"
	"strings"

	"github.com/freeflow-rdma/freeflow/internal/admin"
	"github.com/freeflow-rdma/freeflow/internal/container"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
)

// Networks lists the cluster's networks; those that this host has with their bridge.
func (b *backend) Networks() []admin.NetworkRow {
	here := make(map[string]admin.NetworkRow)
	for _, row := range b.host.Networks() {
		here[row.Name] = row
	}
	s := b.member.client.State()
	count := make(map[string]int)
	for c := range s.Containers() {
		if c.Running {
			count[c.Network]++
		}
	}
	var rows []admin.NetworkRow
	for n := range s.Networks() {
		row := here[n.Name]
		row.Name, row.CIDR, row.VNI, row.Tenant, row.Containers = n.Name, n.Prefix, n.VNI, n.Tenant, count[n.Name]
		rows = append(rows, row)
	}
	slices.SortFunc(rows, func(a, b admin.NetworkRow) int { return cmp.Compare(a.Name, b.Name) })
	return rows
}

// Hosts lists the cluster's hosts.
func (b *backend) Hosts() []admin.HostRow {
	s := b.member.client.State()
	count := make(map[string]int)
	for c := range s.Containers() {
		if c.Running {
			count[c.Host]++
		}
	}
	var rows []admin.HostRow
	for h := range s.Hosts() {
		row := admin.HostRow{Name: h.Name, IP: h.Underlay, State: "gone", Since: h.Since, Version: h.Version, Features: h.Features, Containers: count[h.Name]}
		if h.Ready {
			row.State = "ready"
		}
		if h.Name == b.cfg.HostName {
			row.Mode = b.cfg.Mode
		}
		rows = append(rows, row)
	}
	slices.SortFunc(rows, func(a, b admin.HostRow) int { return cmp.Compare(a.Name, b.Name) })
	return rows
}

// Containers lists the cluster's running containers: those of this host with all that is known of them.
func (b *backend) Containers() []admin.ContainerRow {
	rows := b.localContainers()
	for c := range b.member.client.State().Containers() {
		if c.Running && c.Host != b.cfg.HostName {
			rows = append(rows, admin.ContainerRow{ID: c.Instance, Name: c.Name.Name, Network: c.Network, IP: c.IP, GIDs: container.GIDs(c.IP),
				Mode: c.Mode, Labels: c.Labels, Created: c.Since, Host: c.Host, State: admin.Running})
		}
	}
	slices.SortFunc(rows, func(a, b admin.ContainerRow) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Network, b.Network))
	})
	return rows
}

func (b *backend) localContainers() []admin.ContainerRow {
	qps, mrs := make(map[string]int), make(map[string]int)
	for _, qp := range b.dev.QPs() {
		qps[qp.Container.ID]++
	}
	for _, mr := range b.dev.MRs() {
		mrs[mr.Container.ID]++
	}
	var rows []admin.ContainerRow
	modes := b.member.gov.modes()
	for _, c := range b.host.List() {
		rows = append(rows, admin.ContainerRow{
			ID: c.ID, Name: c.Name, Network: c.Network, IP: c.IP, GIDs: c.GIDs, Mode: cmp.Or(modes[c.ID], c.Mode), Labels: c.Labels,
			Host: b.cfg.HostName, State: admin.Running, Command: c.Command, PID: c.PID, NetNS: c.NetNS.ID().String(), Created: c.Created, QPs: qps[c.ID], MRs: mrs[c.ID],
		})
	}
	return rows
}

// QPs lists the queue pairs.
func (b *backend) QPs() []admin.QPRow {
	var rows []admin.QPRow
	for _, qp := range b.dev.QPs() {
		row := admin.QPRow{
			Container: qp.Container.Name, PID: qp.PID, QPN: uint32(qp.Num), Type: qp.Type.String(), State: qp.State.String(),
			TxBytes: qp.SentBytes, RxBytes: qp.ReceivedBytes, TxMsgs: qp.SentMessages, RxMsgs: qp.ReceivedMessages,
		}
		if qp.DGID != (verbs.GID{}) { // connected
			row.DestIP, row.DestQPN, row.Fabric = qp.DGID.Addr(), uint32(qp.DestQPN), b.member.carrier.FabricOf(b.dev, qp.Num)
		}
		rows = append(rows, row)
	}
	return rows
}

// MRs lists the memory regions.
func (b *backend) MRs() []admin.MRRow {
	var rows []admin.MRRow
	for _, mr := range b.dev.MRs() {
		rows = append(rows, admin.MRRow{
			ID: mr.ID, Host: b.cfg.HostName, Container: mr.Container.Name, PID: mr.PID, LKey: uint32(mr.LKey), RKey: uint32(mr.RKey),
			Addr: mr.Start, Length: mr.Length, Shared: mr.Shared, Access: AccessText(mr.Access),
		})
	}
	return rows
}

// CMIDs lists the identifiers of RDMA-CM.
func (b *backend) CMIDs() []admin.CMIDRow {
	var rows []admin.CMIDRow
	for _, r := range b.cm.Rows() {
		rows = append(rows, admin.CMIDRow{Container: r.Container, Network: r.Network, ID: r.ID, PortSpace: r.PortSpace, State: r.State,
			Local: r.Local, Remote: r.Remote, QPN: r.QPN, Events: r.Events})
	}
	slices.SortFunc(rows, func(a, b admin.CMIDRow) int {
		return cmp.Or(cmp.Compare(a.Container, b.Container), cmp.Compare(a.Network, b.Network), cmp.Compare(a.ID, b.ID))
	})
	return rows
}

// AccessText names the access flags that operators care for.
func AccessText(a verbs.Access) string {
	flags := []struct {
		flag verbs.Access
		name string
	}{
		{verbs.AccessLocalWrite, "local-write"},
		{verbs.AccessRemoteWrite, "remote-write"},
		{verbs.AccessRemoteRead, "remote-read"},
		{verbs.AccessRemoteAtomic, "remote-atomic"},
		{verbs.AccessMWBind, "mw-bind"},
		{verbs.AccessZeroBased, "zero-based"},
	}
	names := []string{}
	for _, f := range flags {
		if a&f.flag != 0 {
			names = append(names, f.name)
		}
	}
	if len(names) == 0 {
		return "local-read"
	}
	return strings.Join(names, ",")
}
