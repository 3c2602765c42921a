package orchestrator

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	clientv3 "go.etcd.io/etcd/client/v3"

	pb "github.com/freeflow-rdma/freeflow/api/freeflow/v1"
	"github.com/freeflow-rdma/freeflow/api/freeflow/v1/freeflowv1connect"
	"github.com/freeflow-rdma/freeflow/internal/orchestrator/ca"
)

var withPrefix = clientv3.WithPrefix()

// accessOf is the access service of one of a world's orchestrators.
func accessOf(w *world, i int) accessService {
	w.Helper()
	ctx, cancel := context.WithCancel(w.ctx)
	var active sync.WaitGroup
	w.Cleanup(func() {
		cancel()
		active.Wait()
	})
	s := w.stores[i]
	creds, err := openCredentials(ctx, s, &active)
	if err != nil {
		w.Fatal(err)
	}
	return accessService{&doorman{s, creds, newTries()}, openAudit(ctx, s, Config{}, &active)}
}

func events(t *testing.T, s *Server, search string) []*pb.AuditEvent {
	t.Helper()
	a := adminOf(t, s, freeflowv1connect.NewAuditServiceClient)
	got, err := a.List(context.Background(), connect.NewRequest(&pb.ListAuditRequest{Search: search}))
	if err != nil {
		t.Fatal(err)
	}
	return got.Msg.Events
}

func TestAuditOfChanges(t *testing.T) {
	s := startServer(t, Config{})
	ctx := context.Background()
	token, id := roleToken(t, s, pb.Role_ROLE_OPERATOR)
	o := freeflowv1connect.NewClusterServiceClient(bearing{as(s, nil), token}, "https://"+s.Addr().String())
	if _, err := o.Apply(ctx, connect.NewRequest(&pb.ApplyRequest{Objects: []*pb.Object{network("blue", "10.9.0.0/24", 0)}})); err != nil {
		t.Fatal(err)
	}
	if _, err := o.Apply(ctx, connect.NewRequest(&pb.ApplyRequest{DryRun: true, Objects: []*pb.Object{network("grey", "10.9.1.0/24", 0)}})); err != nil {
		t.Fatal(err)
	}
	if _, err := o.Delete(ctx, connect.NewRequest(&pb.DeleteRequest{Ref: &pb.Ref{Kind: pb.Kind_KIND_NETWORK, Name: "blue"}})); err != nil {
		t.Fatal(err)
	}
	got := events(t, s, "blue")
	if len(got) != 2 {
		t.Fatalf("%v", got)
	}
	deleted, applied := got[0], got[1]
	if applied.Actor != "operator ann" || applied.Credential != id || applied.Source != "127.0.0.1" || applied.Action != "apply" || applied.Kind != "network" ||
		applied.Before != "" || !strings.Contains(applied.After, "10.9.0.0/24") || applied.Result != pb.AuditEvent_RESULT_DONE {
		t.Errorf("applied: %v", applied)
	}
	if deleted.Action != "delete" || deleted.After != "" || !strings.Contains(deleted.Before, "10.9.0.0/24") {
		t.Errorf("deleted: %v", deleted)
	}
	if len(events(t, s, "grey")) != 0 {
		t.Error("a dry run is in the audit")
	}
	if got := events(t, s, "token.create"); len(got) != 1 || got[0].Object != id || strings.Contains(got[0].String(), token) {
		t.Errorf("%v", got)
	}
}

