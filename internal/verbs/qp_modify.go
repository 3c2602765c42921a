package verbs

import (
	"syscall"
)

// transition is what may and must be given for a change of state, by service type (IBTA 11.2.5.3, tables 91 to 97).
type transition struct{ req, opt [5]AttrMask } // index: QPType

func masks(rc, uc, ud AttrMask) [5]AttrMask { return [5]AttrMask{TypeRC: rc, TypeUC: uc, TypeUD: ud} }

const (
	initConn = MaskPKeyIndex | MaskPort | MaskAccessFlags
	initUD   = MaskPKeyIndex | MaskPort | MaskQKey
	rtrUC    = MaskAV | MaskPathMTU | MaskDestQPN | MaskRQPSN
	rtrRC    = rtrUC | MaskMaxDestRdAtomic | MaskMinRNRTimer
	rtrOpt   = MaskAltPath | MaskAccessFlags | MaskPKeyIndex
	rtsRC    = MaskTimeout | MaskRetryCnt | MaskRNRRetry | MaskSQPSN | MaskMaxRdAtomic
	runUC    = MaskCurState | MaskAltPath | MaskAccessFlags | MaskPathMigState
	runRC    = runUC | MaskMinRNRTimer
	runUD    = MaskCurState | MaskQKey
	sqdUC    = MaskAV | MaskAltPath | MaskAccessFlags | MaskPKeyIndex | MaskPathMigState
	sqdRC    = sqdUC | MaskPort | MaskTimeout | MaskRetryCnt | MaskRNRRetry | MaskMaxRdAtomic | MaskMaxDestRdAtomic | MaskMinRNRTimer
)

// transitions: from, to. Every state may also go to RESET and ERR with nothing else given.
var transitions = map[[2]State]transition{
	{StateReset, StateInit}: {req: masks(initConn, initConn, initUD)},
	{StateInit, StateInit}:  {opt: masks(initConn, initConn, initUD)},
	{StateInit, StateRTR}:   {req: masks(rtrRC, rtrUC, 0), opt: masks(rtrOpt, rtrOpt, MaskPKeyIndex|MaskQKey)},
	{StateRTR, StateRTS}:    {req: masks(rtsRC, MaskSQPSN, MaskSQPSN), opt: masks(runRC, runUC, runUD)},
	{StateRTS, StateRTS}:    {opt: masks(runRC, runUC, runUD)},
	{StateRTS, StateSQD}:    {opt: masks(MaskEnSQDAsyncNotify, MaskEnSQDAsyncNotify, MaskEnSQDAsyncNotify)},
	{StateSQD, StateRTS}:    {opt: masks(runRC, runUC, runUD)},
	{StateSQD, StateSQD}:    {opt: masks(sqdRC, sqdUC, MaskPKeyIndex|MaskQKey)},
	{StateSQE, StateRTS}:    {opt: masks(0, MaskCurState|MaskAccessFlags, MaskCurState|MaskQKey)},
}

// allowed reports whether a queue pair of a type may go from one state to another with these attributes.
func allowed(from, to State, t QPType, mask AttrMask) bool {
	if mask&MaskCurState != 0 && from != StateRTR && from != StateRTS && from != StateSQD && from != StateSQE {
		return false
	}
	if to == StateReset || to == StateError {
		return mask&^MaskState == 0
	}
	tr, ok := transitions[[2]State{from, to}]
	if !ok || from == StateSQE && t == TypeRC {
		return false
	}
	return mask&tr.req[t] == tr.req[t] && mask&^(tr.req[t]|tr.opt[t]|MaskState) == 0
}

