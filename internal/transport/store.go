package transport

import (
	"sync"
	"sync/atomic"

	"github.com/freeflow-rdma/freeflow/internal/wire"
)

// poolLimit bounds the memory for packets that wait, of all queue pairs of a host, in bytes.
const poolLimit = 64 << 20

// keptMTU is the most payload of a packet that can be kept; UD's has the 40 bytes of the route header beside.
const keptMTU = 4096

// kept is a packet that waits: for the ones before it, for a receive, or for its turn.
type kept struct {
	a   Arrived
	grh [40]byte
	at  int64             // when it arrived
	buf [keptMTU + 8]byte // package mem's spans point behind the last byte when they are used up; that is to be inside
}

// pool hands out room for packets that wait. Any goroutine.
type pool struct {
	limit int64
	used  atomic.Int64
	mu    sync.Mutex
	free  []*kept
}

const keptSize = keptMTU + 256

// take copies a packet; nil if there is no room.
func (p *pool) take(a *Arrived, now int64) *kept {
	if len(a.Payload) > keptMTU || p.used.Add(keptSize) > p.limit {
		p.used.Add(-keptSize)
		return nil
	}
	var k *kept
	p.mu.Lock()
	if n := len(p.free); n > 0 {
		k, p.free = p.free[n-1], p.free[:n-1]
	}
	p.mu.Unlock()
	if k == nil {
		k = new(kept)
	}
	k.a.H, k.at = a.H, now
	k.a.Payload = k.buf[:copy(k.buf[:keptMTU], a.Payload)]
	return k
}

// put gives a packet's room back.
func (p *pool) put(k *kept) {
	p.used.Add(-keptSize)
	p.mu.Lock()
	if len(p.free) < 1024 {
		p.free = append(p.free, k)
	}
	p.mu.Unlock()
}

// window is the packets that wait of one connection, by how far they are ahead of the expected one.
type window struct {
	slot []*kept // SACKBits+1 of them, a ring that begins at head; nil while nothing waits
	head uint32
	n    int
}

const windowSlots = wire.SACKBits + 1

func (w *window) index(d int) int { return int((w.head + uint32(d)) % windowSlots) }

// get gives the packet that is d ahead, or nil.
func (w *window) get(d int) *kept {
	if w.n == 0 {
		return nil
	}
	return w.slot[w.index(d)]
}

// set keeps a packet that is d ahead.
func (w *window) set(d int, k *kept) {
	if w.slot == nil {
		w.slot = make([]*kept, windowSlots)
	}
	w.slot[w.index(d)] = k
	w.n++
}

// advance moves on over n packets. The first is in its owner's hands if it waited here; what else stands there is given back: it lies
// inside the answer to a READ, where no request can be.
func (w *window) advance(n uint32, p *pool) {
	for i := range min(n, windowSlots) {
		at := &w.slot[w.index(int(i))]
		if *at == nil {
			continue
		}
		if i > 0 {
			p.put(*at)
		}
		*at = nil
		w.n--
	}
	w.head = (w.head + n%windowSlots) % windowSlots
}

// drop gives everything back.
func (w *window) drop(p *pool) {
	for i, k := range w.slot {
		if k != nil {
			p.put(k)
			w.slot[i] = nil
		}
	}
	w.n = 0
}

// bitmap tells which packets beyond the expected one are here.
func (w *window) bitmap() (s wire.SACK) {
	if w.n == 0 {
		return s
	}
	for i := range wire.SACKBits {
		if w.slot[w.index(i+1)] != nil {
			s.Set(i)
		}
	}
	return s
}
