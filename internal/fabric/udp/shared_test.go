package udp

import (
	"net/netip"
	"testing"
)

func TestFurtherBatchesSendFromTheSameSocket(t *testing.T) {
	p := openIn(t, namespaceUp(t), Config{Addr: netip.MustParseAddrPort(anyPort), Packets: 5, Segments: 2})
	dst, s := dest(t, p.Addr()), p.Socket(0)
	further := p.NewBatch(0)
	if further.Room() != 5 {
		t.Errorf("room for %d packets, not 5", further.Room())
	}
	letters(t, s.Batch, dst, 2, 10)
	letters(t, further, dst, 3, 10)
	got, last := collect(t, s, 5)
	if len(got) != 5 || last.Src != p.Addr() {
		t.Errorf("%d of 5 arrived, the last from %s", len(got), last.Src)
	}
	if c := p.Counters(); c.SentPackets.Load() != 5 || c.SentMessages.Load() != 3 {
		t.Errorf("%v", counted(p))
	}
}

func TestEveryCounterHasItsOwnName(t *testing.T) {
	var c Counters
	for i, counter := range c.list() {
		counter.Store(uint64(i) + 1)
	}
	names, sum := map[string]bool{}, uint64(0)
	c.Each(func(name string, v uint64) {
		names[name] = true
		sum += v
	})
	n := uint64(len(c.list()))
	if len(names) != int(n) || names[""] || sum != n*(n+1)/2 {
		t.Errorf("%d names for %d counters, which sum up to %d", len(names), n, sum)
	}
}
