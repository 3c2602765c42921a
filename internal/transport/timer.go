package transport

import (
	"github.com/freeflow-rdma/freeflow/internal/verbs"
	"github.com/freeflow-rdma/freeflow/internal/wire"
)

// Times in nanoseconds.
const (
	goneDefault = verbs.PeerGoneTime
	rtoLast     = 500_000_000 // the longest that the timer backs off to
)

// timers are the requester's.
type timers struct {
	heard    int64 // when the peer last made progress; since when it is waited for
	rtoAt    int64 // when to send again; 0: nothing is waited for
	backoff  uint8
	rnrUntil int64 // not to send before
	rnrs     uint8 // RNR NAKs in a row
	backAt   int64 // when a NAK last took the cursor back
	backTo   wire.PSN

	probe   wire.PSN // the packet whose round trip is measured
	probeAt int64    // when it was sent; 0: none is measured
}

// arm starts the wait for an answer.
func (r *requester) arm(now int64) {
	r.heard, r.backoff = now, 0
	r.rtoAt = now + r.cc.rto()
}

// patience is how long a peer may be silent; 0 for ever.
func (c *Conn) patience(p *Path) int64 {
	a := c.qp.Attr()
	if c.qp.Type == verbs.TypeUC {
		return goneDefault
	}
	if a.AckTimeout != 0 {
		return verbs.AckTime(a.AckTimeout) * int64(a.RetryCnt+1)
	}
	if c.qp.PeerGone() || p != nil && p.Gone {
		return goneDefault
	}
	return 0
}

// expired looks at the timers. It reports true if the retries are used up. Under mu.
func (c *Conn) expired(env *Env, p *Path) bool {
	r := c.req
	if !r.acks || r.n == 0 || r.rtoAt == 0 {
		return false
	}
	now := env.Now
	if r.idle() {
		r.arm(now)
		return false
	}
	if now < r.rnrUntil {
		return false
	}
	r.rnrUntil = 0
	if now >= r.rtoAt {
		r.heard += now - r.rtoAt // a timer that is late has not been waited for
		// At least one retransmission has had its time: it may have been us who slept.
		if limit := c.patience(p); limit != 0 && now-r.heard >= limit && r.backoff > 0 {
			return c.retryExceeded(env)
		}
		env.Host.Counters.Timeouts.Add(1)
		c.qp.Stats.Retries.Add(1)
		if p != nil && r.at != r.acked {
			r.cc.timeout(now)
		}
		c.goBack()
		r.backoff = min(r.backoff+1, 10)
		r.rtoAt = now + c.interval()
		if left := r.heard + c.patience(p) - now; left > 0 {
			r.rtoAt = min(r.rtoAt, now+left)
		}
	}
	return false
}

// interval is the time to the next retransmission.
func (c *Conn) interval() int64 {
	r := c.req
	d := r.cc.rto()
	if r.plain && r.replies > 0 {
		d = max(d, askAgain)
	}
	d = min(d<<r.backoff, rtoLast)
	if t := c.qp.Attr().AckTimeout; t != 0 {
		d = min(d, verbs.AckTime(t))
	}
	return d
}

// retryExceeded fails the oldest work request that is not done; UC does not notice that its messages are lost. It reports true if the
// queue pair goes to error.
func (c *Conn) retryExceeded(env *Env) bool {
	if c.qp.Type == verbs.TypeUC {
		c.progress(env, c.req.sent)
		return false
	}
	if c.retire() || c.req.n == 0 {
		return true
	}
	c.fail(c.req.at0(), verbs.WCRetryExcErr)
	return true
}

// wake gives the time at which the requester has something to do by itself; 0: never. Under mu.
func (c *Conn) wake(p *Path) int64 {
	r := c.req
	if r == nil || r.n == 0 {
		return 0
	}
	if !r.acks || r.pace.at != 0 && r.idle() {
		return r.pace.at
	}
	at := sooner(r.rtoAt, r.pace.at)
	if r.rnrUntil != 0 {
		return r.rnrUntil
	}
	if p == nil || p.Gone {
		return at
	}
	return sooner(at, sooner(r.freshAt, r.repairAt))
}

// sooner is the earlier of two times of which 0 is never.
func sooner(a, b int64) int64 {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// goBack moves the cursor to the first packet that the peer is not known to have, and asks again for missing responses. Under mu.
func (c *Conn) goBack() {
	r := c.req
	r.at, r.cur = r.acked, r.done
	r.reads.back(r.acked)
	r.probeAt = 0
	r.forget()
	r.repairAll = true
}

// lonely is an RC queue pair with nothing to send. If its peer is gone it goes to error when the retry time is over, so that a program that
// only waits for messages hears of it. It gives the time to look again; 0: never. Under mu.
func (c *Conn) lonely(env *Env, p *Path) int64 {
	if c.qp.Type != verbs.TypeRC || !c.qp.PeerGone() && (p == nil || !p.Gone) {
		c.goneBy = 0
		return 0
	}
	if c.goneBy == 0 {
		c.goneBy = env.Now + c.patience(p)
	}
	if env.Now < c.goneBy {
		return c.goneBy
	}
	c.goneBy = 0
	if c.qp.Fail() {
		c.qp.Event(verbs.EventQPFatal)
	}
	return 0
}
