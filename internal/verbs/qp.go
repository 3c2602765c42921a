package verbs

import (
	"slices"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/freeflow-rdma/freeflow/internal/engine"
	"github.com/freeflow-rdma/freeflow/internal/qos"
	"github.com/freeflow-rdma/freeflow/internal/ring"
)

// QP is a queue pair. Three parties touch it:
//
//   - the control path, under the context's lock;
//   - the requester side: the one worker that runs the queue pair's Item. It alone touches SQ and Send;
//   - the responder side: whichever worker carries a peer's message here. It holds Resp.
//
// state and attr are read by all. The responder's lock is taken after nothing else but before CQ and SRQ locks.
type QP struct {
	engine.Item
	Num    QPN
	Type   QPType
	SigAll bool

	dev    *Device
	ctx    *Context
	handle Handle
	user   uint64
	pd     *pd
	sendCQ *CQ
	recvCQ *CQ
	srq    *SRQ
	cap    QPCap
	sqq    Queue
	rqq    Queue
	groups []GID // multicast groups joined; control path

	state    atomic.Uint32
	attr     atomic.Pointer[QPAttr]
	dead     atomic.Bool   // destroyed: touch nothing
	peerGone atomic.Bool   // the peer's process died without a word
	sentPSN  atomic.Uint32 // next PSN of the requester, for QueryQP
	drained  atomic.Bool   // in SQD: the send queue has come to rest
	lastDue  atomic.Bool   // in ERR: the last-WQE event has not been raised

	gates atomic.Pointer[gates] // nil: no limits of its own
	waits atomic.Bool           // it has waited for a limit

	verdict atomic.Pointer[verdict]
	cut     atomic.Bool // it may not talk to its peer any more
	before  PeerTraffic // what was exchanged with earlier peers; under meter.mu

	SQ   SendQueue
	Send Sending
	Resp Responder
	Used int // of the turn's budget; the carrier adds to it
	Ext  any // the carrier's own state, as Carrier.Open left it

	// What passed, for QueryQP, get qps and metering. Written by the side that the name says.
	Stats Stats
}

// Stats counts a queue pair's traffic. Each field has one writer at a time; readers load.
type Stats struct {
	Ops                             [NumOps]atomic.Uint64 // work requests that ended well
	SentBytes                       atomic.Uint64
	ReceivedMessages, ReceivedBytes atomic.Uint64
	RNRWaits, Retries, Errors       atomic.Uint64
	ReadBytes                       atomic.Uint64 // that came by READs and atomics
	Served, ServedBytes             atomic.Uint64 // READs and atomics that were answered, and what went out with them
	ErrorsBy                        [numStatuses]atomic.Uint64
	Resent, Marks                   atomic.Uint64 // packets sent again; congestion marks heard
	Limited                         atomic.Uint64 // ns of waiting for limits
	Dropped                         atomic.Uint64 // datagrams that a limit or a policy kept away
}

// SentMessages is how many work requests ended well.
func (s *Stats) SentMessages() (n uint64) {
	for i := range s.Ops {
		n += s.Ops[i].Load()
	}
	return n
}

// bump adds without a locked instruction: the counter has one writer.
func bump(c *atomic.Uint64, n uint64) { c.Store(c.Load() + n) }

// SendQueue is the requester's view of the send queue.
type SendQueue struct {
	ring  ring.Ring
	cons  uint32
	prod  uint32 // as last read
	shown uint32 // cons as the program sees it
	due   batch
}

// Responder is the responder side: the receive queue, and the message that is arriving.
type Responder struct {
	sync.Mutex
	ring ring.Ring
	cons uint32
	prod uint32 // as last read
	psn  PSN    // expected next
	due  batch

	// WQE is the entry that the arriving message uses, if Taken.
	WQE   ring.RecvWQE
	Taken bool
}