// Refused calls are in the audit: few events, and every one counted.
func TestAuditOfRefusals(t *testing.T) {
	dir := shortDir(t)
	s := startServer(t, Config{DataDir: dir})
	token, _ := roleToken(t, s, pb.Role_ROLE_VIEWER)
	o := freeflowv1connect.NewClusterServiceClient(bearing{as(s, nil), token}, "https://"+s.Addr().String())
	const calls = 50
	for range calls {
		if _, err := o.Apply(context.Background(), connect.NewRequest(&pb.ApplyRequest{})); !isCode(err, connect.CodePermissionDenied) {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil { // what is held back is written
		t.Fatal(err)
	}
	s = startServer(t, Config{DataDir: dir})
	got := events(t, s, "ClusterService.Apply")
	var count uint64
	for _, e := range got {
		count += e.Count
		if e.Result != pb.AuditEvent_RESULT_DENIED || e.Actor != "viewer ann" {
			t.Errorf("%v", e)
		}
	}
	if count != calls || len(got) > 3 {
		t.Errorf("%d refusals in %d events, want %d in a few", count, len(got), calls)
	}
}

// Whatever happens when, no refusal is lost, and there are few events.
func TestDenialsCountAll(t *testing.T) {
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 1))
		var d denials
		var now int64
		var in, out, events uint64
		written := func(list ...*pb.AuditEvent) {
			for _, e := range list {
				if e == nil {
					continue
				}
				if r.IntN(10) == 0 && d.open[keyOf(e)] != nil { // the queue was full
					d.again(e)
					continue
				}
				out, events = out+e.Count, events+1
				if e.First > e.Time && e.First != 0 {
					t.Fatalf("from %d to %d", e.First, e.Time)
				}
			}
		}
		for range 20000 {
			now += r.Int64N(int64(time.Second) / 100)
			e := &pb.AuditEvent{Actor: fmt.Sprint(r.IntN(1 + r.IntN(1000))), Action: "call", Count: 1 + r.Uint64N(3), Time: now}
			in += e.Count
			written(d.add(e, now))
			if r.IntN(100) == 0 {
				written(d.due(now)...)
			}
			if len(d.open) > maxDenials+5 || len(d.until) != len(d.open) {
				t.Fatalf("%d kinds are remembered", len(d.open))
			}
		}
		for _, e := range d.due(1<<63 - 1) {
			out += e.Count
		}
		if in != out {
			t.Fatalf("seed %d: %d refusals, %d in events", seed, in, out)
		}
		if most := uint64(now/denialCost)*6 + 2000; events > most {
			t.Errorf("seed %d: %d events", seed, events)
		}
	}
}

func TestAuditIsBounded(t *testing.T) {
	w := newWorld(t, 1)
	a := newAudit(w.stores[0], Config{AuditEvents: 20, AuditAge: time.Hour})
	at := time.Now()
	for i := range 60 {
		a.write(w.ctx, &pb.AuditEvent{Action: "apply", Object: fmt.Sprint(i), Time: at.Add(time.Duration(i-50) * time.Minute).UnixNano(), After: strings.Repeat("é", maxAuditText)})
	}
	if err := a.pruneNow(w.ctx, at.Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	got, _, err := a.list(w.ctx, &pb.ListAuditRequest{})
	if err != nil || len(got.Events) != 20 || got.Events[0].Object != "59" || got.More {
		t.Fatalf("%d events, %v", len(got.Events), err)
	}
	for _, e := range got.Events {
		if len(e.After) > maxAuditText {
			t.Errorf("%d bytes", len(e.After))
		}
	}
	if err := a.pruneNow(w.ctx, at.Add(70*time.Minute-time.Second)); err != nil {
		t.Fatal(err)
	}
	if got, _, _ = a.list(w.ctx, &pb.ListAuditRequest{}); len(got.Events) != 0 {
		t.Errorf("%d events are older than an hour", len(got.Events))
	}
}

func TestAuditPages(t *testing.T) {
	w := newWorld(t, 1)
	a := accessOf(w, 0).audit
	for i := range 30 {
		a.write(w.ctx, &pb.AuditEvent{Action: []string{"apply", "delete"}[i%2], Time: int64(1000 + i)})
	}
	var seen []int64
	r := &pb.ListAuditRequest{Limit: 4, Search: "DELETE", Since: 1005, Until: 1025}
	for {
		got, _, err := a.list(w.ctx, r)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range got.Events {
			seen = append(seen, e.Time)
		}
		if !got.More {
			break
		}
		r.Before = got.Events[len(got.Events)-1].Id
	}
	if fmt.Sprint(seen) != "[1025 1023 1021 1019 1017 1015 1013 1011 1009 1007 1005]" {
		t.Errorf("%v", seen)
	}
}

func TestAuditWatch(t *testing.T) {
	s := startServer(t, Config{})
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	a := adminOf(t, s, freeflowv1connect.NewAuditServiceClient)
	stream, err := a.Watch(ctx, connect.NewRequest(&pb.ListAuditRequest{}))
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	if !stream.Receive() || len(stream.Msg().Events) != 0 {
		t.Fatal(stream.Msg(), stream.Err())
	}
	s.front.audit.done(ctx, caller{Identity: ca.Identity{Role: ca.RoleAdmin, Name: "eve"}}, &pb.AuditEvent{Action: "apply", Object: "x"})
	if !stream.Receive() || stream.Msg().Events[0].Actor != "admin eve" {
		t.Fatal(stream.Msg(), stream.Err())
	}
}
