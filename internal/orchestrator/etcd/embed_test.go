package etcd

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"testing"
	"time"
)

func testLog() *slog.Logger {
	return slog.New(slog.NewTextHandler(os.Stderr, nil))
}

func TestEmbeddedKeepsItsData(t *testing.T) {
	dir, ctx := t.TempDir(), context.Background()
	began := time.Now()
	e, err := Embed(ctx, dir, testLog())
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("first start took %s", time.Since(began))
	if _, err := e.Client.Put(ctx, "/a", "1"); err != nil {
		t.Fatal(err)
	}
	if _, err := Embed(ctx, dir, testLog()); !errors.Is(err, ErrInUse) {
		t.Fatalf("second start on the same directory: %v, want ErrInUse", err)
	}
	e.Close()

	began = time.Now()
	e, err = Embed(ctx, dir, testLog())
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	t.Logf("second start took %s", time.Since(began))
	got, err := e.Client.Get(ctx, "/a")
	if err != nil || got.Count != 1 || string(got.Kvs[0].Value) != "1" {
		t.Fatalf("after a restart: %v, %v", got, err)
	}
}

// A watch in the process tells how far it is when asked: package orchestrator relies on it.
func TestProgressCanBeAskedFor(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	e, err := Embed(ctx, t.TempDir(), testLog())
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	w := e.Client.Watch(ctx, "/mine/")
	put, err := e.Client.Put(ctx, "/other", "1")
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Client.RequestProgress(ctx); err != nil {
		t.Fatal(err)
	}
	for r := range w {
		if r.Header.Revision >= put.Header.Revision {
			return
		}
	}
	t.Fatal("the watch ended without telling")
}
