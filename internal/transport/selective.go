package transport

import (
	"math/bits"

	"github.com/freeflow-rdma/freeflow/internal/verbs"
	"github.com/freeflow-rdma/freeflow/internal/wire"
)

// selective is what a requester knows of packets that arrived beyond a gap, and when it sends what is missing. A gap is given a moment to
// close by itself, packets being reordered, and then each of its packets is sent once more. What is still missing a round trip later is sent again.
//
//	acked        repaired             high
//	──┼────────────┼────────────────────┼──
//	   sent again    a gap still fresh
type selective struct {
	base   wire.PSN // expected by the peer when it sent the bitmap
	bitmap wire.SACK
	sacked int // bits set
	high   wire.PSN

	repaired  wire.PSN
	freshAt   int64 // when a fresh gap is believed; 0: there is none
	repairAt  int64 // when to send again what was sent again; 0: nothing was
	repairAll bool  // every response known to be missing is asked for at once

	plain bool  // the peer is no router
	asks  uint8 // how often in a row it was asked for the rest of a READ
}

// forget drops what is known of packets beyond a gap.
func (r *requester) forget() {
	r.bitmap, r.sacked = wire.SACK{}, 0
	r.high, r.repaired = r.acked, r.acked
	r.freshAt, r.repairAt = 0, 0
}

// has reports whether a packet beyond the gap has arrived.
func (r *requester) has(p wire.PSN) bool {
	return r.sacked > 0 && r.bitmap.Has(int(p.Diff(r.base))-1)
}

// clear gives how many of the k packets from p on have not arrived, up to the first that has.
func (r *requester) clear(p wire.PSN, k uint32) uint32 {
	for i := range k {
		if r.has(p.Add(int(i))) {
			return i
		}
	}
	return k
}

// learn takes a bitmap over. Under mu.
func (r *requester) learn(base wire.PSN, s *wire.SACK) {
	if base.Diff(r.base) < 0 || base.Diff(r.acked) < 0 {
		return
	}
	r.base, r.bitmap, r.sacked = base, *s, 0
	for _, w := range s {
		r.sacked += bits.OnesCount64(w)
	}
	if r.sacked > 0 {
		r.high = base.Add(s.Len() + 1)
	}
}

// trim drops what acked has overtaken. Under mu.
func (r *requester) trim() {
	if d := r.acked.Diff(r.base); d > 0 {
		if r.sacked > 0 {
			shift(&r.bitmap, uint32(min(d, wire.SACKBits)))
			r.sacked = 0
			for _, w := range r.bitmap {
				r.sacked += bits.OnesCount64(w)
			}
		}
		r.base = r.acked
	}
	if r.high.Diff(r.acked) < 0 {
		r.high = r.acked
	}
	if r.repaired.Diff(r.acked) <= 0 {
		r.repaired, r.repairAt = r.acked, 0
	}
}

// gaps starts the timers of what is missing. It reports true if the item has to look at them. Under mu.
func (c *Conn) gaps(now int64) bool {
	r := c.req
	if !r.missing() {
		r.freshAt = 0
		return false
	}
	if r.freshAt == 0 && r.repairAt == 0 {
		r.freshAt = now + min(max(r.cc.srtt/4, 10_000), 1_000_000)
		return true
	}
	return r.freshAt != 0 && now >= r.freshAt || r.repairAt != 0 && now >= r.repairAt
}

// missing reports whether something before known arrivals is missing. Under mu.
func (r *requester) missing() bool {
	if r.sacked > 0 {
		return true
	}
	if r.replies == 0 {
		return false
	}
	for i := range r.n {
		m := r.messages.at(i)
		if m.psn.Diff(r.acked) >= 0 {
			return false
		}
		if m.replied() && m.psn.Add(int(m.got)).Diff(r.acked) < 0 && m.got < m.packets {
			return true
		}
	}
	return false
}

