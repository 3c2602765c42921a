package verbs

import (
	"github.com/freeflow-rdma/freeflow/internal/mem"
	"github.com/freeflow-rdma/freeflow/internal/ring"
)

// This file is what the specification has every carrier do, however it carries: on one host or over a wire.

// Times in nanoseconds.
const (
	ackTimeoutUnit = 4096        // of the ACK timeout (IBTA 9.7.6.1.3)
	PeerGoneTime   = 500_000_000 // patience with a dead peer where the program set no timeout
	OffCoreTime    = 500_000_000 // longer than a program that is there is ever off its core: UC and UD wait so long for its receive
)

// rnrTimer is IBTA table 45: the RNR NAK timer codes in units of 10 µs.
var rnrTimer = [32]int64{65536, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048,
	3072, 4096, 6144, 8192, 12288, 16384, 24576, 32768, 49152}

// RNRTime is what an RNR NAK timer code means, in ns. The upper bits of the code do not count.
func RNRTime(code uint8) int64 { return rnrTimer[code&31] * 10_000 }

// AckTime is what an ACK timeout code other than 0 means, in ns.
func AckTime(code uint8) int64 { return ackTimeoutUnit << code }

// Permits says which operations a service type has (IBTA table 38).
func (t QPType) Permits(op Opcode) bool {
	switch op {
	case OpSend, OpSendImm:
		return true
	case OpRDMAWrite, OpRDMAWriteImm, OpBindMW, OpLocalInv:
		return t != TypeUD
	case OpRDMARead, OpAtomicCmpAndSwp, OpAtomicFetchAdd, OpAtomicWrite, OpSendInv:
		return t == TypeRC
	}
	return false
}

// Alone does the work request in Send.WQE, a bind or a local invalidate, which concerns nobody but this queue pair. The caller does not
// hold Resp. Requester side.
func (qp *QP) Alone(op Opcode) WCStatus {
	w := &qp.Send.WQE
	if op == OpBindMW {
		b := Bind{Window: RKey(w.MWRKey), NewKey: RKey(w.MWNewKey), Region: LKey(w.MWLKey),
			Addr: w.RemoteAddr, Length: w.MWLength, Access: Access(w.MWAccess)}
		if !qp.BindMW(&b) {
			return WCMWBindErr
		}
		return WCSuccess
	}
	// Under Resp, so that what a peer has begun with the key is over when the completion says so.
	qp.Resp.Lock()
	defer qp.Resp.Unlock()
	if !qp.Invalidate(RKey(w.Imm)) {
		return WCLocQPOpErr
	}
	return WCSuccess
}

// Scatter appends the memory of n bytes of an SGE list of this queue pair, from byte off on. need is as for Local.
func (qp *QP) Scatter(out []mem.Span, sges []ring.SGE, off, n uint32, need Access) ([]mem.Span, Fault) {
	for i := range sges {
		g := &sges[i]
		if off >= g.Length {
			off -= g.Length
			continue
		}
		k := min(n, g.Length-off)
		var f Fault
		if out, f = qp.Local(out, LKey(g.LKey), g.Addr+uint64(off), int(k), need); f != FaultNone {
			return out, f
		}
		off = 0
		if n -= k; n == 0 {
			break
		}
	}
	return out, FaultNone
}

// RecvRoom is the number of bytes that the receive in Resp.WQE has room for. The caller holds Resp.
func (qp *QP) RecvRoom() uint64 {
	sum := uint64(0)
	w := &qp.Resp.WQE
	for i := range w.NumSGE {
		sum += uint64(w.SGE[i].Length)
	}
	return sum
}

// qkeyOwn: a QKey with the high bit set means the sender's own (IBTA 10.2.5).
const qkeyOwn = 1 << 31

// SentQKey is the QKey that a datagram goes with, by what its work request says.
func (qp *QP) SentQKey(k uint32) uint32 {
	if k&qkeyOwn != 0 {
		return qp.Attr().QKey
	}
	return k
}
