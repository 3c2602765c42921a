package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	pb "github.com/freeflow-rdma/freeflow/api/freeflow/v1"
	"github.com/freeflow-rdma/freeflow/internal/cluster"
	"github.com/freeflow-rdma/freeflow/internal/orchestrator"
)

// usageRow is what was used, in a list. Bytes are payload.
type usageRow struct {
	Network     string            `json:"network,omitempty"`
	Container   string            `json:"container,omitempty"`
	Tenant      string            `json:"tenant,omitempty"`
	Host        string            `json:"host,omitempty"`
	PeerNetwork string            `json:"peerNetwork,omitempty"`
	Peer        string            `json:"peer,omitempty"`
	TxBytes     uint64            `json:"txBytes"`
	RxBytes     uint64            `json:"rxBytes"`
	TxMessages  uint64            `json:"txMessages"`
	RxMessages  uint64            `json:"rxMessages"`
	TxPackets   uint64            `json:"txPackets,omitempty"`
	RxPackets   uint64            `json:"rxPackets,omitempty"`
	Operations  map[string]uint64 `json:"operations,omitempty"`
	Errors      map[string]uint64 `json:"errors,omitempty"`
	Drops       map[string]uint64 `json:"drops,omitempty"`
	Denied      map[string]uint64 `json:"denied,omitempty"`
	Refused     uint64            `json:"refused"`
	LimitedNs   uint64            `json:"limitedNs"`
	RNRWaits    uint64            `json:"rnrWaits,omitempty"`
	Retransmits uint64            `json:"retransmits,omitempty"`
	Timeouts    uint64            `json:"timeouts,omitempty"`
	SeqErrors   uint64            `json:"sequenceErrors,omitempty"`
	Duplicates  uint64            `json:"duplicates,omitempty"`
	CNPsSent    uint64            `json:"cnpsSent,omitempty"`
	CNPsRecv    uint64            `json:"cnpsReceived,omitempty"`
	Since       time.Time         `json:"since"`
	Until       time.Time         `json:"until"`
}

// usageNames are the columns that say whose usage a row is.
var usageNames = map[string]struct {
	head  string
	cells func(usageRow) []any
}{
	"container": {"CONTAINER\tNETWORK\tTENANT", func(r usageRow) []any { return []any{r.Container, r.Network, orDash(r.Tenant)} }},
	"tenant":    {"TENANT", func(r usageRow) []any { return []any{orDash(r.Tenant)} }},
	"host":      {"HOST", func(r usageRow) []any { return []any{r.Host} }},
	"pair":      {"CONTAINER\tNETWORK\tPEER\tPEER NETWORK", func(r usageRow) []any { return []any{r.Container, r.Network, r.Peer, orDash(r.PeerNetwork)} }},
}

func usageTable(by string) table[usageRow] {
	names := usageNames[by]
	return table[usageRow]{names.head + "\tSENT\tRECEIVED\tMESSAGES OUT\tIN\tLIMITED\tERRORS\tDROPS\tDENIED\tREFUSED", func(r usageRow) []any {
		return append(names.cells(r), size(r.TxBytes), size(r.RxBytes), r.TxMessages, r.RxMessages,
			orDash(time.Duration(r.LimitedNs).Round(time.Millisecond)), total(r.Errors), total(r.Drops), deniedText(r.Denied), r.Refused)
	}}
}

func total(m map[string]uint64) (n uint64) {
	for _, v := range m {
		n += v
	}
	return n
}

// deniedText is what was denied, and how often: "qps 3".
func deniedText(m map[string]uint64) any {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(m)) {
		parts = append(parts, fmt.Sprintf("%s %d", printable(name), m[name]))
	}
	return orDash(strings.Join(parts, ", "))
}

// usageQuery is what the flags ask for.
type usageQuery struct{ since, until, by, network, container string }

func (q *usageQuery) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&q.since, "since", "1h", "from when: how long ago (90m, 24h, 7d), or a `time` (2026-01-31, 2026-01-31T12:00:00Z)")
	flags.StringVar(&q.until, "until", "", "until when (default: now)")
	flags.StringVar(&q.by, "by", "container", "what to add up `by`: container, tenant, host or pair")
	flags.StringVar(&q.network, "network", "", "only of this `network`")
	flags.StringVar(&q.container, "container", "", "only of the container with this `name`")
}