// repair sends what is missing, if its time has come. Under mu.
func (c *Conn) repair(env *Env, p *Path) {
	r := c.req
	now := env.Now
	due := r.repairAll || r.freshAt != 0 && now >= r.freshAt || r.repairAt != 0 && now >= r.repairAt
	if !due || p.Gone || now < r.rnrUntil {
		return
	}
	if !r.missing() {
		r.freshAt, r.repairAt, r.repairAll = 0, 0, false
		return
	}
	if !r.repairAll {
		r.cc.lost(now)
	}
	r.probeAt = 0
	r.freshAt, r.repairAll = 0, false
	r.repairAt = now + c.again()
	c.repairReads(env, p)
	c.repairSends(env, p)
	r.repaired = r.high
}

// Between two requests for the rest of a READ, to a peer that is no router, ns; they double up to the last.
const (
	askAgain     = 10_000_000
	askAgainLast = 320_000_000
)

// again is how long what was sent again has time. A peer that is no router answers a request for the rest of a READ with all of it: to ask
// again while that arrives would have it send all of it again. Under mu.
func (c *Conn) again() int64 {
	r := c.req
	if !r.plain || r.replies == 0 {
		return r.cc.round()
	}
	d := min(max(askAgain, 4*r.cc.round())<<r.asks, askAgainLast)
	r.asks = min(r.asks+1, 5)
	return d
}

// answering is a response that a peer which is no router has sent for a READ, of whatever part: it is at it. Under mu.
func (c *Conn) answering(now int64) {
	r := c.req
	if !r.plain {
		return
	}
	r.heard = now
	r.rtoAt = max(r.rtoAt, now+c.interval())
	if r.repairAt != 0 {
		r.repairAt = max(r.repairAt, now+askAgain)
	}
}

// repairReads asks again for responses that were passed over: between routers for the missing ones, of any other peer for all from the first
// missing one of a request on. Soft-RoCE forgets what is before the range that it is last asked for again, and never answers for it
// afterwards; so its range may only shrink from the front. Under mu.
func (c *Conn) repairReads(env *Env, p *Path) {
	r := c.req
	for i := uint32(0); i < r.n && r.replies > 0; i++ {
		m := r.messages.at(i)
		if m.psn.Diff(r.acked) >= 0 {
			return
		}
		if !m.replied() || m.status != verbs.WCSuccess {
			continue
		}
		end := min(m.packets, uint32(r.acked.Diff(m.psn)))
		for off := m.got; off < end; {
			k, most := uint32(1), r.piece(m, off)
			if !p.SACK {
				k = most
			}
			for off+k < end && k < most && !m.has(off+k) {
				k++
			}
			if env.Out.Room() == 0 {
				return
			}
			if status := c.askFor(env, p, m, off, k); status != verbs.WCSuccess {
				m.status, r.broken = status, true
				return
			}
			c.resent(env, 1)
			for off += k; off < end && m.has(off); off++ {
			}
		}
	}
}

// repairSends sends again the packets between acked and the last that is known to have arrived. Under mu.
func (c *Conn) repairSends(env *Env, p *Path) {
	r := c.req
	if r.sacked == 0 {
		return
	}
	i := r.done
	for q := r.acked; q.Diff(r.high) < 0 && q.Diff(r.at) < 0 && i < r.n; {
		m := r.messages.at(i)
		off := uint32(q.Diff(m.psn))
		if off >= m.packets {
			i++
			continue
		}
		if r.has(q) {
			q = q.Add(1)
			continue
		}
		if env.Out.Room() == 0 || m.status != verbs.WCSuccess {
			return
		}
		k := r.clear(q, min(m.packets-off, uint32(r.high.Diff(q)), uint32(env.Out.Room()), burst))
		var status verbs.WCStatus
		if m.replied() {
			k = r.piece(m, off) // the whole request again: it has never been executed
			status = c.askFor(env, p, m, off, k)
		} else {
			status = c.emit(env, p, m, off, k, false)
		}
		if status != verbs.WCSuccess {
			m.status, r.broken = status, true
			return
		}
		c.resent(env, uint64(k))
		q = q.Add(int(k))
	}
}
