package local

import (
	"testing"
	"time"

	"github.com/freeflow-rdma/freeflow/internal/ring"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
	vt "github.com/freeflow-rdma/freeflow/internal/verbs/verbstest"
)

// fault is one way for a work request of a connected pair to fail, and what both sides make of it (IBTA 9.9, 10.10.2).
type fault struct {
	name string
	tune func(*verbs.QPAttr)
	// run posts what fails. Both buffers have 4096 bytes.
	run         func(p *pair, src, dst *vt.Buffer)
	local       verbs.WCStatus // the requester's completion
	recv        verbs.WCStatus // the responder's, of a receive with ID 1; noRecvWC: none
	peerErr     bool           // the responder goes to ERR
	event       verbs.AsyncEvent
	remoteEvent bool
}

const noRecvWC = verbs.WCStatus(1000)

func remote(op verbs.Opcode, sge ring.SGE, dst *vt.Buffer) ring.SendWQE {
	w := vt.WR(2, op, sge)
	w.RemoteAddr, w.RKey = dst.Addr, uint32(dst.RKey)
	return w
}

func deny(bit verbs.Access) func(*verbs.QPAttr) { return func(a *verbs.QPAttr) { a.Access &^= bit } }

var faults = []fault{
	{name: "SEND, unknown LKey", local: verbs.WCLocProtErr, recv: noRecvWC, run: func(p *pair, src, dst *vt.Buffer) {
		s := src.SGE(0, 10)
		s.LKey ^= 0x100000
		p.qa.Send(vt.WR(2, verbs.OpSend, s))
	}},
	{name: "SEND, stale tag of LKey", local: verbs.WCLocProtErr, recv: noRecvWC, run: func(p *pair, src, dst *vt.Buffer) {
		s := src.SGE(0, 10)
		s.LKey ^= 1
		p.qa.Send(vt.WR(2, verbs.OpSend, s))
	}},
	{name: "SEND, LKey of another container", local: verbs.WCLocProtErr, recv: noRecvWC, run: func(p *pair, src, dst *vt.Buffer) {
		p.qa.Send(vt.WR(2, verbs.OpSend, dst.SGE(0, 10)))
	}},
	{name: "SEND, beyond the region", local: verbs.WCLocProtErr, recv: noRecvWC, run: func(p *pair, src, dst *vt.Buffer) {
		p.qa.Send(vt.WR(2, verbs.OpSend, src.SGE(4000, 97)))
	}},
	{name: "SEND, address that wraps", local: verbs.WCLocProtErr, recv: noRecvWC, run: func(p *pair, src, dst *vt.Buffer) {
		p.qa.Send(vt.WR(2, verbs.OpSend, ring.SGE{Addr: ^uint64(0) - 3, Length: 8, LKey: uint32(src.LKey)}))
	}},
	{name: "longer than a message can be", local: verbs.WCLocLenErr, recv: noRecvWC, run: func(p *pair, src, dst *vt.Buffer) {
		s := src.SGE(0, 1<<30)
		p.qa.Send(vt.WR(2, verbs.OpSend, s, s, s))
	}},
	{name: "opcode of no operation", local: verbs.WCLocQPOpErr, recv: noRecvWC, run: func(p *pair, src, dst *vt.Buffer) {
		p.qa.Send(vt.WR(2, 77, src.SGE(0, 8)))
	}},
	{name: "READ inline", local: verbs.WCLocQPOpErr, recv: noRecvWC, run: func(p *pair, src, dst *vt.Buffer) {
		p.qa.SendInline(remote(verbs.OpRDMARead, src.SGE(0, 8), dst), make([]byte, 8))
	}},
	{name: "READ at depth 0", local: verbs.WCLocQPOpErr, recv: noRecvWC, tune: func(a *verbs.QPAttr) { a.MaxRdAtomic = 0 },
		run: func(p *pair, src, dst *vt.Buffer) { p.qa.Send(remote(verbs.OpRDMARead, src.SGE(0, 8), dst)) }},
	{name: "atomic of less than 8 bytes", local: verbs.WCLocLenErr, recv: noRecvWC, run: func(p *pair, src, dst *vt.Buffer) {
		p.qa.Send(remote(verbs.OpAtomicFetchAdd, src.SGE(0, 4), dst))
	}},
	{name: "SEND too long for the receive", local: verbs.WCRemInvReqErr, recv: verbs.WCLocLenErr, peerErr: true, run: func(p *pair, src, dst *vt.Buffer) {
		p.qb.Recv(vt.RR(1, dst.SGE(0, 99)))
		p.qa.Send(vt.WR(2, verbs.OpSend, src.SGE(0, 100)))
	}},
	{name: "receive with a bad LKey", local: verbs.WCRemOpErr, recv: verbs.WCLocProtErr, peerErr: true, run: func(p *pair, src, dst *vt.Buffer) {
		s := dst.SGE(0, 99)
		s.LKey++
		p.qb.Recv(vt.RR(1, s))
		p.qa.Send(vt.WR(2, verbs.OpSend, src.SGE(0, 50)))
	}},
	{name: "WRITE, unknown RKey", local: verbs.WCRemAccessErr, recv: noRecvWC, peerErr: true, remoteEvent: true, event: verbs.EventQPAccessErr,
		run: func(p *pair, src, dst *vt.Buffer) {
			w := remote(verbs.OpRDMAWrite, src.SGE(0, 8), dst)
			w.RKey++
			p.qa.Send(w)
		}},
	{name: "WRITE, RKey of the requester's own", local: verbs.WCRemAccessErr, recv: noRecvWC, peerErr: true, remoteEvent: true, event: verbs.EventQPAccessErr,
		run: func(p *pair, src, dst *vt.Buffer) { p.qa.Send(remote(verbs.OpRDMAWrite, src.SGE(0, 8), src)) }},
	{name: "WRITE beyond the region", local: verbs.WCRemAccessErr, recv: noRecvWC, peerErr: true, remoteEvent: true, event: verbs.EventQPAccessErr,
		run: func(p *pair, src, dst *vt.Buffer) {
			w := remote(verbs.OpRDMAWrite, src.SGE(0, 100), dst)
			w.RemoteAddr += 4000
			p.qa.Send(w)
		}},
	{name: "READ, unknown RKey", local: verbs.WCRemAccessErr, recv: noRecvWC, peerErr: true, remoteEvent: true, event: verbs.EventQPAccessErr,
		run: func(p *pair, src, dst *vt.Buffer) {
			w := remote(verbs.OpRDMARead, src.SGE(0, 8), dst)
			w.RKey += 256
			p.qa.Send(w)
		}},
	{name: "WRITE not enabled", tune: deny(verbs.AccessRemoteWrite), local: verbs.WCRemInvReqErr, recv: noRecvWC, peerErr: true, remoteEvent: true, event: verbs.EventQPReqErr,
		run: func(p *pair, src, dst *vt.Buffer) { p.qa.Send(remote(verbs.OpRDMAWrite, src.SGE(0, 8), dst)) }},
	{name: "READ not enabled", tune: deny(verbs.AccessRemoteRead), local: verbs.WCRemInvReqErr, recv: noRecvWC, peerErr: true, remoteEvent: true, event: verbs.EventQPReqErr,
		run: func(p *pair, src, dst *vt.Buffer) { p.qa.Send(remote(verbs.OpRDMARead, src.SGE(0, 8), dst)) }},
	{name: "atomic not enabled", tune: deny(verbs.AccessRemoteAtomic), local: verbs.WCRemInvReqErr, recv: noRecvWC, peerErr: true, remoteEvent: true, event: verbs.EventQPReqErr,
		run: func(p *pair, src, dst *vt.Buffer) {
			p.qa.Send(remote(verbs.OpAtomicFetchAdd, src.SGE(0, 8), dst))
		}},
	{name: "no resources for READ", tune: func(a *verbs.QPAttr) { a.MaxDestRdAtomic = 0 }, local: verbs.WCRemInvReqErr, recv: noRecvWC, peerErr: true,
		remoteEvent: true, event: verbs.EventQPReqErr,
		run: func(p *pair, src, dst *vt.Buffer) { p.qa.Send(remote(verbs.OpRDMARead, src.SGE(0, 8), dst)) }},
	{name: "misaligned atomic", local: verbs.WCRemInvReqErr, recv: noRecvWC, peerErr: true, remoteEvent: true, event: verbs.EventQPReqErr,
		run: func(p *pair, src, dst *vt.Buffer) {
			w := remote(verbs.OpAtomicCmpAndSwp, src.SGE(0, 8), dst)
			w.RemoteAddr += 4
			p.qa.Send(w)
		}},
	{name: "SEND, no receive, RNR retry 0", tune: func(a *verbs.QPAttr) { a.RNRRetry = 0 }, local: verbs.WCRNRRetryExcErr, recv: noRecvWC,
		run: func(p *pair, src, dst *vt.Buffer) { p.qa.Send(vt.WR(2, verbs.OpSend, src.SGE(0, 8))) }},
	{name: "WRITE with immediate, no receive", tune: func(a *verbs.QPAttr) { a.RNRRetry = 0 }, local: verbs.WCRNRRetryExcErr, recv: noRecvWC,
		run: func(p *pair, src, dst *vt.Buffer) { p.qa.Send(remote(verbs.OpRDMAWriteImm, src.SGE(0, 8), dst)) }},
	{name: "SEND with invalidate of no window", local: verbs.WCRemAccessErr, recv: verbs.WCMWBindErr, peerErr: true, run: func(p *pair, src, dst *vt.Buffer) {
		p.qb.Recv(vt.RR(1, dst.SGE(0, 99)))
		w := vt.WR(2, verbs.OpSendInv, src.SGE(0, 50))
		w.Imm = uint32(dst.RKey)
		p.qa.Send(w)
	}},
	{name: "local invalidate of no window", local: verbs.WCLocQPOpErr, recv: noRecvWC, run: func(p *pair, src, dst *vt.Buffer) {
		w := vt.WR(2, verbs.OpLocalInv)
		w.Imm = uint32(src.RKey)
		p.qa.Send(w)
	}},
}

