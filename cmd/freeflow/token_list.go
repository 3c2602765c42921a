package main

import (
	"context"
	"io"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	pb "github.com/freeflow-rdma/freeflow/api/freeflow/v1"
	"github.com/freeflow-rdma/freeflow/internal/cluster"
)

// tokenRow is a token in a list.
type tokenRow struct {
	ID        string    `json:"id"`
	Kind      string    `json:"kind"`
	Role      string    `json:"role"`
	Name      string    `json:"name,omitempty"`
	Created   time.Time `json:"created,omitzero"`
	CreatedBy string    `json:"createdBy,omitempty"`
	Expires   time.Time `json:"expires"`
	SingleUse bool      `json:"singleUse,omitempty"`
	Sessions  int       `json:"sessions,omitempty"`
}

var tokenTable = table[tokenRow]{
	"ID\tKIND\tROLE\tNAME\tCREATED\tBY\tEXPIRES\tSESSIONS",
	func(r tokenRow) []any {
		return []any{r.ID, r.Kind, r.Role, orDash(r.Name), moment(r.Created), orDash(r.CreatedBy), moment(r.Expires), r.Sessions}
	},
}

func getTokensCommand() *cobra.Command {
	return orchestratorList("tokens", "List the tokens and certificates that are good: never their secrets", nil,
		func(f *operatorFlags, o *cluster.Operator, p printer) func(context.Context, io.Writer) error {
			return listWith(p, func(ctx context.Context) ([]tokenRow, error) {
				answer, err := o.Access.ListCredentials(ctx, connect.NewRequest(&pb.ListCredentialsRequest{}))
				if err != nil {
					return nil, f.explain("tokens", err)
				}
				rows := make([]tokenRow, 0, len(answer.Msg.Credentials))
				for _, c := range answer.Msg.Credentials {
					rows = append(rows, tokenRow{ID: c.Id, Kind: word(c.Kind, "KIND_"), Role: word(c.Role, "ROLE_"), Name: c.Name, Created: when(c.Created),
						CreatedBy: c.CreatedBy, Expires: when(c.Expires), SingleUse: c.SingleUse, Sessions: int(c.Sessions)})
				}
				return rows, nil
			}, tokenTable)
		})
}

// orchestratorList is a command that lists what only the orchestrator knows.
func orchestratorList(name, short string, flags func(*cobra.Command),
	list func(*operatorFlags, *cluster.Operator, printer) func(context.Context, io.Writer) error) *cobra.Command {
	var f operatorFlags
	var p printer
	var watch bool
	cmd := &cobra.Command{
		Use: name, Short: short, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := p.check(); err != nil {
				return err
			}
			o, err := f.open()
			if err != nil {
				return err
			}
			defer o.Close()
			ctx, stop := untilInterrupted(cmd.Context())
			defer stop()
			show := list(&f, o, p)
			if watch {
				return watchList(ctx, cmd.OutOrStdout(), show)
			}
			return show(ctx, cmd.OutOrStdout())
		},
	}
	f.register(cmd)
	cmd.Flags().StringVarP(&p.format, "output", "o", "table", "the `format`: table, json or yaml")
	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "print the list again whenever it has changed, until interrupted")
	if flags != nil {
		flags(cmd)
	}
	return cmd
}
