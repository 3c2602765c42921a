package pcap

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/freeflow-rdma/freeflow/internal/wire"
)

// serve is a router with nothing but a tap.
func serve(t *testing.T) (*Tap, *Client) {
	t.Helper()
	tap := &Tap{}
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { Serve(w, r, tap) })}
	go server.Serve(l)
	t.Cleanup(func() { server.Close() })
	return tap, NewClient(path)
}

func datagram(n int) *Message {
	return &Message{Service: wire.ServiceUD, Kind: wire.KindSend, Src: a4, Dst: b4, SrcQP: 1, DestQP: 2, MTU: 1024, PSN: wire.PSN(n)}
}

func TestCaptureEndsAfterItsCount(t *testing.T) {
	tap, client := serve(t)
	body, err := client.Open(context.Background(), Query{Filter: Filter{Addrs: []netip.Addr{b4}, QPN: 2}, Count: 100})
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	for n := range 150 {
		tap.Message(datagram(n))
		if other := datagram(n); n%3 == 0 {
			other.DestQP = 3
			tap.Message(other)
		}
	}
	r, err := NewReader(body)
	if err != nil {
		t.Fatal(err)
	}
	for n := range 100 {
		rec, err := r.Next()
		if err != nil {
			t.Fatalf("record %d: %v", n, err)
		}
		if p := parse(t, rec.Frame); p.h.PSN != wire.PSN(n) || rec.Length != len(rec.Frame) || time.Since(rec.At) > time.Minute {
			t.Fatalf("record %d: %s", n, rec.Line())
		}
	}
	if _, err := r.Next(); err != io.EOF {
		t.Errorf("after the last: %v", err)
	}
	off(t, tap)
	if s, err := client.Stats(context.Background()); err != nil || s.Captured != 100 {
		t.Errorf("%+v, %v", s, err)
	}
}

// off waits until the capture has ended.
func off(t *testing.T, tap *Tap) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); tap.Active(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the tap stays on")
		}
	}
}

func TestOneCaptureAtATime(t *testing.T) {
	tap, client := serve(t)
	if s, err := client.Stats(context.Background()); err != nil || s != (Stats{}) {
		t.Errorf("before the first: %+v, %v", s, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	first, err := client.Open(ctx, Query{})
	if err != nil {
		t.Fatal(err)
	}
	if !tap.Active() {
		t.Error("the answer came before the tap was on")
	}
	if _, err := client.Open(context.Background(), Query{}); err == nil || !strings.Contains(err.Error(), "another capture") {
		t.Errorf("a second capture: %v", err)
	}
	for n := range ringSlots + 10 { // more than the ring holds, probably more than is read in time
		tap.Message(datagram(n))
	}
	cancel()
	first.Close()
	off(t, tap)
	second, err := client.Open(context.Background(), Query{})
	if err != nil {
		t.Fatal(err)
	}
	second.Close()
	off(t, tap)
}

func TestBadQueries(t *testing.T) {
	_, client := serve(t)
	for _, q := range []string{"addr=x", "qp=-1", "qp=16777216", "count=1e3", strings.Repeat("addr=1.1.1.1&", 65)} {
		if body, err := client.get(context.Background(), q); err == nil {
			body.Close()
			t.Errorf("%s was served", q)
		}
	}
	if _, err := NewClient("/nowhere").Open(context.Background(), Query{}); err == nil {
		t.Error("a capture of nobody")
	}
}

func FuzzQuery(f *testing.F) {
	f.Add("addr=10.77.0.1&addr=fe80::1&qp=17&count=5")
	f.Fuzz(func(t *testing.T, s string) {
		v, err := url.ParseQuery(s)
		if err != nil {
			return
		}
		q, err := parseQuery(v)
		if err != nil {
			return
		}
		again, err := parseQuery(q.values())
		if err != nil || !reflect.DeepEqual(q, again) {
			t.Errorf("%+v became %+v, %v", q, again, err)
		}
	})
}

func TestReaderRefuses(t *testing.T) {
	for _, s := range []string{"", "short", strings.Repeat("x", fileHeader)} {
		if _, err := NewReader(strings.NewReader(s)); err == nil {
			t.Errorf("%q was taken for a capture", s)
		}
	}
	if _, err := NewReader(strings.NewReader(strings.Repeat("x", fileHeader))); !errors.Is(err, ErrFormat) {
		t.Errorf("%v", err)
	}
}