// ModifyQP sets attributes and changes state. EINVAL for a transition or a value that the specification does not have.
func (c *Context) ModifyQP(h Handle, mask AttrMask, a *QPAttr) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	qp := c.qps.get(uint32(h))
	if qp == nil {
		return syscall.EINVAL
	}
	if mask&(MaskCap|MaskRateLimit) != 0 {
		return syscall.EOPNOTSUPP
	}
	from := qp.State()
	to := from
	if mask&MaskCurState != 0 {
		if a.CurState != from {
			return syscall.EINVAL
		}
	}
	if mask&MaskState != 0 {
		to = a.State
	}
	if to > StateError || !allowed(from, to, qp.Type, mask) || c.checkAttr(mask, a) != nil {
		return syscall.EINVAL
	}
	next := *qp.attr.Load()
	next.set(mask, a)
	switch {
	case to == StateReset:
		return qp.reset()
	case to == StateInit && from == StateReset:
		next = QPAttr{PathMTU: c.dev.MTU()}
		next.set(mask, a)
	case to == StateSQD && from == StateRTS:
		qp.drained.Store(false)
	case from == StateInit && to == StateRTR:
		qp.Resp.Lock()
		qp.Resp.psn = next.RQPSN
		qp.Resp.Unlock()
		qp.peerGone.Store(false)
		qp.cut.Store(false)
	case from == StateRTR && to == StateRTS:
		qp.sentPSN.Store(uint32(next.SQPSN))
	}
	if qp.Type != TypeUD && to >= StateRTR {
		c.mark(&next.AV)
	}
	qp.attr.Store(&next)
	if !qp.state.CompareAndSwap(uint32(from), uint32(to)) {
		return syscall.EINVAL // an error took it to another state meanwhile
	}
	qp.arrived(from, to)
	return nil
}

// arrived wakes who waits for a change of state: the queue pair itself, and, when it has become ready to receive, its peer.
func (qp *QP) arrived(from, to State) {
	if from == to {
		return
	}
	if to == StateError {
		qp.lastDue.Store(true) // before the item runs, which flushes
	}
	qp.dev.eng.Schedule(&qp.Item)
	if to == StateRTR {
		if p := qp.connected(); p != nil {
			qp.dev.eng.Schedule(&p.Item)
		}
	}
}

// checkAttr holds the values to their ranges.
func (c *Context) checkAttr(mask AttrMask, a *QPAttr) error {
	bad := mask&MaskPort != 0 && a.PortNum != 1 ||
		mask&MaskPKeyIndex != 0 && a.PKeyIndex != 0 ||
		mask&MaskPathMTU != 0 && (a.PathMTU < 1 || a.PathMTU > c.dev.MTU()) ||
		mask&MaskMaxRdAtomic != 0 && a.MaxRdAtomic > MaxRdAtomic ||
		mask&MaskMaxDestRdAtomic != 0 && a.MaxDestRdAtomic > MaxRdAtomic ||
		mask&MaskTimeout != 0 && a.AckTimeout > 31 ||
		mask&MaskRetryCnt != 0 && a.RetryCnt > 7 ||
		mask&MaskRNRRetry != 0 && a.RNRRetry > 7 ||
		mask&MaskMinRNRTimer != 0 && a.MinRNRTimer > 31 ||
		mask&MaskDestQPN != 0 && a.DestQPN > 1<<24-1 ||
		mask&MaskAV != 0 && c.checkAV(&a.AV) != nil ||
		mask&MaskAltPath != 0 && c.checkAV(&a.AltAV) != nil ||
		mask&MaskPathMigState != 0 && a.PathMigState > 2
	if bad {
		return syscall.EINVAL
	}
	return nil
}

