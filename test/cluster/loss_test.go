package cluster

import (
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/freeflow-rdma/freeflow/internal/fabric"
	"github.com/freeflow-rdma/freeflow/internal/vnet"
	"github.com/freeflow-rdma/freeflow/test/host"
	"github.com/freeflow-rdma/freeflow/test/relay"
)

// wired is a cluster of two hosts whose packets to each other pass a relay.
type wired struct {
	*host.Cluster
	relay *relay.Relay
}

func startWired(t *testing.T) wired {
	t.Helper()
	var w wired
	w.Cluster = host.StartCluster(t, 2, host.Shape{Wire: func(ns []*vnet.Namespace) []netip.Addr {
		addrs := []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")}
		link := func(i int) relay.Link {
			return relay.Link{NS: ns[i], Name: "wire0", Addr: netip.PrefixFrom(addrs[i], 24), MTU: 9000}
		}
		w.relay = relay.Start(t, relay.Config{}, link(0), link(1))
		return addrs
	}})
	return w
}

// bad makes the wire bad to RDMA; the overlay of TCP, by which programs meet, is left alone.
func (w wired) bad(c relay.Config) {
	c.Only = relay.UDP(fabric.GenevePort)
	w.relay.Set(c)
}

var speed = regexp.MustCompile(`moved \d+ bytes in [0-9.]+ s: ([0-9.]+) MB/s`)

// volume moves so many MiB and gives how fast, in MB/s.
func (w wired) volume(t *testing.T, way string, mib int) float64 {
	t.Helper()
	k := between(w.Cluster, 0, 1)
	k.limit = 4 * time.Minute
	_, client := k.succeed(t, host.Program(t, "volume"), way, strconv.Itoa(mib), "7")
	m := speed.FindStringSubmatch(client)
	if m == nil {
		t.Fatalf("no speed in:\n%s", client)
	}
	v, _ := strconv.ParseFloat(m[1], 64)
	return v
}

// TestVolume moves 1 GiB of every operation over bad wires: every byte is right. At 1 % loss it compares the goodput with that of a good wire; the
// relay is the bottleneck of both.
func TestVolume(t *testing.T) {
	defer took(t)()
	mib := 1024
	if testing.Short() {
		mib = 256
	}
	w := startWired(t)
	const seed = 1
	wires := []struct {
		name string
		relay.Config
	}{
		{"loss", relay.Config{Loss: 0.01, Seed: seed}},
		{"reordering", relay.Config{Reorder: 0.01, Seed: seed}},
		{"duplication", relay.Config{Duplicate: 0.01, Seed: seed}},
		{"bit errors", relay.Config{Corrupt: 0.01, Seed: seed}},
		{"all of it", relay.Config{Loss: 0.01, Reorder: 0.01, Duplicate: 0.01, Corrupt: 0.01, Seed: seed}},
	}
	for i, way := range []string{"write", "send", "read"} {
		t.Run(way, func(t *testing.T) {
			w.bad(relay.Config{})
			good := w.volume(t, way, mib/4)
			t.Logf("a good wire: %.0f MB/s", good)
			for j, wire := range wires {
				// The whole for loss; each of the others for one operation, and a part for the rest.
				amount := mib
				if j > 0 && (i+j)%3 != 0 {
					amount = mib / 8
				}
				t.Run(wire.name, func(t *testing.T) {
					defer took(t)()
					w.bad(wire.Config)
					got := w.volume(t, way, amount)
					t.Logf("%d MiB at %.0f MB/s, %.2f of a good wire's", amount, got, got/good)
					if fmt.Sprint(wire.Config) == fmt.Sprint(wires[0].Config) && got/good < 0.1 {
						t.Errorf("at 1 %% loss goodput is %.2f of the lossless one", got/good)
					}
				})
			}
		})
	}
	ab, ba := w.relay.Counts()
	t.Logf("the wire: %+v, %+v", ab, ba)
	wantLife(t, w.Cluster)
}
