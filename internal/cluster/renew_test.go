package cluster

import (
	"context"
	"net/netip"
	"os"
	"testing"
	"time"

	"connectrpc.com/connect"

	pb "github.com/freeflow-rdma/freeflow/api/freeflow/v1"
	"github.com/freeflow-rdma/freeflow/internal/orchestrator"
)

// connected is a host of a cluster of its own; it can join again whenever it must.
func connected(t *testing.T) (*orchestrator.Server, *Client) {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "ff")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s, err := orchestrator.Start(context.Background(), orchestrator.Config{DataDir: dir, Listen: "none"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	token, err := s.CreateToken(context.Background(), 0, false)
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{URLs: []string{s.RouterURL()}, Dir: t.TempDir(), Host: "h", Underlay: netip.MustParseAddr("192.0.2.1"), Token: token}
	if err := Join(context.Background(), cfg); err != nil {
		t.Fatal(err)
	}
	c, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	until(t, "connected", c.Connected)
	return s, c
}

func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("still not: %s", what)
		}
	}
}

func TestCertificateIsRenewed(t *testing.T) {
	_, c := connected(t)
	session, before := c.live.Load(), c.creds.Load()
	day := 24 * time.Hour
	if err := session.renew(context.Background(), time.Now().Add(15*day)); err != nil || c.creds.Load() != before {
		t.Fatalf("renewed at half of its time: %v", err)
	}
	if err := session.renew(context.Background(), time.Now().Add(21*day)); err != nil {
		t.Fatal(err)
	}
	after := c.creds.Load()
	if after.cert.SerialNumber.Cmp(before.cert.SerialNumber) == 0 || !after.key.Equal(before.key) || after.holder != before.holder {
		t.Fatalf("renewed to %v", after.holder)
	}
	kept, err := loadCredentials(c.cfg.Dir)
	if err != nil || !kept.cert.Equal(after.cert) {
		t.Fatalf("on disk: %v", err)
	}
	c.restart() // a connection with the new one
	until(t, "connected anew", func() bool { s := c.live.Load(); return s != nil && s != session })
}

// An operator deletes a host that is there: it joins again with its token, and tells what runs.
func TestDeletedHostJoinsAgain(t *testing.T) {
	s, c := connected(t)
	name := Name{"default", "x"}
	if _, err := c.Register(context.Background(), Registration{Name: name, Instance: "1"}); err != nil {
		t.Fatal(err)
	}
	o := OpenOperator(s.SocketPath())
	defer o.Close()
	ref := &pb.Ref{Kind: pb.Kind_KIND_HOST, Name: "h"}
	if _, err := o.Delete(context.Background(), connect.NewRequest(&pb.DeleteRequest{Ref: ref, Force: true})); err != nil {
		t.Fatal(err)
	}
	until(t, "seen stopped", func() bool { x := c.State().Container(name); return x != nil && !x.Running })
	until(t, "back with its container", func() bool {
		x, h := c.State().Container(name), c.State().Host("h")
		return x != nil && x.Running && h != nil && h.Ready
	})
}
