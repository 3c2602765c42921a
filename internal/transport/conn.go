package transport

import (
	"sync"
	"sync/atomic"

	"github.com/freeflow-rdma/freeflow/internal/engine"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
	"github.com/freeflow-rdma/freeflow/internal/wire"
)

// Conn is the transport's state of one queue pair.
type Conn struct {
	qp     *verbs.QP
	sack   bool        // the peer understands OpFFAck; under Resp
	busy   atomic.Bool // the responder has something to do in Run
	mu     sync.Mutex  // the requester
	req    *requester  // nil until something was sent
	goneBy int64       // an idle queue pair whose peer died goes to error
	resp   responder   // under qp.Resp
	pause  pause       // UD
	told   told        // what the responder last acknowledged
	host   *Host
}

// Open makes the state of a new queue pair.
func Open(qp *verbs.QP) *Conn { return &Conn{qp: qp} }

// Reset forgets everything: the queue pair is in RESET and no worker is at it. The caller may hold Resp.
func (c *Conn) Reset() {
	if c.host != nil {
		c.resp.pace.toll.Drop()
		c.resp.wait.drop(&c.host.pool)
		c.resp.datagrams.drop(&c.host.pool)
	}
	if c.req != nil {
		c.req.pace.toll.Drop()
	}
	c.req, c.goneBy, c.sack = nil, 0, false
	c.resp = responder{}
	c.told.forget()
	c.busy.Store(false)
}

// flushBatch bounds the flush completions of one turn.
const flushBatch = 256

// Run does what is due of an RC or UC queue pair in its state: work requests, responses, timers, flushes. p may be nil.
func (c *Conn) Run(env *Env, p *Path, budget int) engine.Verdict {
	qp := c.qp
	v := engine.Idle
	var first, second verbs.Notice
	wake := int64(0)
	if qp.Cut() {
		c.sever(env)
	}
	if p != nil && !qp.MayTalk() {
		p = nil
	}
	switch qp.State() {
	case verbs.StateRTR, verbs.StateRTS, verbs.StateSQD, verbs.StateSQE:
	case verbs.StateError:
		return c.flushAll(env)
	default:
		return engine.Idle
	}
	if c.busy.Load() {
		qp.Resp.Lock()
		v, wake = c.serve(env, p)
		first = qp.PublishRecv()
		qp.Resp.Unlock()
	}
	c.mu.Lock()
	switch qp.State() {
	case verbs.StateRTS, verbs.StateSQD:
		if w := c.turn(env, p, budget); w == engine.More {
			v = w
		}
		wake = sooner(wake, c.wake(p))
	case verbs.StateSQE:
		if qp.FlushSend(flushBatch) == flushBatch {
			v = engine.More
		}
	}
	if c.req == nil || c.req.n == 0 {
		wake = sooner(wake, c.lonely(env, p))
	}
	second = qp.PublishSend()
	c.mu.Unlock()
	first.Send()
	second.Send()
	if v == engine.More || qp.State() == verbs.StateError {
		return engine.More
	}
	if wake != 0 {
		qp.WakeAt = max(wake, env.Now+1)
		return engine.Wait
	}
	return engine.Idle
}

// sever ends a connection whose right to talk was taken away, as if its peer had died and the retries were used up.
func (c *Conn) sever(env *Env) {
	c.mu.Lock()
	defer c.mu.Unlock()
	qp := c.qp
	if st := qp.State(); st < verbs.StateRTR || st == verbs.StateError {
		return
	}
	begun := c.req != nil && c.req.n > 0
	if !begun && qp.State() == verbs.StateRTS {
		c.requester()
		c.adjust(nil)
		begun = c.take(env)
	}
	first := qp.Fail()
	if begun {
		c.fail(c.req.at0(), verbs.WCRetryExcErr)
	} else if first {
		qp.Event(verbs.EventQPFatal)
	}
}

// runPackets bounds the responses that are sent in one turn.
const runPackets = 64

// serve does what the responder has left to do: responses, packets that wait for a receive. The caller holds Resp.
func (c *Conn) serve(env *Env, p *Path) (v engine.Verdict, wake int64) {
	r := &c.resp
	c.tie(env, p)
	if p != nil {
		c.stream(env, runPackets)
	}
	if r.waiting != 0 {
		wake = c.await(env)
		if p != nil {
			c.stream(env, runPackets)
		}
	}
	r.owed = r.owed || r.later
	c.acknowledge(env)
	more := r.unsent()
	c.busy.Store(more || r.waiting != 0 || r.later)
	if r.later {
		wake = sooner(wake, c.heldUntil(env))
	}
	if r.pace.at != 0 && p != nil {
		return engine.Idle, sooner(wake, c.excuse(env))
	}
	if more && p != nil {
		return engine.More, 0
	}
	return engine.Idle, wake
}

// unsent reports whether packets are waiting to be sent.
func (r *responder) unsent() bool { return !r.pending.empty() || r.owed || r.refusal != 0 }

