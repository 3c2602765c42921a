package transport

import (
	"github.com/freeflow-rdma/freeflow/internal/mem"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
	"github.com/freeflow-rdma/freeflow/internal/wire"
)

// responder is what a queue pair that receives keeps beside verbs.Responder. All of it is under qp.Resp.
type responder struct {
	msn uint32 // messages completed

	// The message that is arriving.
	kind   wire.Kind // KindSend, KindWrite; 0: none
	done   uint32    // bytes of it
	room   uint64    // SEND: that the receive has room for
	mtu    uint32    // of its packets
	va     uint64    // WRITE
	rkey   verbs.RKey
	length uint32

	wait    window // packets that wait
	waiting int64  // since when the expected one does; 0: it does not
	toldAt  int64  // when the peer was last told that we are alive

	met      bool  // UC between routers: the first packet has come
	passed   bool  // UC between routers: the last message found no receive
	nakked   bool  // the gap before what arrives has been reported, or an RNR NAK sent
	owed     bool  // an acknowledgement
	refusal  uint8 // a NAK that is owed: it says that all before it is done, so responses go first
	becn     bool  // congestion was seen
	fatal    uint8 // syndrome of the NAK that ended the queue pair, for the packet fatalPSN
	fatalPSN wire.PSN

	pace     replyPace
	holds    holds
	heldFrom int64    // since when something is held
	saidPSN  wire.PSN // what was last acknowledged, if anything was
	said     bool
	later    bool // an acknowledgement is owed of what is held

	path    *Path // as last handed in
	pathMTU uint32
	replies
	datagrams queued // UD
}

// result is what became of the expected packet.
type result uint8

const (
	taken   result = iota // it is done: expect the next
	blocked               // it has to wait: for a receive, or for responses to be sent
	dropped               // it was ignored, or ended the queue pair
)

// request takes one request packet of an RC queue pair. The caller holds Resp.
func (c *Conn) request(env *Env, a *Arrived) {
	r, qp, h := &c.resp, c.qp, &a.H
	expected := wire.PSN(qp.Expected())
	d := h.PSN.Diff(expected)
	if h.FECN {
		r.becn = true
	}
	switch {
	case d == 0 && r.waiting == 0:
		r.nakked, r.refusal = false, 0
		switch c.execute(env, a) {
		case taken:
			if r.wait.n > 0 {
				c.drain(env)
			}
		case blocked:
			if r.waiting = env.Now; !c.keep(env, a, 0) {
				c.giveUp(env)
			}
			env.Host.Counters.Parked.Add(1)
		}
	case d < 0:
		c.duplicate(env, a)
	default:
		c.early(env, a, int(d))
	}
}

// early is a packet after the expected one, or the expected one again while it waits. The caller holds Resp.
func (c *Conn) early(env *Env, a *Arrived, d int) {
	r := &c.resp
	if d > wire.SACKBits {
		env.Host.Counters.DropPSN.Add(1)
		return
	}
	if r.wait.get(d) != nil {
		env.Host.Counters.Duplicates.Add(1)
		return
	}
	if c.sack || r.waiting != 0 {
		if !c.keep(env, a, d) {
			return
		}
		if r.waiting == 0 {
			env.Host.Counters.Reordered.Add(1)
			r.owed, r.gap = true, true
		}
		return
	}
	env.Host.Counters.DropPSN.Add(1)
	if !r.nakked {
		r.nakked = true
		r.refusal = wire.SyndromeNAKSequence
	}
}

// keep copies a packet to wait. The caller holds Resp.
func (c *Conn) keep(env *Env, a *Arrived, d int) bool {
	k := env.Host.pool.take(a, env.Now)
	if k == nil {
		env.Host.Counters.DropNoRoom.Add(1)
		return false
	}
	if c.resp.wait.n == 0 {
		c.resp.wait.head = 0
	}
	c.resp.wait.set(d, k)
	return true
}

