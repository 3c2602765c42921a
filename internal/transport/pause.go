package transport

import (
	"sync/atomic"

	"github.com/freeflow-rdma/freeflow/internal/wire"
)

// Datagrams have no window. A sender that is faster than its receiver's program would fill the room for those that wait, and the rest
// would be lost; so a router in which they pile up says so to the one that they come from, with a congestion notification packet (IBTA
// A17.9), and that lets the queue pair pause. One that goes on being told pauses longer, but never more than about half of its time, whoever else
// it sends to.
const (
	crowdedAt  = 64        // datagrams that wait, from which on the sender is told
	crowdEvery = 50_000    // ns between two such words
	pauseFirst = 50_000    // ns
	pauseLast  = 1_000_000 // ns
)

// pause is when a UD queue pair may send again. ask is called by one worker at a time, more or less: what is lost in a race is a pause.
type pause struct {
	until atomic.Int64
	step  atomic.Int64
	limit atomic.Int64 // until when a limit at the receiver has us wait
}

// hold pauses until a time, which the receiver's limit says.
func (p *pause) hold(until int64) {
	if until > p.limit.Load() {
		p.limit.Store(until)
	}
}

// ask begins a pause, if the last is over for as long as it took.
func (p *pause) ask(now int64) {
	until, step := p.until.Load(), p.step.Load()
	if now < until+step {
		return
	}
	if now > until+8*step {
		step = pauseFirst
	} else {
		step = min(2*step, pauseLast)
	}
	p.step.Store(step)
	p.until.Store(now + step)
}

// PausedUntil gives the time until which a UD queue pair sends nothing to other hosts; 0: it may send now.
func (c *Conn) PausedUntil(now int64) int64 {
	if until := max(c.pause.until.Load(), c.pause.limit.Load()); now < until {
		return until
	}
	return 0
}

// crowd tells the sender of a datagram, if it is a router's, that too many wait here.
func (c *Conn) crowd(env *Env, p *Path, a *Arrived) {
	r := &c.resp
	if len(r.datagrams.list) < crowdedAt || p == nil || !p.SACK || env.Now-r.toldAt < crowdEvery || env.Out.Room() <= 0 {
		return
	}
	r.toldAt = env.Now
	h := &env.h
	*h = wire.Header{Opcode: wire.OpCNP, PKey: 0xffff, MigReq: true, BECN: true, DestQP: a.H.SrcQP}
	env.Host.Counters.CNPsSent.Add(1)
	env.Out.Packet(p, c.qp, h, nil, 0, false)
}