func (q *usageQuery) request(now time.Time) (*pb.GetUsageRequest, error) {
	if _, ok := usageNames[q.by]; !ok {
		return nil, fmt.Errorf("--by %s: want container, tenant, host or pair", q.by)
	}
	since, err := parseMoment(q.since, now)
	if err != nil {
		return nil, fmt.Errorf("--since: %w", err)
	}
	r := &pb.GetUsageRequest{Since: since.UnixNano(), Network: q.network, Container: q.container, By: pb.GetUsageRequest_By(pb.GetUsageRequest_By_value["BY_"+strings.ToUpper(q.by)])}
	if q.until != "" {
		until, err := parseMoment(q.until, now)
		if err != nil {
			return nil, fmt.Errorf("--until: %w", err)
		}
		r.Until = until.UnixNano()
	}
	return r, nil
}

// parseMoment reads how long ago something is, or a time.
func parseMoment(text string, now time.Time) (time.Time, error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		var n float64
		if _, err := fmt.Sscanf(days, "%g", &n); err == nil && n >= 0 && n < 1e5 {
			return now.Add(-time.Duration(n * 24 * float64(time.Hour))), nil
		}
	}
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02 15:04:05", "2006-01-02 15:04", "2006-01-02"} {
		if t, err := time.ParseInLocation(layout, text, time.Local); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q: want 90m, 24h, 7d, 2026-01-31 or 2026-01-31T12:00:00Z", text)
}

func getUsageCommand() *cobra.Command {
	var q usageQuery
	return orchestratorList("usage", "Add up what containers have used in a time", q.register,
		func(f *operatorFlags, o *cluster.Operator, p printer) func(context.Context, io.Writer) error {
			return listWith(p, func(ctx context.Context) ([]usageRow, error) {
				r, err := q.request(time.Now())
				if err != nil {
					return nil, err
				}
				answer, err := o.Usage.Get(ctx, connect.NewRequest(r))
				if err != nil {
					return nil, f.explain("usage", err)
				}
				return usageRows(answer.Msg), nil
			}, usageTable(cmp.Or(q.by, "container")))
		})
}

func usageRows(m *pb.GetUsageResponse) []usageRow {
	rows := make([]usageRow, 0, len(m.Rows))
	for _, r := range m.Rows {
		c := r.Counters
		rows = append(rows, usageRow{
			Network: r.Network, Container: r.Container, Tenant: r.Tenant, Host: r.Host, PeerNetwork: r.PeerNetwork, Peer: r.Peer,
			TxBytes: c.TxBytes, RxBytes: c.RxBytes, TxMessages: c.TxMessages, RxMessages: c.RxMessages, TxPackets: c.TxPackets, RxPackets: c.RxPackets,
			Operations: c.Operations, Errors: c.Errors, Drops: c.Drops, Denied: c.Denied, Refused: c.Refused, LimitedNs: c.LimitedNs, RNRWaits: c.RnrWaits,
			Retransmits: c.Retransmits, Timeouts: c.Timeouts, SeqErrors: c.SequenceErrors, Duplicates: c.Duplicates, CNPsSent: c.CnpsSent,
			CNPsRecv: c.CnpsReceived, Since: when(m.Since).UTC(), Until: when(m.Until).UTC(),
		})
	}
	return rows
}

// untilInterrupted is a context that ends when the program is told to.
func untilInterrupted(ctx context.Context) (context.Context, context.CancelFunc) {
	return signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
}

// keepFlags say how long an orchestrator keeps what it has counted and seen, and who may see it without asking.
func keepFlags(flags *pflag.FlagSet, cfg *orchestrator.Config) {
	flags.DurationVar(&cfg.UsageMinutes, "usage-minutes", orchestrator.DefaultUsageMinutes, "how long usage is kept by the minute")
	flags.DurationVar(&cfg.UsageHours, "usage-hours", orchestrator.DefaultUsageHours, "how long usage is kept by the hour")
	flags.IntVar(&cfg.AuditEvents, "audit-events", orchestrator.DefaultAuditEvents, "how many events of the audit are kept")
	flags.DurationVar(&cfg.AuditAge, "audit-age", orchestrator.DefaultAuditAge, "how long events of the audit are kept")
	flags.StringVar(&cfg.MetricsListen, "metrics-listen", "", "serve /metrics without TLS and to anybody on this `address` as well, such as 127.0.0.1:7472")
}
