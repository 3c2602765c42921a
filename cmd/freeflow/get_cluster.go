package main

import (
	"cmp"
	"context"
	"io"
	"net/netip"
	"slices"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	pb "github.com/freeflow-rdma/freeflow/api/freeflow/v1"
	"github.com/freeflow-rdma/freeflow/internal/admin"
	"github.com/freeflow-rdma/freeflow/internal/cluster"
	"github.com/freeflow-rdma/freeflow/internal/container"
	"github.com/freeflow-rdma/freeflow/internal/router"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
)

// given says whether any of the flags is on the command line.
func (f *operatorFlags) given(cmd *cobra.Command) bool {
	flags := cmd.Flags()
	return flags.Changed("data-dir") || flags.Changed("orchestrator") || flags.Changed("credentials")
}

// clusterList lists what the whole cluster has, as an orchestrator knows it, in the rows of a router's lists.
type clusterList struct {
	flags *operatorFlags
	o     *cluster.Operator
}

// lister asks for a list of that kind and prints it; nil if the orchestrator has none such.
func (l clusterList) lister(kind string, p printer) func(context.Context, io.Writer) error {
	switch kind {
	case "hosts":
		return listWith(p, l.hosts, hostTable)
	case "networks":
		return listWith(p, l.networks, networkTable)
	case "containers":
		return listWith(p, l.containers, containerTable)
	case "mrs":
		return listWith(p, l.mrs, mrTable)
	}
	return nil
}

func (l clusterList) list(ctx context.Context, kind pb.Kind) ([]*pb.Change, error) {
	answer, err := l.o.List(ctx, connect.NewRequest(&pb.ListRequest{Kind: kind}))
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		return nil, l.flags.explain("list", err)
	}
	return answer.Msg.Items, nil
}

// running counts the running containers by what of says of each.
func (l clusterList) running(ctx context.Context, of func(*pb.Container) string) (map[string]int, error) {
	items, err := l.list(ctx, pb.Kind_KIND_CONTAINER)
	count := make(map[string]int)
	for _, i := range items {
		if c := i.GetContainer(); c.GetState() == pb.Container_STATE_RUNNING {
			count[of(c)]++
		}
	}
	return count, err
}

func (l clusterList) hosts(ctx context.Context) ([]admin.HostRow, error) {
	count, err := l.running(ctx, (*pb.Container).GetHost)
	if err != nil {
		return nil, err
	}
	items, err := l.list(ctx, pb.Kind_KIND_HOST)
	rows := make([]admin.HostRow, 0, len(items))
	for _, i := range items {
		if h := i.GetHost(); h != nil {
			rows = append(rows, admin.HostRow{Name: h.Name, IP: address(h.Underlay), State: word(h.State, "STATE_"), Since: when(h.Since),
				Version: h.Version, Features: h.Features, Containers: count[h.Name]})
		}
	}
	return rows, err
}

func (l clusterList) networks(ctx context.Context) ([]admin.NetworkRow, error) {
	count, err := l.running(ctx, (*pb.Container).GetNetwork)
	if err != nil {
		return nil, err
	}
	items, err := l.list(ctx, pb.Kind_KIND_NETWORK)
	rows := make([]admin.NetworkRow, 0, len(items))
	for _, i := range items {
		if n := i.GetNetwork(); n != nil {
			cidr, _ := netip.ParsePrefix(n.Cidr)
			rows = append(rows, admin.NetworkRow{Name: n.Name, VNI: n.Vni, CIDR: cidr, Tenant: n.Tenant, MTU: int(n.Mtu), Containers: count[n.Name]})
		}
	}
	return rows, err
}

func (l clusterList) containers(ctx context.Context) ([]admin.ContainerRow, error) {
	items, err := l.list(ctx, pb.Kind_KIND_CONTAINER)
	rows := make([]admin.ContainerRow, 0, len(items))
	for _, i := range items {
		if c := i.GetContainer(); c != nil {
			row := admin.ContainerRow{ID: c.Instance, Name: c.Name, Network: c.Network, Host: c.Host, State: word(c.State, "STATE_"),
				IP: address(c.Ip), Mode: c.Mode, Labels: c.Labels, Created: when(c.Since)}
			if row.IP.IsValid() {
				row.GIDs = container.GIDs(row.IP)
			}
			rows = append(rows, row)
		}
	}
	slices.SortFunc(rows, func(a, b admin.ContainerRow) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Network, b.Network))
	})
	return rows, err
}

func (l clusterList) mrs(ctx context.Context) ([]admin.MRRow, error) {
	items, err := l.list(ctx, pb.Kind_KIND_MR)
	rows := make([]admin.MRRow, 0, len(items))
	for _, i := range items {
		if m := i.GetMr(); m != nil {
			rows = append(rows, admin.MRRow{ID: m.Id, Host: m.Host, Container: m.Container, PID: int(m.Pid), LKey: m.Lkey, RKey: m.Rkey,
				Addr: m.Addr, Length: m.Length, Access: router.AccessText(verbs.Access(m.Access))})
		}
	}
	slices.SortFunc(rows, func(a, b admin.MRRow) int { return cmp.Or(cmp.Compare(a.Host, b.Host), cmp.Compare(a.ID, b.ID)) })
	return rows, err
}

// address reads an address that the orchestrator has checked.
func address(s string) netip.Addr {
	a, _ := netip.ParseAddr(s)
	return a
}

// when is a time of the cluster's.
func when(ns int64) time.Time {
	if ns == 0 {
		return time.Time{}
	}
	return time.Unix(0, ns)
}

// word is an enumeration's value as people write it.
func word(v interface{ String() string }, prefix string) string {
	return strings.ToLower(strings.TrimPrefix(v.String(), prefix))
}
