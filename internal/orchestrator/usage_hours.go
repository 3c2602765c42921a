package orchestrator

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	pb "github.com/freeflow-rdma/freeflow/api/freeflow/v1"
)

// Hours are made of minutes when they are over. The key rolled says up to which hour that is done: queries take those
// from the hours' buckets, and later ones from the minutes'. Minutes are dropped only when their hour is made.

// rollGrace is how long after an hour its last minutes may come: clocks of several orchestrators differ.
const rollGrace = 2 * time.Minute

const usagePage = 200 // keys that are read at once

// entryKey names what an entry of a bucket is about.
type entryKey struct{ network, container, tenant, peerNetwork, peer string }

func keyOfEntry(e *pb.UsageEntry) entryKey {
	return entryKey{e.Network, e.Container, e.Tenant, e.PeerNetwork, e.Peer}
}

// mergeEntries makes one entry of those about the same. Of pairs only the largest stay, so that a bucket has a bound.
func mergeEntries(list []*pb.UsageEntry) []*pb.UsageEntry {
	sums := make(map[entryKey]*pb.UsageEntry)
	for _, e := range list {
		if s := sums[keyOfEntry(e)]; s != nil {
			add(s.Counters, e.Counters)
		} else {
			s := &pb.UsageEntry{Network: e.Network, Container: e.Container, Tenant: e.Tenant, PeerNetwork: e.PeerNetwork, Peer: e.Peer, Counters: &pb.Counters{}}
			add(s.Counters, e.Counters)
			sums[keyOfEntry(e)] = s
		}
	}
	var own, others []*pb.UsageEntry
	for _, e := range sums {
		if e.Peer == "" {
			own = append(own, e)
		} else {
			others = append(others, e)
		}
	}
	slices.SortFunc(others, func(a, b *pb.UsageEntry) int { return cmp.Compare(bytesOf(b.Counters), bytesOf(a.Counters)) })
	merged := slices.Concat(own, others[:min(len(others), maxPairs)])
	slices.SortFunc(merged, func(a, b *pb.UsageEntry) int {
		return cmp.Or(cmp.Compare(a.Network, b.Network), cmp.Compare(a.Container, b.Container), cmp.Compare(a.PeerNetwork, b.PeerNetwork),
			cmp.Compare(a.Peer, b.Peer), cmp.Compare(a.Tenant, b.Tenant))
	})
	return merged
}

func bytesOf(c *pb.Counters) uint64 { return plus(c.TxBytes, c.RxBytes) }

// buckets reads buckets in the order of time and calls f for each: n is the minute's or hour's number.
func (u *UsageStore) buckets(ctx context.Context, dir string, from, to int64, f func(n int64, host string, b *pb.UsageBucket)) error {
	format := "%s%010d/"
	if dir == dirUsageHours {
		format = "%s%08d/"
	}
	prefix := u.keys.prefix
	at, end := prefix+fmt.Sprintf(format, dir, from), prefix+fmt.Sprintf(format, dir, to)
	for at < end {
		got, err := u.client.Get(ctx, at, clientv3.WithRange(end), clientv3.WithLimit(usagePage))
		if err != nil {
			return fail("read usage", err)
		}
		for _, kv := range got.Kvs {
			number, host, _ := strings.Cut(strings.TrimPrefix(string(kv.Key), prefix+dir), "/")
			n, err := strconv.ParseInt(number, 10, 64)
			b := &pb.UsageBucket{}
			if err == nil {
				err = unpack(kv.Value, b)
			}
			if err != nil {
				u.log.Error("a value in etcd cannot be read", "key", string(kv.Key), "err", err)
				continue
			}
			f(n, host, b)
		}
		if !got.More || len(got.Kvs) == 0 {
			return nil
		}
		at = string(got.Kvs[len(got.Kvs)-1].Key) + "\x00"
	}
	return nil
}

// rolled is the first hour that is not yet made of its minutes; 0 if none has been.
func (u *UsageStore) rolled(ctx context.Context) (int64, int64, error) {
	value, rev, err := u.store.get(ctx, u.keys.usageRolled())
	if err != nil || value == nil {
		return 0, rev, err
	}
	n, err := strconv.ParseInt(string(value), 10, 64)
	return n, rev, err
}

// roll makes the hours that are over, and drops what is too old.
func (u *UsageStore) roll(ctx context.Context, now time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, loadPatience)
	defer cancel()
	first, rev, err := u.rolled(ctx)
	if err != nil {
		return err
	}
	end := now.Add(-rollGrace).Unix() / 3600 // the hour that is not over yet
	if first < end {
		if err := u.makeHours(ctx, first, end); err != nil {
			return err
		}
		// Who else has made the same hours has made the same of them.
		if _, err := u.client.Txn(ctx).If(unchanged(u.keys.usageRolled(), rev)).Then(clientv3.OpPut(u.keys.usageRolled(), strconv.FormatInt(end, 10))).Commit(); err != nil {
			return err
		}
	}
	oldMinutes := min(now.Add(-u.minutes).Unix()/60, end*60)
	oldHours := now.Add(-u.hours).Unix() / 3600
	_, err = u.client.Txn(ctx).Then(
		clientv3.OpDelete(u.keys.usageMinute(0, ""), clientv3.WithRange(u.keys.usageMinute(oldMinutes, ""))),
		clientv3.OpDelete(u.keys.usageHour(0, ""), clientv3.WithRange(u.keys.usageHour(oldHours, ""))),
	).Commit()
	return err
}

// makeHours writes the buckets of the hours from first to before end, one host and hour at a time.
func (u *UsageStore) makeHours(ctx context.Context, first, end int64) error {
	hour := int64(-1)
	sums := make(map[string][]*pb.UsageEntry) // of that hour, by host
	write := func() error {
		for host, entries := range sums {
			value := pack(&pb.UsageBucket{Entries: mergeEntries(entries)})
			if _, err := u.client.Put(ctx, u.keys.usageHour(hour, host), string(value)); err != nil {
				return err
			}
		}
		clear(sums)
		return nil
	}
	var failed error
	err := u.buckets(ctx, dirUsageMinutes, first*60, end*60, func(minute int64, host string, b *pb.UsageBucket) {
		if minute/60 != hour {
			failed = cmp.Or(failed, write())
			hour = minute / 60
		}
		sums[host] = mergeEntries(append(sums[host], b.Entries...))
	})
	return cmp.Or(err, failed, write())
}
