package router

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"testing"

	"github.com/freeflow-rdma/freeflow/internal/engine"
	"github.com/freeflow-rdma/freeflow/internal/fabric"
	"github.com/freeflow-rdma/freeflow/internal/rdmacm"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
)

// TestCountersAreDocumented makes a carrier with both ports: each counter is listed once, and docs/counters.md has its name.
func TestCountersAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/counters.md")
	if err != nil {
		t.Fatal(err)
	}
	eng, err := engine.New(slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer eng.Close()
	carrier := fabric.New()
	carrier.Bind(eng)
	dev := verbs.NewDevice(slog.New(slog.DiscardHandler), eng, carrier)
	host := netip.MustParseAddr("127.0.78.1")
	if err := carrier.Start(dev, fabric.Underlay{IP: host, Plain: true}); err != nil {
		t.Fatal(err)
	}
	defer carrier.Stop()
	cm := rdmacm.New(slog.New(slog.DiscardHandler), dev, carrier)
	defer cm.Close()
	b := &backend{eng: eng, cm: cm, member: &member{carrier: carrier}}
	seen := make(map[string]bool)
	groups := make(map[string]int)
	for _, r := range b.Counters() {
		key := r.Group + "/" + r.Name
		if seen[key] {
			t.Errorf("%s is listed twice", key)
		}
		seen[key] = true
		groups[r.Group]++
		if !bytes.Contains(text, fmt.Appendf(nil, "`%s`", r.Name)) {
			t.Errorf("docs/counters.md does not say what %s counts", key)
		}
	}
	for _, g := range []string{"fabric", "transport", "geneve 127.0.78.1:6081", "plain 127.0.78.1:4791", "worker low", "rdma_cm", "rdma_cm REQ"} {
		if groups[g] == 0 {
			t.Errorf("nothing of %s: %v", g, groups)
		}
	}
	if !seen["geneve 127.0.78.1:6081/receive_buffer"] {
		t.Error("a port's features are missing")
	}
}
