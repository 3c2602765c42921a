package orchestrator

import (
	"math/rand/v2"
	"net/netip"
	"testing"
)

// Random work on a pool, beside a list that says what must be.
func TestPoolProposesWhatIsFree(t *testing.T) {
	for _, prefix := range []string{"10.0.0.0/30", "10.0.0.0/29", "10.1.2.0/24", "10.0.0.192/26", "172.16.0.0/20"} {
		p := newPool(netip.MustParsePrefix(prefix))
		used, held := map[netip.Addr]bool{}, map[netip.Addr]bool{}
		total := int(p.size) - 2
		random := rand.New(rand.NewPCG(1, uint64(p.size)))
		for range 20000 {
			switch random.IntN(4) {
			case 0, 1:
				from := uint32(0)
				if random.IntN(2) == 0 {
					from = random.Uint32()
				}
				ip, ok := p.pick(from)
				if ok != (len(used)+len(held) < total) {
					t.Fatalf("%s: pick reports %v with %d used, %d held of %d", prefix, ok, len(used), len(held), total)
				}
				if ok && (used[ip] || held[ip] || !p.has(ip)) {
					t.Fatalf("%s: picked %s, which is not free", prefix, ip)
				}
				if ok {
					held[ip] = true
				}
			case 2: // a pick comes to its end
				for ip := range held {
					if random.IntN(2) == 0 {
						p.take(ip)
						used[ip] = true
					}
					p.letGo(ip)
					delete(held, ip)
					break
				}
			case 3:
				for ip := range used {
					p.give(ip)
					delete(used, ip)
					break
				}
			}
		}
	}
}

func TestPoolBeginsAtTheLowest(t *testing.T) {
	p := newPool(netip.MustParsePrefix("10.77.0.0/16"))
	for _, want := range []string{"10.77.0.1", "10.77.0.2", "10.77.0.3"} {
		ip, _ := p.pick(0)
		p.take(ip)
		p.letGo(ip)
		if ip.String() != want {
			t.Fatalf("picked %s, want %s", ip, want)
		}
	}
	p.give(netip.MustParseAddr("10.77.0.2"))
	if ip, _ := p.pick(0); ip.String() != "10.77.0.2" {
		t.Fatalf("picked %s, want the one given back", ip)
	}
	for _, never := range []string{"10.77.0.0", "10.77.255.255", "10.78.0.1", "::1"} {
		if p.has(netip.MustParseAddr(never)) {
			t.Errorf("%s can be assigned", never)
		}
	}
}

func TestHistoryKeepsTheLatest(t *testing.T) {
	h := newHistory(10)
	if _, ok := h.since(9); ok {
		t.Fatal("knows what happened before it began")
	}
	for rev := int64(11); rev < 3*historySize; rev++ {
		h.add(event{rev: rev / 2 * 2}) // two changes a revision
	}
	if len(h.ring) > historySize*3/2 {
		t.Fatalf("keeps %d changes", len(h.ring))
	}
	if _, ok := h.since(h.floor - 1); ok {
		t.Fatal("claims to keep what it has dropped")
	}
	n, ok := h.since(h.floor)
	if !ok || n != h.first {
		t.Fatalf("since its beginning: %d, %v, want %d", n, ok, h.first)
	}
	last := h.ring[len(h.ring)-1].rev
	for rev := h.floor; rev <= last; rev++ {
		n, _ := h.since(rev)
		events, ok := h.from(n)
		if !ok || len(events) > 0 && (events[0].rev <= rev) || n > h.first && h.ring[n-h.first-1].rev > rev {
			t.Fatalf("since %d begins with the wrong change", rev)
		}
	}
	if n, ok := h.since(last); !ok || n != h.end() {
		t.Fatal("since the last there is nothing")
	}
}