// set takes the attributes that the mask names.
func (t *QPAttr) set(mask AttrMask, a *QPAttr) {
	for _, f := range []struct {
		bit AttrMask
		do  func()
	}{
		{MaskAccessFlags, func() { t.Access = a.Access }},
		{MaskPKeyIndex, func() { t.PKeyIndex = a.PKeyIndex }},
		{MaskPort, func() { t.PortNum = a.PortNum }},
		{MaskQKey, func() { t.QKey = a.QKey }},
		{MaskAV, func() { t.AV = a.AV.asked() }},
		{MaskPathMTU, func() { t.PathMTU = a.PathMTU }},
		{MaskTimeout, func() { t.AckTimeout = a.AckTimeout }},
		{MaskRetryCnt, func() { t.RetryCnt = a.RetryCnt }},
		{MaskRNRRetry, func() { t.RNRRetry = a.RNRRetry }},
		{MaskRQPSN, func() { t.RQPSN = a.RQPSN & 0xffffff }},
		{MaskMaxRdAtomic, func() { t.MaxRdAtomic = a.MaxRdAtomic }},
		{MaskAltPath, func() {
			t.AltAV, t.AltPKeyIndex, t.AltPortNum, t.AltTimeout = a.AltAV, a.AltPKeyIndex, a.AltPortNum, a.AltTimeout
		}},
		{MaskMinRNRTimer, func() { t.MinRNRTimer = a.MinRNRTimer }},
		{MaskSQPSN, func() { t.SQPSN = a.SQPSN & 0xffffff }},
		{MaskMaxDestRdAtomic, func() { t.MaxDestRdAtomic = a.MaxDestRdAtomic }},
		{MaskPathMigState, func() { t.PathMigState = a.PathMigState }},
		{MaskDestQPN, func() { t.DestQPN = a.DestQPN }},
		{MaskEnSQDAsyncNotify, func() { t.EnSQDAsyncNotify = a.EnSQDAsyncNotify }},
	} {
		if mask&f.bit != 0 {
			f.do()
		}
	}
}

// reset takes the queue pair back to what CreateQP made: nothing posted, nothing set.
func (qp *QP) reset() error {
	qp.state.Store(uint32(StateReset))
	qp.dev.Quiesce()
	qp.ctx.unbindQP(qp)
	qp.dev.disconnect(qp)
	qp.attr.Store(&QPAttr{PathMTU: qp.dev.MTU(), PortNum: 1})
	qp.peerGone.Store(false)
	qp.Send.Toll.Drop()
	qp.Send = Sending{}
	qp.SQ.cons, qp.SQ.prod, qp.SQ.shown = 0, 0, 0
	qp.SQ.due.clear()
	qp.SQ.ring.StoreConsumerRelease(0)
	qp.SQ.ring.StoreDoneRelease(0)
	qp.SQ.ring.StoreProducerRelease(0)
	qp.Resp.Lock()
	defer qp.Resp.Unlock()
	qp.Resp.Taken = false
	qp.Resp.cons, qp.Resp.prod = 0, 0
	qp.Resp.due.clear()
	if qp.Resp.ring.Valid() {
		qp.Resp.ring.StoreConsumerRelease(0)
		qp.Resp.ring.StoreDoneRelease(0)
		qp.Resp.ring.StoreProducerRelease(0)
	}
	qp.dev.carrier.Reset(qp)
	return nil
}

// QueryQP tells the attributes as they are now, and what the queue pair was made with.
func (c *Context) QueryQP(h Handle) (QPAttr, QPInit, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	qp := c.qps.get(uint32(h))
	if qp == nil {
		return QPAttr{}, QPInit{}, syscall.EINVAL
	}
	a := *qp.attr.Load()
	a.AV = a.AV.asked()
	a.State = qp.State()
	a.CurState = a.State
	a.SQDraining = a.State == StateSQD && !qp.drained.Load()
	qp.Resp.Lock()
	if a.State >= StateRTR {
		a.RQPSN = qp.Resp.psn
	}
	qp.Resp.Unlock()
	if a.State >= StateRTS {
		a.SQPSN = PSN(qp.sentPSN.Load())
	}
	init := QPInit{UserHandle: qp.user, SendCQ: qp.sendCQ.handle, RecvCQ: qp.recvCQ.handle, HasSRQ: qp.srq != nil, Type: qp.Type, SigAll: qp.SigAll, Cap: qp.cap}
	return a, init, nil
}
