package orchestrator

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"connectrpc.com/connect"

	pb "github.com/freeflow-rdma/freeflow/api/freeflow/v1"
)

const (
	maxUsageRows  = 5000
	maxUsageSteps = 400
	hourSeconds   = int64(3600)
)

// span is a part of the time that a query is about, in buckets of one kind: seconds since 1970, from the first to before the end.
type span struct {
	dir        string
	first, end int64
}

// spans divides a time: hours where they are made and whole ones are wanted, minutes elsewhere. What minutes no longer tell is widened to hours.
// All are seconds; step is 0, 60 or 3600: of a series, whose buckets must not be longer.
func spans(since, until, rolled, minutesFrom, step int64) []span {
	since, until = since/60*60, (until+59)/60*60
	if since < minutesFrom && since < rolled {
		since = since / hourSeconds * hourSeconds
	}
	first := (since + hourSeconds - 1) / hourSeconds * hourSeconds // whole hours
	end := min(until/hourSeconds*hourSeconds, rolled)
	if end < minutesFrom && end < rolled { // its end too is told by hours alone
		end = min((until+hourSeconds-1)/hourSeconds*hourSeconds, rolled)
		until = max(until, end)
	}
	if step == 60 && since >= minutesFrom || first >= end {
		return []span{{dirUsageMinutes, since, until}}
	}
	list := []span{{dirUsageHours, first, end}}
	if since < first {
		list = append([]span{{dirUsageMinutes, since, first}}, list...)
	}
	if end < until {
		list = append(list, span{dirUsageMinutes, end, until})
	}
	return list
}

// stepOf is how long a series' steps are, seconds.
func stepOf(r *pb.GetUsageRequest, since, until, minutesFrom int64) int64 {
	switch {
	case !r.Series:
		return 0
	case since >= minutesFrom && (until-since)/60 <= maxUsageSteps:
		return 60
	}
	return hourSeconds
}

// tally adds entries up by what a query asks for.
type tally struct {
	r    *pb.GetUsageRequest
	by   pb.GetUsageRequest_By
	step int64
	rows map[entryRow]*pb.UsageRow
	at   map[entryRow]map[int64]*pb.UsageStep
}

type entryRow struct{ network, container, tenant, host, peerNetwork, peer string }

func (t *tally) key(e *pb.UsageEntry, host string) (entryRow, bool) {
	switch {
	case t.r.Network != "" && e.Network != t.r.Network || t.r.Container != "" && e.Container != t.r.Container,
		(e.Peer != "") != (t.by == pb.GetUsageRequest_BY_PAIR):
		return entryRow{}, false
	}
	switch t.by {
	case pb.GetUsageRequest_BY_TENANT:
		return entryRow{tenant: e.Tenant}, true
	case pb.GetUsageRequest_BY_HOST:
		return entryRow{host: host}, true
	case pb.GetUsageRequest_BY_PAIR:
		return entryRow{network: e.Network, container: e.Container, tenant: e.Tenant, peerNetwork: e.PeerNetwork, peer: e.Peer}, true
	}
	return entryRow{network: e.Network, container: e.Container, tenant: e.Tenant}, true
}

// add takes entries of a bucket that begins at that time, seconds.
func (t *tally) add(begin int64, host string, entries []*pb.UsageEntry) {
	for _, e := range entries {
		key, wanted := t.key(e, host)
		if !wanted {
			continue
		}
		row := t.rows[key]
		if row == nil {
			row = &pb.UsageRow{Network: key.network, Container: key.container, Tenant: key.tenant, Host: key.host,
				PeerNetwork: key.peerNetwork, Peer: key.peer, Counters: &pb.Counters{}}
			t.rows[key], t.at[key] = row, make(map[int64]*pb.UsageStep)
		}
		add(row.Counters, e.Counters)
		if t.step == 0 {
			continue
		}
		at := begin / t.step * t.step
		s := t.at[key][at]
		if s == nil {
			s = &pb.UsageStep{Time: at * 1e9}
			t.at[key][at] = s
		}
		s.TxBytes, s.RxBytes = plus(s.TxBytes, e.Counters.TxBytes), plus(s.RxBytes, e.Counters.RxBytes)
		s.TxMessages, s.RxMessages = plus(s.TxMessages, e.Counters.TxMessages), plus(s.RxMessages, e.Counters.RxMessages)
	}
}