// TestFaults: every error has its status on both sides, takes the queue pairs where it must, is told as an event where no completion
// tells it, and is followed by flushes.
func TestFaults(t *testing.T) {
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			p := connect(t, verbs.TypeRC, f.tune)
			src, dst := buffers(p, 0, 4096)
			async := p.b.Async()
			f.run(p, &src, &dst)
			want(t, p.ca.Poll(), 2, f.local)
			p.qa.WantState(verbs.StateError)
			if f.recv != noRecvWC {
				want(t, p.cb.Poll(), 1, f.recv)
			}
			if f.remoteEvent {
				async.Want(p.qb.User, f.event)
			}
			p.qa.Send(vt.WR(3, verbs.OpSend, src.SGE(0, 1)))
			want(t, p.ca.Poll(), 3, verbs.WCWRFlushErr)
			if !f.peerErr {
				if s := p.qb.State(); s != verbs.StateRTS {
					t.Fatalf("responder is in %v", s)
				}
				return
			}
			p.qb.WantState(verbs.StateError)
			p.qb.Recv(vt.RR(4, dst.SGE(0, 9)))
			want(t, p.cb.Poll(), 4, verbs.WCWRFlushErr)
			async.None(time.Millisecond)
		})
	}
}

// TestFaultTouchesNothing: a request whose range is refused has moved no byte of it.
func TestFaultTouchesNothing(t *testing.T) {
	p := connect(t, verbs.TypeRC, nil)
	src, dst := p.a.Shared(1<<20, vt.AllAccess), p.b.Shared(1<<20-4096, vt.AllAccess)
	fill(src.B, 1)
	p.qa.Send(remote(verbs.OpRDMAWrite, src.SGE(0, 1<<20), &dst))
	want(t, p.ca.Poll(), 2, verbs.WCRemAccessErr)
	for i, b := range dst.B {
		if b != 0 {
			t.Fatalf("byte %d was written", i)
		}
	}
}

