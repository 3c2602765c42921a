package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/freeflow-rdma/freeflow/internal/admin"
)

func getCommand() *cobra.Command {
	var operator operatorFlags
	var p printer
	var watch bool
	cmd := &cobra.Command{
		Use:   "get hosts|networks|containers|qps|mrs|cm-ids|counters|policies|usage|audit|tokens",
		Short: "List what the router or the cluster has",
		Long: `List what there is. The router of this machine is asked, which knows the cluster's hosts, networks and running containers,
and of queue pairs, memory regions, RDMA-CM identifiers and counters its own. With --data-dir or --orchestrator the orchestrator is asked for
hosts, networks, containers, the stopped ones too, and the memory regions of all hosts. The commands below always ask the orchestrator.`,
		Args:      cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		ValidArgs: []string{"hosts", "networks", "containers", "qps", "mrs", "cm-ids", "counters"},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := p.check(); err != nil {
				return err
			}
			list := lister(admin.NewClient(operator.runDir), args[0], p)
			if operator.given(cmd) {
				o, err := operator.open()
				if err != nil {
					return err
				}
				defer o.Close()
				if list = (clusterList{&operator, o}).lister(args[0], p); list == nil {
					return fmt.Errorf("get: only a router knows %s: leave out --data-dir and --orchestrator", args[0])
				}
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGTERM, syscall.SIGINT)
			defer stop()
			if watch {
				return watchList(ctx, cmd.OutOrStdout(), list)
			}
			return list(ctx, cmd.OutOrStdout())
		},
	}
	cmd.AddCommand(getPolicyCommands()...)
	cmd.AddCommand(getUsageCommand(), getAuditCommand(), getTokensCommand())
	operator.register(cmd) // without --data-dir and --orchestrator the router is asked
	cmd.Flags().StringVarP(&p.format, "output", "o", "table", "the `format`: table, json or yaml")
	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "print the list again whenever it has changed, until interrupted")
	return cmd
}

// lister asks the router for a list of that kind and prints it.
func lister(c *admin.Client, kind string, p printer) func(context.Context, io.Writer) error {
	switch kind {
	case "hosts":
		return listWith(p, c.Hosts, hostTable)
	case "networks":
		return listWith(p, c.Networks, networkTable)
	case "containers":
		return listWith(p, c.Containers, containerTable)
	case "qps":
		return listWith(p, c.QPs, qpTable)
	case "cm-ids":
		return listWith(p, c.CMIDs, cmIDTable)
	case "counters":
		return listWith(p, c.Counters, counterTable)
	default:
		return listWith(p, c.MRs, mrTable)
	}
}

func listWith[T any](p printer, ask func(context.Context) ([]T, error), t table[T]) func(context.Context, io.Writer) error {
	return func(ctx context.Context, w io.Writer) error {
		rows, err := ask(ctx)
		if err != nil {
			return fmt.Errorf("get: %w", err)
		}
		if p.format == "table" {
			return t.print(w, rows)
		}
		return p.print(w, rows)
	}
}

// watchInterval is how often a watched list is asked for.
const watchInterval = time.Second

// watchList prints the list and then every other list that it becomes.
func watchList(ctx context.Context, w io.Writer, list func(context.Context, io.Writer) error) error {
	var last []byte
	tick := time.NewTicker(watchInterval)
	defer tick.Stop()
	for {
		var now bytes.Buffer
		err := list(ctx, &now)
		if errors.Is(err, context.Canceled) {
			return nil
		}
		if err != nil {
			return err
		}
		if !bytes.Equal(now.Bytes(), last) {
			last = now.Bytes()
			if _, err := w.Write(last); err != nil {
				return fmt.Errorf("get: %w", err)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