// drain executes packets that waited, as far as they follow each other. The caller holds Resp.
func (c *Conn) drain(env *Env) {
	r := &c.resp
	for k := r.wait.get(0); k != nil; k = r.wait.get(0) {
		res := c.executeKept(env, &k.a)
		if res == blocked {
			if r.waiting == 0 {
				r.waiting = env.Now
			}
			return
		}
		r.waiting = 0
		if res == dropped {
			c.forgetWaiting(env)
			return
		}
		env.Host.pool.put(k)
	}
	r.waiting = 0
	if r.wait.n > 0 && c.qp.Type == verbs.TypeUC && !c.sack { // behind a gap that nobody fills
		env.Host.Counters.DropPSN.Add(uint64(r.wait.n))
		c.forgetWaiting(env)
	}
}

// forgetWaiting drops the packets that wait. The caller holds Resp.
func (c *Conn) forgetWaiting(env *Env) {
	c.resp.wait.drop(&env.Host.pool)
	c.resp.waiting = 0
}

// step moves the expected PSN over the packet, or, for a READ, over its responses. The caller holds Resp.
func (c *Conn) step(n uint32) {
	if c.resp.wait.n > 0 {
		c.resp.wait.advance(n, &c.host.pool)
	}
	c.qp.Expect(n)
}

// execute does the expected packet. The caller holds Resp.
func (c *Conn) execute(env *Env, a *Arrived) result {
	info := a.H.Opcode.Info()
	r := &c.resp
	switch info.Kind {
	case wire.KindSend, wire.KindWrite:
		if info.First {
			if r.kind != 0 {
				return c.invalid(env)
			}
			if res := c.begin(env, a, info); res != taken {
				return res
			}
		} else if r.kind != info.Kind {
			return c.invalid(env)
		}
		return c.carry(env, a, info)
	case wire.KindReadRequest:
		if r.kind != 0 {
			return c.invalid(env)
		}
		return c.newRead(env, a)
	case wire.KindAtomic:
		if r.kind != 0 {
			return c.invalid(env)
		}
		return c.newAtomic(env, a)
	}
	env.Host.Counters.DropOpcode.Add(1)
	return dropped
}

// fits checks a packet's length against its place in the message (IBTA 9.7.4.1.6).
func (c *Conn) fits(n uint32, info *wire.Info) bool {
	r := &c.resp
	switch {
	case !info.Last:
		return n == r.mtu
	case info.First:
		return n <= r.mtu
	}
	return n > 0 && n <= r.mtu
}

// begin checks the first packet of a SEND or WRITE: for a receive and its room, or for the key over the whole range. The caller holds Resp.
func (c *Conn) begin(env *Env, a *Arrived, info *wire.Info) result {
	r, qp, h := &c.resp, c.qp, &a.H
	r.mtu = mtuOf(qp, nil)
	if n := uint32(len(a.Payload)); !info.Last && n < r.mtu && n >= 256 && n&(n-1) == 0 {
		r.mtu = n // the peer's path is narrower
	}
	if info.Kind == wire.KindSend {
		ok, bad := qp.TakeRecv()
		if !ok {
			return blocked
		}
		if bad {
			return c.recvFailed(env, verbs.WCLocQPOpErr, wire.SyndromeNAKOp)
		}
		r.room = qp.RecvRoom()
		r.kind, r.done = wire.KindSend, 0
		return taken
	}
	if qp.Attr().Access&verbs.AccessRemoteWrite == 0 {
		return c.invalid(env)
	}
	if h.Length > verbs.MaxMessage {
		return c.invalid(env)
	}
	if h.Length > 0 && qp.RemoteCovers(verbs.RKey(h.RKey), h.VA, int(h.Length), verbs.AccessRemoteWrite) != verbs.FaultNone {
		return c.accessError(env)
	}
	r.va, r.rkey, r.length = h.VA, verbs.RKey(h.RKey), h.Length
	r.kind, r.done = wire.KindWrite, 0
	return taken
}