// TestRNRTimer: the requester tries as often, and waits as long, as both sides' attributes say (IBTA 9.7.5.2.8).
func TestRNRTimer(t *testing.T) {
	p := connect(t, verbs.TypeRC, func(a *verbs.QPAttr) { a.RNRRetry, a.MinRNRTimer = 3, 20 }) // 10.24 ms each
	src, dst := buffers(p, 0, 64)
	begun := time.Now()
	p.qa.Send(vt.WR(2, verbs.OpSend, src.SGE(0, 8)))
	want(t, p.ca.Poll(), 2, verbs.WCRNRRetryExcErr)
	if d := time.Since(begun); d < 20*time.Millisecond || d > 5*time.Second {
		t.Errorf("gave up after %v, want about 31 ms", d)
	}
	// A receive that comes late but in time.
	p = connect(t, verbs.TypeRC, func(a *verbs.QPAttr) { a.RNRRetry, a.MinRNRTimer = 6, 20 })
	src, dst = buffers(p, 0, 64)
	p.qa.Send(vt.WR(2, verbs.OpSend, src.SGE(0, 8)))
	time.Sleep(10 * time.Millisecond)
	p.qb.Recv(vt.RR(1, dst.SGE(0, 8)))
	want(t, p.ca.Poll(), 2, verbs.WCSuccess)
}