// tie notes what the worker and the path are for the responder. The caller holds Resp.
func (c *Conn) tie(env *Env, p *Path) {
	c.host = env.Host
	if c.resp.path != p {
		c.resp.path, c.resp.pathMTU = p, mtuOf(c.qp, p)
	}
	c.sack = p != nil && p.SACK
}

// Receive takes packets of this queue pair, in the order in which they arrived. again says that the queue pair's item has something to do: the
// caller schedules it.
func (c *Conn) Receive(env *Env, p *Path, pkts []Arrived) (again bool) {
	qp := c.qp
	if !qp.MayTalk() {
		qp.Refuse()
		return false
	}
	requests, answers := false, false
	var rider *wire.Rider
	for i := range pkts {
		if pkts[i].H.Rider.OK {
			rider = &pkts[i].H.Rider
		}
		if info := pkts[i].H.Opcode.Info(); info != nil && info.Request {
			requests = true
		} else {
			answers = true
		}
	}
	if rider != nil {
		again = c.ridden(env, rider)
	}
	var first, second verbs.Notice
	if requests {
		qp.Resp.Lock()
		again = c.requests(env, p, pkts) || again
		first = qp.PublishRecv()
		qp.Resp.Unlock()
	}
	if answers {
		c.mu.Lock()
		again = c.answers(env, pkts) || again
		second = qp.PublishSend()
		c.mu.Unlock()
	}
	first.Send()
	second.Send()
	return again
}

// requests is the responder's part of Receive. The caller holds Resp.
func (c *Conn) requests(env *Env, p *Path, pkts []Arrived) (again bool) {
	r := &c.resp
	c.tie(env, p)
	for i := range pkts {
		a := &pkts[i]
		info := a.H.Opcode.Info()
		if info == nil || !info.Request {
			continue
		}
		switch st := c.qp.State(); {
		case st < verbs.StateRTR || c.qp.Dead():
			env.Host.Counters.DropState.Add(1)
		case st == verbs.StateError:
			c.afterEnd(env, a)
		case c.qp.Type == verbs.TypeRC && info.Service == wire.ServiceRC:
			c.request(env, a)
		case c.qp.Type == verbs.TypeUC && info.Service == wire.ServiceUC && c.sack:
			c.assured(env, a, info)
		case c.qp.Type == verbs.TypeUC && info.Service == wire.ServiceUC:
			c.unreliable(env, a, info)
		default:
			env.Host.Counters.DropOpcode.Add(1)
		}
	}
	if p != nil && !r.pending.empty() {
		c.stream(env, runPackets)
	}
	c.acknowledge(env)
	if !r.unsent() && r.waiting == 0 && !r.later {
		return false
	}
	return !c.busy.Swap(true) || r.unsent()
}

// afterEnd repeats the NAK that ended the queue pair, for the peer may not have had it. The caller holds Resp.
func (c *Conn) afterEnd(env *Env, a *Arrived) {
	if r := &c.resp; r.fatal != 0 && a.H.PSN == r.fatalPSN && env.Out.Room() > 0 {
		c.nakAt(env, r.fatalPSN, r.fatal)
		return
	}
	env.Host.Counters.DropState.Add(1)
}

// answers is the requester's part of Receive. Under mu.
func (c *Conn) answers(env *Env, pkts []Arrived) (again bool) {
	for i := range pkts {
		a := &pkts[i]
		if info := a.H.Opcode.Info(); info == nil || info.Request {
			continue
		}
		if st := c.qp.State(); st != verbs.StateRTS && st != verbs.StateSQD || c.qp.Dead() {
			env.Host.Counters.DropState.Add(1)
			return again
		}
		if c.answer(env, a) {
			again = true
		}
	}
	if c.req != nil {
		failed := c.retire()
		c.req.answered()
		again = failed || again || c.req.fenced && c.req.replies == 0 || c.req.n == 0 && c.qp.State() == verbs.StateSQD
	}
	return again
}

// Times between looks for receives posted to a queue pair in error, in ns; they double.
const (
	flushFirst = 1_000_000
	flushLast  = 100_000_000
)

// flushAll empties both queues of a queue pair in error, what was sent first, and looks again now and then: receives are posted without a doorbell.
func (c *Conn) flushAll(env *Env) engine.Verdict {
	qp := c.qp
	qp.Resp.Lock()
	c.forgetWaiting(env)
	c.resp.pending.drop()
	c.resp.fresh, c.resp.owed, c.resp.refusal, c.resp.kind = 0, false, 0, 0
	c.resp.pace.toll.Drop()
	c.resp.pace.at, c.resp.later = 0, false
	c.resp.holds.drop()
	c.busy.Store(false)
	qp.Resp.Unlock()
	c.mu.Lock()
	if c.req != nil {
		c.flushTaken()
	}
	s := qp.FlushSend(flushBatch)
	c.mu.Unlock()
	r := qp.FlushRecv(flushBatch)
	if s == flushBatch || r == flushBatch {
		return engine.More
	}
	if next := &qp.Send.FlushWait; s+r > 0 || *next == 0 {
		*next = flushFirst
	} else {
		*next = min(2**next, flushLast)
	}
	qp.WakeAt = env.Now + qp.Send.FlushWait
	return engine.Wait
}
