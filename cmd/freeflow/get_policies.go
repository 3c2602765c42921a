package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	pb "github.com/freeflow-rdma/freeflow/api/freeflow/v1"
	"github.com/freeflow-rdma/freeflow/internal/orchestrator/manifest"
	"github.com/freeflow-rdma/freeflow/internal/orchestrator/policies"
	"github.com/freeflow-rdma/freeflow/internal/policy"
)

// policyKind is a kind of policies on the command line.
type policyKind struct {
	one, many string
	kind      pb.Kind
	what      string
}

var policyKinds = []policyKind{
	{"policy", "policies", pb.Kind_KIND_POLICY, "policies of every kind"},
	{"accesspolicy", "accesspolicies", pb.Kind_KIND_ACCESS_POLICY, "policies of who may talk to whom"},
	{"quota", "quotas", pb.Kind_KIND_QUOTA, "quotas of objects"},
	{"ratelimit", "ratelimits", pb.Kind_KIND_RATE_LIMIT, "limits of rates"},
	{"priority", "priorities", pb.Kind_KIND_PRIORITY, "classes and weights"},
	{"enginemode", "enginemodes", pb.Kind_KIND_ENGINE_MODE, "modes of the engine"},
}

// getPolicyCommands are `freeflow get policies` and its sisters. They ask the orchestrator: routers keep policies, but are not asked for them.
func getPolicyCommands() (list []*cobra.Command) {
	for _, k := range policyKinds {
		list = append(list, getPolicyCommand(k))
	}
	return list
}

func getPolicyCommand(k policyKind) *cobra.Command {
	var f operatorFlags
	var p printer
	var watch bool
	var container string
	cmd := &cobra.Command{
		Use:     k.many,
		Aliases: []string{k.one},
		Short:   "List " + k.what,
		Long: "List " + k.what + `, as the orchestrator has them. JSON and YAML are what ` + "`freeflow apply`" + ` takes. With --for, say which of
them concern a container, and what of them holds for it.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := p.check(); err != nil {
				return err
			}
			o, err := f.open()
			if err != nil {
				return err
			}
			defer o.Close()
			l := policyList{clusterList{&f, o}, k.kind, p}
			list := l.print
			if container != "" {
				list = func(ctx context.Context, w io.Writer) error { return l.explain(ctx, w, container) }
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGTERM, syscall.SIGINT)
			defer stop()
			if watch {
				return watchList(ctx, cmd.OutOrStdout(), list)
			}
			return list(ctx, cmd.OutOrStdout())
		},
	}
	f.register(cmd)
	cmd.Flags().StringVarP(&p.format, "output", "o", "table", "the `format`: table, json or yaml")
	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "print the list again whenever it has changed, until interrupted")
	cmd.Flags().StringVar(&container, "for", "", "the `container` that they concern, NAME or NETWORK/NAME")
	return cmd
}

// policyList prints policies.
type policyList struct {
	clusterList
	kind pb.Kind
	printer
}

func (l policyList) policies(ctx context.Context, kind pb.Kind) ([]*pb.Policy, error) {
	items, err := l.list(ctx, kind)
	list := make([]*pb.Policy, 0, len(items))
	for _, i := range items {
		if p := i.GetPolicy(); p != nil {
			list = append(list, p)
		}
	}
	return list, err
}

var policyTable = table[*pb.Policy]{
	"KIND\tNAME\tORDER\tSELECTS\tWHAT",
	func(m *pb.Policy) []any {
		p, err := policies.Read(m)
		if err != nil {
			return []any{policies.KindName(policies.KindOf(m)), printable(m.Name), "-", "-", printable(err.Error())}
		}
		return []any{p.Kind(), p.Name, p.Order, printable(p.Selects()), printable(p.What())}
	},
}

func (l policyList) print(ctx context.Context, w io.Writer) error {
	list, err := l.policies(ctx, l.kind)
	if err != nil {
		return err
	}
	if l.format == "table" {
		return policyTable.print(w, list)
	}
	docs := make([]manifest.Written, 0, len(list))
	for _, p := range list {
		docs = append(docs, manifest.Format(p))
	}
	if l.format == "json" {
		return l.printer.print(w, docs)
	}
	return printDocuments(w, docs)
}

// printDocuments prints YAML as people write it: a document each.
func printDocuments(w io.Writer, docs []manifest.Written) error {
	for i, d := range docs {
		if i > 0 {
			fmt.Fprintln(w, "---")
		}
		text, err := json.Marshal(d)
		if err != nil {
			return fmt.Errorf("print as YAML: %w", err)
		}
		if err := printYAML(w, text); err != nil {
			return err
		}
	}
	return nil
}

var matchTable = table[policy.Match]{
	"KIND\tNAME\tORDER\tSELECTS\tHOLDS\tOVERRULED",
	func(m policy.Match) []any {
		return []any{m.Kind, m.Name, m.Order, printable(m.Selects), orDash(printable(strings.Join(m.Holds, "; "))), orDash(printable(strings.Join(m.Overruled, "; ")))}
	},
}

// explain prints which policies concern a container, and what of them holds.
func (l policyList) explain(ctx context.Context, w io.Writer, name string) error {
	subject, err := l.subject(ctx, name)
	if err != nil {
		return err
	}
	messages, err := l.policies(ctx, pb.Kind_KIND_POLICY)
	if err != nil {
		return err
	}
	var list []policy.Policy
	var problems []error
	for _, m := range messages {
		p, err := policies.Read(m)
		if err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", m.Name, err))
			continue
		}
		list = append(list, p)
	}
	set, err := policy.Compile(list)
	if err := errors.Join(append(problems, err)...); err != nil {
		return fmt.Errorf("get: policies that this program does not understand: %w", err)
	}
	rows := make([]policy.Match, 0)
	for _, m := range set.Explain(subject) {
		if l.kind == pb.Kind_KIND_POLICY || m.Kind.String() == policies.KindName(l.kind) {
			rows = append(rows, m)
		}
	}
	if l.format == "table" {
		return matchTable.print(w, rows)
	}
	return l.printer.print(w, rows)
}

// subject finds a container, and what policies see of it.
func (l policyList) subject(ctx context.Context, name string) (s policy.Subject, err error) {
	containers, err := l.list(ctx, pb.Kind_KIND_CONTAINER)
	if err != nil {
		return s, err
	}
	networks, err := l.list(ctx, pb.Kind_KIND_NETWORK)
	if err != nil {
		return s, err
	}
	tenants := make(map[string]string)
	for _, i := range networks {
		tenants[i.GetNetwork().GetName()] = i.GetNetwork().GetTenant()
	}
	var found []*pb.Container
	for _, i := range containers {
		if c := i.GetContainer(); c.GetName() == name || c.GetNetwork()+"/"+c.GetName() == name {
			found = append(found, c)
		}
	}
	switch len(found) {
	case 0:
		return s, fmt.Errorf("get: there is no container %q", name)
	case 1:
		return policies.Subject(found[0], tenants[found[0].Network]), nil
	}
	return s, fmt.Errorf("get: %d networks have a container %q: say %s/%s, for example", len(found), name, found[0].Network, name)
}