// TestRetryExceeded: a peer that does not answer is given up when timeout and retries are used up (IBTA 9.7.6.1.3).
func TestRetryExceeded(t *testing.T) {
	p := connect(t, verbs.TypeRC, func(a *verbs.QPAttr) { a.AckTimeout, a.RetryCnt = 11, 2 }) // 8.4 ms, three times
	src, _ := buffers(p, 0, 64)
	p.qb.To(verbs.StateError)
	begun := time.Now()
	p.qa.Send(vt.WR(2, verbs.OpSend, src.SGE(0, 8)))
	want(t, p.ca.Poll(), 2, verbs.WCRetryExcErr)
	if d := time.Since(begun); d < 15*time.Millisecond || d > 5*time.Second {
		t.Errorf("gave up after %v, want about 25 ms", d)
	}
	p.qa.WantState(verbs.StateError)
}

// TestFlushBothQueues: ERR by command flushes all, in order, and RESET makes the queue pair as new.
func TestFlushBothQueues(t *testing.T) {
	p := connect(t, verbs.TypeRC, nil)
	src, dst := buffers(p, 0, 64)
	for i := range 10 {
		p.qa.Recv(vt.RR(uint64(100+i), src.SGE(0, 8)))
	}
	p.qb.To(verbs.StateReset) // nobody answers
	for i := range 10 {
		p.qa.Post(vt.WR(uint64(i), verbs.OpSend, src.SGE(0, 8)))
	}
	p.qa.To(verbs.StateError)
	sends, recvs := uint64(0), uint64(100)
	for range 20 {
		e := p.ca.Poll()
		next := &sends
		if e.Opcode == uint32(verbs.WCRecv) {
			next = &recvs
		}
		want(t, e, *next, verbs.WCWRFlushErr)
		*next++
	}
	p.qa.To(verbs.StateReset)
	vt.Connect(p.qa, p.qb, nil)
	p.qb.Recv(vt.RR(1, dst.SGE(0, 8)))
	p.qa.Send(vt.WR(2, verbs.OpSend, src.SGE(0, 8)))
	want(t, p.cb.Poll(), 1, verbs.WCSuccess)
	want(t, p.ca.Poll(), 2, verbs.WCSuccess)
}

