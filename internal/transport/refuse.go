package transport

import (
	"github.com/freeflow-rdma/freeflow/internal/verbs"
	"github.com/freeflow-rdma/freeflow/internal/wire"
)

// What the responder does with requests that it refuses. All of it is called with Resp held.

// invalid is a request that the responder does not take.
func (c *Conn) invalid(env *Env) result {
	return c.end(env, verbs.EventQPReqErr, wire.SyndromeNAKInvalid)
}

// accessError is a request that names memory it may not have (IBTA 9.9.3).
func (c *Conn) accessError(env *Env) result {
	env.Host.Counters.DropKey.Add(1)
	return c.end(env, verbs.EventQPAccessErr, wire.SyndromeNAKAccess)
}

// end takes the queue pair to error with an event, and tells the peer. UC drops the message and stays as it is.
func (c *Conn) end(env *Env, ev verbs.AsyncEvent, syndrome uint8) result {
	if c.qp.Type == verbs.TypeUC {
		return c.cutOff()
	}
	c.qp.Fail()
	c.qp.Event(ev)
	return c.ended(env, syndrome)
}

// ended says why the queue pair takes nothing more. The caller holds Resp.
func (c *Conn) ended(env *Env, syndrome uint8) result {
	r := &c.resp
	if r.fatal != 0 {
		return dropped
	}
	r.fatal, r.fatalPSN = syndrome, wire.PSN(c.qp.Expected())
	env.Host.Counters.NAKsSent.Add(1)
	c.stream(env, env.Out.Room()-1) // what comes before, as far as there is room
	r.pending.drop()
	r.fresh = 0
	c.nak(env, syndrome)
	r.kind, r.owed = 0, false
	c.forgetWaiting(env)
	return dropped
}

// recvFailed ends the receive that was taken with an error (IBTA 10.10.2.2).
func (c *Conn) recvFailed(env *Env, status verbs.WCStatus, syndrome uint8) result {
	c.qp.CompleteRecv(&verbs.Received{Status: status, Opcode: verbs.WCRecv})
	c.qp.Fail()
	if c.qp.Type != verbs.TypeRC {
		c.forgetWaiting(env)
		return c.cutOff()
	}
	return c.ended(env, syndrome)
}

// tooLong is a message that its receive has no room for (IBTA 9.9.3); see local.tooLong.
func (c *Conn) tooLong(env *Env) result {
	if c.qp.Type == verbs.TypeRC {
		return c.recvFailed(env, verbs.WCLocLenErr, wire.SyndromeNAKInvalid)
	}
	env.Host.Counters.DropLength.Add(1)
	if c.qp.HasSRQ() {
		c.qp.CompleteRecv(&verbs.Received{Status: verbs.WCLocLenErr, Opcode: verbs.WCRecv})
	}
	return c.cutOff()
}

// memoryFault is a responder that cannot reach its own memory, with no receive to say so.
func (c *Conn) memoryFault(env *Env) result {
	if c.qp.Fail() {
		c.qp.Event(verbs.EventQPFatal)
	}
	if c.qp.Type == verbs.TypeUC {
		return c.cutOff()
	}
	return c.ended(env, wire.SyndromeNAKOp)
}

// cutOff drops the UC message that was arriving.
func (c *Conn) cutOff() result {
	c.resp.kind = 0
	return dropped
}