// carry puts the payload of a SEND or WRITE packet in its place, and with the last completes the message. The caller holds Resp.
func (c *Conn) carry(env *Env, a *Arrived, info *wire.Info) result {
	r, qp := &c.resp, c.qp
	n := uint32(len(a.Payload))
	if !c.fits(n, info) {
		env.Host.Counters.DropLength.Add(1)
		return c.invalid(env)
	}
	send := info.Kind == wire.KindSend
	if send {
		if uint64(r.done)+uint64(n) > r.room {
			return c.tooLong(env)
		}
	} else if total := uint64(r.done) + uint64(n); total > uint64(r.length) || info.Last && total != uint64(r.length) {
		return c.invalid(env)
	}
	if info.Last && info.Kind == wire.KindWrite && info.HasImm {
		ok, bad := qp.TakeRecv()
		if !ok {
			if info.First {
				r.kind = 0
			}
			return blocked
		}
		if bad {
			return c.recvFailed(env, verbs.WCLocQPOpErr, wire.SyndromeNAKOp)
		}
	}
	if n > 0 {
		if res := c.put(env, a.Payload, send); res != taken {
			return res
		}
	}
	if qp.Limited() {
		c.letIn(env, a.H.PSN, int(n), info.Last)
	}
	if a.H.AckReq {
		r.owed = true
	}
	if !info.Last {
		c.step(1)
		return taken
	}
	return c.complete(env, a, info)
}

// put writes a payload to where the message has come to. The caller holds Resp.
func (c *Conn) put(env *Env, b []byte, send bool) result {
	r, qp := &c.resp, c.qp
	var dst []mem.Span
	var f verbs.Fault
	if send {
		w := &qp.Resp.WQE
		dst, f = qp.Scatter(env.Scratch.B[:0], w.SGE[:w.NumSGE], r.done, uint32(len(b)), verbs.AccessLocalWrite)
		if f != verbs.FaultNone {
			return c.recvFailed(env, verbs.WCLocProtErr, wire.SyndromeNAKOp)
		}
	} else if dst, f = qp.Remote(env.Scratch.B[:0], r.rkey, r.va+uint64(r.done), len(b), verbs.AccessRemoteWrite); f != verbs.FaultNone {
		return c.accessError(env)
	}
	env.mark[0] = mem.Mapped(b)
	if _, err := mem.Copy(dst, env.mark[:], env.Scratch.Bounce[:]); err != nil {
		if send {
			return c.recvFailed(env, verbs.WCLocProtErr, wire.SyndromeNAKOp)
		}
		return c.memoryFault(env)
	}
	r.done += uint32(len(b))
	return taken
}

// complete ends a SEND or WRITE. The caller holds Resp.
func (c *Conn) complete(env *Env, a *Arrived, info *wire.Info) result {
	r, qp, h := &c.resp, c.qp, &a.H
	x := verbs.Received{Opcode: verbs.WCRecv, Length: r.done, SrcQP: qp.Attr().DestQPN, Solicited: h.Solicited}
	switch {
	case info.Kind == wire.KindWrite && !info.HasImm:
		qp.Arrived(r.done)
		r.ended(c)
		return taken
	case info.Kind == wire.KindWrite:
		x.Opcode, x.Flags, x.Imm = verbs.WCRecvRDMAImm, verbs.WCWithImm, h.Imm
	case info.HasImm:
		x.Flags, x.Imm = verbs.WCWithImm, h.Imm
	case info.HasIETH:
		if !qp.Invalidate(verbs.RKey(h.InvRKey)) {
			return c.recvFailed(env, verbs.WCMWBindErr, wire.SyndromeNAKAccess)
		}
		x.Flags, x.Imm = verbs.WCWithInv, h.InvRKey
	}
	qp.CompleteRecv(&x)
	r.ended(c)
	return taken
}

// ended moves on to the next message.
func (r *responder) ended(c *Conn) {
	r.kind = 0
	r.msn = (r.msn + 1) & 0xffffff
	c.step(1)
}

// duplicate is a request that was executed before (IBTA 9.7.5.1.4, 9.7.4.3). The caller holds Resp.
func (c *Conn) duplicate(env *Env, a *Arrived) {
	env.Host.Counters.Duplicates.Add(1)
	info := a.H.Opcode.Info()
	switch info.Kind {
	case wire.KindReadRequest:
		c.readAgain(env, a)
	case wire.KindAtomic:
		c.atomicAgain(env, a)
	default:
		c.resp.owed = true
	}
}