// result is the rows, most bytes first.
func (t *tally) result() []*pb.UsageRow {
	for key, row := range t.rows {
		row.Series = slices.SortedFunc(maps.Values(t.at[key]), func(a, b *pb.UsageStep) int { return cmp.Compare(a.Time, b.Time) })
	}
	list := slices.SortedFunc(maps.Values(t.rows), func(a, b *pb.UsageRow) int {
		return cmp.Or(cmp.Compare(bytesOf(b.Counters), bytesOf(a.Counters)), cmp.Compare(a.Network, b.Network), cmp.Compare(a.Container, b.Container),
			cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.Host, b.Host), cmp.Compare(a.Peer, b.Peer))
	})
	return list[:min(len(list), maxUsageRows)]
}

// query answers what was used in a time: what is in the store, and what is pending here.
func (u *UsageStore) query(ctx context.Context, r *pb.GetUsageRequest, now time.Time) (*pb.GetUsageResponse, error) {
	until := cmp.Or(r.Until, now.UnixNano())
	since := cmp.Or(r.Since, until-int64(time.Hour))
	if since < 0 || until <= since {
		return nil, failf(connect.CodeInvalidArgument, "a time from %s to %s: want one that begins before it ends",
			time.Unix(0, since).UTC().Format(time.RFC3339), time.Unix(0, until).UTC().Format(time.RFC3339))
	}
	ctx, cancel := context.WithTimeout(ctx, loadPatience)
	defer cancel()
	rolled, _, err := u.rolled(ctx)
	if err != nil {
		return nil, fail("read usage", err)
	}
	since = max(since, now.Add(-u.hours).UnixNano()) // before that there is nothing
	minutesFrom := now.Add(-u.minutes).Unix()/60*60 + 60
	step := stepOf(r, since/1e9, until/1e9, minutesFrom)
	list := spans(since/1e9, (until+1e9-1)/1e9, rolled*hourSeconds, minutesFrom, step)
	end := list[len(list)-1].end
	var t *tally
	for {
		begun := u.begun.Load()
		t = &tally{r: r, by: r.By, step: step, rows: make(map[entryRow]*pb.UsageRow), at: make(map[entryRow]map[int64]*pb.UsageStep)}
		if err := u.addStored(ctx, t, list); err != nil {
			return nil, err
		}
		if end > now.Unix() {
			u.addPending(t, now)
		}
		if u.ended.Load() == begun && u.begun.Load() == begun || ctx.Err() != nil {
			break // nothing was on its way from pending to stored
		}
		sleepOr(ctx, 10*time.Millisecond)
	}
	if ctx.Err() != nil {
		return nil, fail("read usage", ctx.Err())
	}
	return &pb.GetUsageResponse{Since: list[0].first * 1e9, Until: end * 1e9, Step: step * 1e9, Rows: t.result()}, nil
}

func (u *UsageStore) addStored(ctx context.Context, t *tally, list []span) error {
	for _, s := range list {
		unit := int64(60)
		if s.dir == dirUsageHours {
			unit = hourSeconds
		}
		err := u.buckets(ctx, s.dir, s.first/unit, s.end/unit, func(n int64, host string, b *pb.UsageBucket) { t.add(n*unit, host, b.Entries) })
		if err != nil {
			return err
		}
	}
	return nil
}

// addPending adds what has been reported here and is not in the store yet.
func (u *UsageStore) addPending(t *tally, now time.Time) {
	u.mu.Lock()
	all := maps.Clone(u.hosts)
	u.mu.Unlock()
	for name, h := range all {
		h.mu.Lock()
		if p := h.ledger.post(); p != nil && h.loaded {
			t.add(now.Unix()/60*60, name, p.entries)
		}
		h.mu.Unlock()
	}
}
