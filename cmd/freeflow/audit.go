package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	pb "github.com/freeflow-rdma/freeflow/api/freeflow/v1"
	"github.com/freeflow-rdma/freeflow/internal/cluster"
)

// auditRow is an event of the audit, in a list.
type auditRow struct {
	ID         string    `json:"id"`
	Time       time.Time `json:"time"`
	First      time.Time `json:"first,omitzero"`
	Count      uint64    `json:"count"`
	Result     string    `json:"result"`
	Actor      string    `json:"actor"`
	Source     string    `json:"source,omitempty"`
	Credential string    `json:"credential,omitempty"`
	Action     string    `json:"action"`
	Kind       string    `json:"kind,omitempty"`
	Object     string    `json:"object,omitempty"`
	Before     string    `json:"before,omitempty"`
	After      string    `json:"after,omitempty"`
	Reason     string    `json:"reason,omitempty"`
}

// auditTable leaves out what was before and after: -o yaml has it.
var auditTable = table[auditRow]{
	"TIME\tRESULT\tCOUNT\tACTOR\tFROM\tACTION\tOBJECT\tREASON",
	func(r auditRow) []any {
		return []any{moment(r.Time), r.Result, r.Count, printable(r.Actor), orDash(printable(r.Source)), printable(r.Action),
			orDash(printable(strings.TrimSpace(r.Kind + " " + r.Object))), orDash(printable(r.Reason))}
	},
}

func auditRows(events []*pb.AuditEvent) []auditRow {
	rows := make([]auditRow, 0, len(events))
	for _, e := range events {
		rows = append(rows, auditRow{ID: e.Id, Time: when(e.Time), First: when(e.First), Count: e.Count, Result: word(e.Result, "RESULT_"), Actor: e.Actor,
			Source: e.Source, Credential: e.Credential, Action: e.Action, Kind: e.Kind, Object: e.Object, Before: e.Before, After: e.After, Reason: e.Reason})
	}
	return rows
}

// auditQuery is what the flags ask for.
type auditQuery struct {
	since, until, search string
	limit                int
}

func getAuditCommand() *cobra.Command {
	var f operatorFlags
	var p printer
	var q auditQuery
	var watch bool
	cmd := &cobra.Command{
		Use:     "audit",
		Short:   "Tell who changed what, and who was refused what",
		Example: "  freeflow get audit --since 24h\n  freeflow get audit --search ratelimit -o yaml\n  freeflow get audit --watch",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := p.check(); err != nil {
				return err
			}
			r, err := q.request(time.Now())
			if err != nil {
				return err
			}
			o, err := f.open()
			if err != nil {
				return err
			}
			defer o.Close()
			ctx, stop := untilInterrupted(cmd.Context())
			defer stop()
			if watch {
				err = followAudit(ctx, o, r, p, cmd.OutOrStdout())
			} else {
				err = showAudit(ctx, o, r, p, cmd.OutOrStdout())
			}
			if err != nil {
				return f.explain("audit", err)
			}
			return nil
		},
	}
	f.register(cmd)
	flags := cmd.Flags()
	flags.StringVar(&q.since, "since", "", "from when: how long ago (90m, 24h, 7d), or a `time` (default: all that is kept)")
	flags.StringVar(&q.until, "until", "", "until when")
	flags.StringVar(&q.search, "search", "", "only events with this `text` in actor, action, object or reason")
	flags.IntVar(&q.limit, "limit", 200, "at most so many, the latest")
	flags.StringVarP(&p.format, "output", "o", "table", "the `format`: table, json or yaml")
	flags.BoolVarP(&watch, "watch", "w", false, "go on with each event that follows, until interrupted")
	return cmd
}

func (q auditQuery) request(now time.Time) (*pb.ListAuditRequest, error) {
	if q.limit < 1 {
		return nil, fmt.Errorf("--limit %d: want at least 1", q.limit)
	}
	r := &pb.ListAuditRequest{Search: q.search, Limit: int32(min(q.limit, 1<<20))}
	for _, m := range []struct {
		flag, text string
		into       *int64
	}{{"--since", q.since, &r.Since}, {"--until", q.until, &r.Until}} {
		if m.text == "" {
			continue
		}
		t, err := parseMoment(m.text, now)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", m.flag, err)
		}
		*m.into = t.UnixNano()
	}
	return r, nil
}

// showAudit prints the latest events, the earliest first.
func showAudit(ctx context.Context, o *cluster.Operator, r *pb.ListAuditRequest, p printer, w io.Writer) error {
	var events []*pb.AuditEvent
	for want := int(r.Limit); ; {
		r.Limit = int32(min(want-len(events), 1000))
		answer, err := o.Audit.List(ctx, connect.NewRequest(r))
		if err != nil {
			return err
		}
		events = append(events, answer.Msg.Events...)
		if !answer.Msg.More || len(events) >= want {
			break
		}
		r.Before = events[len(events)-1].Id
	}
	slices.Reverse(events)
	return printAudit(w, p, auditRows(events))
}

func printAudit(w io.Writer, p printer, rows []auditRow) error {
	if p.format == "table" {
		return auditTable.print(w, rows)
	}
	return p.print(w, rows)
}

// followAudit prints events as they happen.
func followAudit(ctx context.Context, o *cluster.Operator, r *pb.ListAuditRequest, p printer, w io.Writer) error {
	stream, err := o.Audit.Watch(ctx, connect.NewRequest(r))
	if err != nil {
		return err
	}
	defer stream.Close()
	for stream.Receive() {
		if len(stream.Msg().Events) == 0 {
			continue
		}
		if err := printAudit(w, p, auditRows(stream.Msg().Events)); err != nil {
			return err
		}
	}
	if err := stream.Err(); err != nil && !errors.Is(err, context.Canceled) && ctx.Err() == nil {
		return err
	}
	return nil
}