// TestSQD: in SQD nothing new is begun and receiving goes on; the drained event comes once, if asked for.
func TestSQD(t *testing.T) {
	p := connect(t, verbs.TypeRC, nil)
	src, dst := buffers(p, 0, 64)
	async := p.a.Async()
	p.qa.Modify(verbs.MaskState|verbs.MaskEnSQDAsyncNotify, verbs.QPAttr{State: verbs.StateSQD, EnSQDAsyncNotify: true})
	async.Want(p.qa.User, verbs.EventSQDrained)
	p.qb.Recv(vt.RR(1, dst.SGE(0, 8)))
	p.qa.Send(vt.WR(2, verbs.OpSend, src.SGE(0, 8)))
	p.ca.None(5 * time.Millisecond)
	p.qa.Recv(vt.RR(3, src.SGE(0, 8)))
	p.qb.Send(vt.WR(4, verbs.OpSend, dst.SGE(0, 8)))
	want(t, p.ca.Poll(), 3, verbs.WCSuccess)
	want(t, p.cb.Poll(), 4, verbs.WCSuccess)
	p.qa.Modify(verbs.MaskState, verbs.QPAttr{State: verbs.StateRTS})
	want(t, p.ca.Poll(), 2, verbs.WCSuccess)
	want(t, p.cb.Poll(), 1, verbs.WCSuccess)
	async.None(time.Millisecond)
}

// TestUnreliableErrors: a failed send of UC takes the queue pair to SQE, where it flushes what follows and goes on receiving, and from
// where it comes back (IBTA 10.3.1).
func TestUnreliableErrors(t *testing.T) {
	p := connect(t, verbs.TypeUC, nil)
	src, dst := buffers(p, 0, 64)
	bad := src.SGE(0, 8)
	bad.LKey++
	p.qa.Send(vt.WR(1, verbs.OpSend, bad), vt.WR(2, verbs.OpSend, src.SGE(0, 8)))
	want(t, p.ca.Poll(), 1, verbs.WCLocProtErr)
	want(t, p.ca.Poll(), 2, verbs.WCWRFlushErr)
	p.qa.WantState(verbs.StateSQE)
	p.qa.Recv(vt.RR(3, src.SGE(0, 8)))
	p.qb.Send(vt.WR(4, verbs.OpSend, dst.SGE(0, 8)))
	want(t, p.ca.Poll(), 3, verbs.WCSuccess)
	want(t, p.cb.Poll(), 4, verbs.WCSuccess)
	p.qa.Modify(verbs.MaskState, verbs.QPAttr{State: verbs.StateRTS})
	p.qb.Recv(vt.RR(5, dst.SGE(0, 8)))
	p.qa.Send(vt.WR(6, verbs.OpSend, src.SGE(0, 8)))
	want(t, p.cb.Poll(), 5, verbs.WCSuccess)
}

// TestUnreliableDrops: what a UC responder does not take is lost, and the sender does not notice.
func TestUnreliableDrops(t *testing.T) {
	p := connect(t, verbs.TypeUC, nil)
	src, dst := buffers(p, 0, 64)
	fill(src.B, 3)
	p.qa.Send(vt.WR(1, verbs.OpSend, src.SGE(0, 8))) // no receive
	want(t, p.ca.Poll(), 1, verbs.WCSuccess)
	p.qb.Recv(vt.RR(9, dst.SGE(0, 8)))
	p.qa.Send(vt.WR(2, verbs.OpSend, src.SGE(0, 9))) // too long: dropped, and the receive is the next message's
	want(t, p.ca.Poll(), 2, verbs.WCSuccess)
	w := remote(verbs.OpRDMAWrite, src.SGE(0, 8), &dst)
	w.RKey++
	p.qa.Send(w)
	want(t, p.ca.Poll(), 2, verbs.WCSuccess)
	p.cb.None(time.Millisecond)
	p.qa.Send(vt.WR(3, verbs.OpSend, src.SGE(1, 7)))
	e := p.cb.Poll()
	want(t, e, 9, verbs.WCSuccess)
	if e.ByteLen != 7 || dst.B[0] != src.B[1] {
		t.Errorf("%+v", e)
	}
	if s := p.qb.State(); s != verbs.StateRTS {
		t.Errorf("responder in %v", s)
	}
}
