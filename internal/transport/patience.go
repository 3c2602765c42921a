package transport

import (
	"github.com/freeflow-rdma/freeflow/internal/verbs"
	"github.com/freeflow-rdma/freeflow/internal/wire"
)

// Programs post receives late, and a NAK costs a long timer. So packets that find no receive wait for one a moment.
const (
	lookEvery = 40_000     // between looks for a receive, ns
	lookLast  = 10_000_000 // the longest that packets wait, ns
	tellEvery = 500_000    // between acknowledgements that keep a waiting peer from sending again, ns
)

// bearing is how long packets of this queue pair wait for a receive: less than an RC peer's timeout, which is taken to be like ours. UC has no
// second try: a program that has taken the message before may be off its core now, as long as with datagrams.
func (c *Conn) bearing() int64 {
	a := c.qp.Attr()
	switch {
	case c.qp.Type == verbs.TypeRC && a.AckTimeout != 0:
		return min(lookLast, verbs.AckTime(a.AckTimeout)/2)
	case c.qp.Type == verbs.TypeUC && c.sack && !c.resp.passed && !c.qp.NeverPosted():
		return verbs.OffCoreTime
	}
	return lookLast
}

// await looks whether what the expected packet waits for is there. It gives the time of the next look; 0: nothing waits. The caller holds Resp.
func (c *Conn) await(env *Env) (wake int64) {
	r := &c.resp
	if r.wait.get(0) == nil {
		r.waiting = 0
		return 0
	}
	c.drain(env)
	if r.waiting == 0 {
		return 0
	}
	if r.fresh == 0 && env.Now-r.waiting >= c.bearing() {
		c.giveUp(env)
		if r.waiting == 0 {
			return 0
		}
	}
	if c.sack && env.Now-max(r.toldAt, r.waiting) >= tellEvery {
		r.owed, r.toldAt = true, env.Now
	}
	return env.Now + lookEvery
}

// giveUp ends the wait for a receive: RC says so to the peer, UC loses the message. The caller holds Resp.
func (c *Conn) giveUp(env *Env) {
	r, qp := &c.resp, c.qp
	if qp.Type == verbs.TypeUC && c.sack {
		c.passOver(env)
		return
	}
	c.forgetWaiting(env)
	if qp.Type == verbs.TypeUC {
		env.Host.Counters.DropNoRecv.Add(1)
		r.kind = 0
		return
	}
	r.nakked = true
	r.refusal = wire.SyndromeRNR | qp.Attr().MinRNRTimer&31
}
