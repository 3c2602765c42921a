package router

import (
	"strings"

	"github.com/freeflow-rdma/freeflow/internal/admin"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
)

// fabricLocal is what carries the messages of every connected queue pair as long as there are no other hosts.
const fabricLocal = "local"

// Containers lists the containers.
func (b *backend) Containers() []admin.ContainerRow {
	qps, mrs := make(map[string]int), make(map[string]int)
	for _, qp := range b.dev.QPs() {
		qps[qp.Container.ID]++
	}
	for _, mr := range b.dev.MRs() {
		mrs[mr.Container.ID]++
	}
	var rows []admin.ContainerRow
	for _, c := range b.host.List() {
		rows = append(rows, admin.ContainerRow{
			ID: c.ID, Name: c.Name, Network: c.Network, IP: c.IP, GIDs: c.GIDs, Mode: c.Mode, Labels: c.Labels,
			Command: c.Command, PID: c.PID, NetNS: c.NetNS.ID().String(), Created: c.Created, QPs: qps[c.ID], MRs: mrs[c.ID],
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
			row.DestIP, row.DestQPN, row.Fabric = qp.DGID.Addr(), uint32(qp.DestQPN), fabricLocal
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
			Container: mr.Container.Name, PID: mr.PID, LKey: uint32(mr.LKey), RKey: uint32(mr.RKey),
			Addr: mr.Start, Length: mr.Length, Shared: mr.Shared, Access: accessText(mr.Access),
		})
	}
	return rows
}

// accessText names the access flags that operators care for.
func accessText(a verbs.Access) string {
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