// checkCap validates what CreateQP is asked for and gives the slot sizes: room for the SGEs or the inline data.
func checkCap(a *QPInit) (sqSlot, rqSlot uint32, err error) {
	c := &a.Cap
	if c.MaxSendWR > MaxQPWR || c.MaxSendSGE > MaxSGE || c.MaxInline > MaxInline {
		return 0, 0, syscall.EINVAL
	}
	if !a.HasSRQ && (c.MaxRecvWR > MaxQPWR || c.MaxRecvSGE > MaxSGE) {
		return 0, 0, syscall.EINVAL
	}
	if a.Type != TypeRC && a.Type != TypeUC && a.Type != TypeUD {
		return 0, 0, syscall.EOPNOTSUPP
	}
	return ring.SendWQESize + max(16*max(c.MaxSendSGE, 1), c.MaxInline), ring.RecvWQESize + 16*max(c.MaxRecvSGE, 1), nil
}

// CreateQP makes a queue pair in RESET.
func (c *Context) CreateQP(a QPInit) (QPInfo, error) {
	sqSlot, rqSlot, err := checkCap(&a)
	if err != nil {
		return QPInfo{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	qp := &QP{Type: a.Type, SigAll: a.SigAll, dev: c.dev, ctx: c, user: a.UserHandle, cap: a.Cap,
		pd: c.pds.get(uint32(a.PD)), sendCQ: c.cqs.get(uint32(a.SendCQ)), recvCQ: c.cqs.get(uint32(a.RecvCQ))}
	if a.HasSRQ {
		if qp.srq = c.srqs.get(uint32(a.SRQ)); qp.srq == nil {
			return QPInfo{}, syscall.EINVAL
		}
	}
	if qp.pd == nil || qp.sendCQ == nil || qp.recvCQ == nil {
		return QPInfo{}, syscall.EINVAL
	}
	if err := c.claimQP(&a); err != nil {
		return QPInfo{}, err
	}
	if err := qp.makeRings(sqSlot, rqSlot); err != nil {
		c.giveBack(qos.QPs, 1)
		return QPInfo{}, err
	}
	if err := qp.number(); err != nil {
		c.freeRing(qp.sqq)
		c.freeRing(qp.rqq)
		c.giveBack(qos.QPs, 1)
		return QPInfo{}, err
	}
	return QPInfo{Handle: qp.handle, QPN: qp.Num, Cap: qp.cap, RQ: qp.rqq, SQ: qp.sqq}, nil
}

// claimQP holds what CreateQP is asked for to the quotas.
func (c *Context) claimQP(a *QPInit) error {
	depth := a.Cap.MaxSendWR
	if !a.HasSRQ {
		depth = max(depth, a.Cap.MaxRecvWR)
	}
	if err := c.deep(qos.QPDepth, depth); err != nil {
		return err
	}
	return c.claim(qos.QPs, 1)
}

// makeRings makes the queues and sets cap to what they really hold.
func (qp *QP) makeRings(sqSlot, rqSlot uint32) error {
	c := qp.ctx
	var g ring.Geometry
	var err error
	if qp.SQ.ring, qp.sqq, g, err = c.newRing(max(qp.cap.MaxSendWR, 1), sqSlot); err != nil {
		return err
	}
	qp.cap.MaxSendWR = g.Entries()
	room := uint32(1)<<g.Log2 - ring.SendWQESize
	qp.cap.MaxInline = min(room, MaxInline)
	qp.cap.MaxSendSGE = min(room/16, MaxSGE)
	if qp.srq != nil {
		qp.cap.MaxRecvWR, qp.cap.MaxRecvSGE = 0, 0
		return nil
	}
	if qp.Resp.ring, qp.rqq, g, err = c.newRing(max(qp.cap.MaxRecvWR, 1), rqSlot); err != nil {
		c.freeRing(qp.sqq)
		return err
	}
	qp.cap.MaxRecvWR = g.Entries()
	qp.cap.MaxRecvSGE = min((uint32(1)<<g.Log2-ring.RecvWQESize)/16, MaxSGE)
	return nil
}

// number gives the queue pair its handle and QPN and shows it to the workers.
func (qp *QP) number() error {
	c := qp.ctx
	handle, err := c.qps.reserve()
	if err != nil {
		return err
	}
	num, err := c.dev.qps.reserve()
	if err != nil {
		c.qps.release(handle)
		return err
	}
	qp.handle, qp.Num = Handle(handle), QPN(num)
	qp.attr.Store(&QPAttr{PathMTU: c.dev.MTU(), PortNum: 1})
	qp.Init(qp, c.bell)
	qp.In(c.cont.group())
	c.dev.carrier.Open(qp)
	qp.pd.refs.Add(1)
	qp.sendCQ.refs.Add(1)
	qp.recvCQ.refs.Add(1)
	if qp.srq != nil {
		qp.srq.refs.Add(1)
	}
	c.qps.put(handle, qp)
	c.dev.qps.put(num, qp)
	if p := c.cont.params.Load(); p != nil { // looked at after SetParams can find the queue pair
		qp.bind(p, c.dev.clock())
	}
	return nil
}

// DestroyQP ends a queue pair in any state.
func (c *Context) DestroyQP(h Handle) (uint32, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	qp := c.qps.get(uint32(h))
	if qp == nil {
		return 0, syscall.EINVAL
	}
	if len(qp.groups) > 0 {
		return 0, syscall.EBUSY
	}
	qp.unlink(false)
	c.dev.Quiesce()
	c.dev.carrier.Reset(qp)
	qp.Send.Toll.Drop()
	c.dev.left(qp)
	c.unbindQP(qp)
	c.freeRing(qp.sqq)
	c.freeRing(qp.rqq)
	c.dev.qps.release(uint32(qp.Num))
	c.qps.release(uint32(h))
	c.giveBack(qos.QPs, 1)
	qp.pd.refs.Add(-1)
	qp.sendCQ.refs.Add(-1)
	qp.recvCQ.refs.Add(-1)
	if qp.srq != nil {
		qp.srq.refs.Add(-1)
	}
	return c.async.forgetAsync(qp.user), nil
}

// unlink hides the queue pair from workers and peers. died says that its process went without destroying it, of which a connected peer
// shall hear. The caller quiesces and then releases the QPN.
func (qp *QP) unlink(died bool) {
	qp.dead.Store(true)
	qp.dev.leave(qp)
	for _, g := range slices.Clone(qp.groups) {
		qp.ctx.leaveGroup(qp, g)
	}
	if died {
		if p := qp.connected(); p != nil && p.ctx != qp.ctx {
			p.peerGone.Store(true)
			qp.dev.eng.Schedule(&p.Item)
		}
	}
}

// connected finds the queue pair that this one and that is connected to, if both say so.
func (qp *QP) connected() *QP {
	a := qp.attr.Load()
	p := qp.dev.QP(a.DestQPN)
	if p == nil || qp.Type == TypeUD || p.attr.Load().DestQPN != qp.Num || p.ctx.cont.Network != qp.ctx.cont.Network {
		return nil
	}
	return p
}

// State is the queue pair's state. Any goroutine.
func (qp *QP) State() State { return State(qp.state.Load()) }

// Attr gives the attributes as last set. Never changed once given out.
func (qp *QP) Attr() *QPAttr { return qp.attr.Load() }

// Dead reports that the queue pair has been destroyed: its queues must not be touched.
func (qp *QP) Dead() bool { return qp.dead.Load() }

// PeerGone reports that the process of the connected peer died.
func (qp *QP) PeerGone() bool { return qp.peerGone.Load() }

// HasSRQ reports whether receives come from a shared receive queue.
func (qp *QP) HasSRQ() bool { return qp.srq != nil }

// Container is whose queue pair it is.
func (qp *QP) Container() *Container { return qp.ctx.cont }

// Device is where the queue pair lives.
func (qp *QP) Device() *Device { return qp.dev }

// Run is engine.Runner's: it lets the carrier move messages.
func (qp *QP) Run(w *engine.Worker, budget int) engine.Verdict {
	if qp.dead.Load() {
		return engine.Idle
	}
	qp.Used = 0
	v := qp.dev.carrier.Run(w, qp, budget)
	w.Spend(qp.Used)
	if v == engine.Wait && qp.waits.Load() {
		w.Later(&qp.Item)
	}
	return v
}

// Lagging is engine.Laggard's: the program has not yet taken all completions of what it sent.
func (qp *QP) Lagging() bool {
	return !qp.dead.Load() && qp.State() == StateRTS && qp.sendCQ.unread()
}
