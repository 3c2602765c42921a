package local

import (
	"encoding/binary"

	"github.com/freeflow-rdma/freeflow/internal/mem"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
)

const (
	grhSize = 40
	udMTU   = 4096
	// qkeyOwn: a QKey with the high bit set means the sender's own (IBTA 10.2.5).
	qkeyOwn = 1 << 31
	// An address's packet would have BTH, DETH and ICRC around the payload.
	udOverhead = 12 + 8 + 4
)

// datagram sends a UD message to one queue pair, or to every member of a multicast group. What cannot be delivered is lost without a word.
func (b *burst) datagram() (outcome, verbs.WCStatus) {
	qp := b.qp
	s := &qp.Send
	av := qp.AV(s.WQE.AHNum)
	if av == nil {
		return refused, verbs.WCLocQPOpErr
	}
	if s.Length > udMTU { // emitted by none, and no error (IBTA C10-93.1.1)
		return done(qp)
	}
	src, f := gather(qp, b.w.Scratch.A[:0], 0, s.Length, 0)
	if f != verbs.FaultNone {
		return refused, localStatus(f)
	}
	d := parcel{src: src, qkey: s.WQE.RemoteQKey}
	if d.qkey&qkeyOwn != 0 {
		d.qkey = qp.Attr().QKey
	}
	fillGRH(&d.grh, qp, av)
	if av.DGID.IsMulticast() {
		// A sender that has joined the group hears itself, as with every device that does not block the loop.
		for _, peer := range qp.Members(av.DGID) {
			if o, status := b.deliver(peer, &d); o == refused {
				return o, status
			}
		}
	} else if peer := qp.Device().QP(verbs.QPN(s.WQE.RemoteQPN)); peer != nil &&
		peer.Container().Network == qp.Container().Network && peer.Container().HasGID(av.DGID) {
		if o, status := b.deliver(peer, &d); o != carried {
			s.Peer = peer
			return o, status
		}
	}
	qp.Advance(1)
	return done(qp)
}

// parcel is a datagram on its way.
type parcel struct {
	grh  [grhSize]byte
	src  []mem.Span
	qkey uint32
}

// deliver puts a datagram into a receive of the peer. carried means that there is no more to do for this peer: it has the
// datagram, or does not take it.
func (b *burst) deliver(peer *verbs.QP, d *parcel) (outcome, verbs.WCStatus) {
	w, qp := b.w, b.qp
	s := &qp.Send
	b.hold(peer)
	if st := peer.State(); peer.Type != verbs.TypeUD || peer.Dead() || st < verbs.StateRTR || st == verbs.StateError || peer.Attr().QKey != d.qkey {
		return carried, 0
	}
	if ok, bad := peer.TakeRecv(); !ok {
		return noRecv, 0
	} else if bad {
		recvError(peer, verbs.WCLocQPOpErr)
		return carried, 0
	}
	heard(w, qp)
	rw := &peer.Resp.WQE
	total := s.Length + grhSize
	if uint64(total) > recvRoom(rw) {
		tooLong(peer)
		return carried, 0
	}
	dst, f := scatter(peer, w.Scratch.B[:0], rw.SGE[:rw.NumSGE], 0, total, verbs.AccessLocalWrite)
	if f != verbs.FaultNone {
		recvError(peer, verbs.WCLocProtErr)
		return carried, 0
	}
	from := append(append(w.Scratch.C[:0], mem.Mapped(d.grh[:])), d.src...)
	if srcOK, err := mem.Copy(dst, from, w.Scratch.Bounce[:]); err != nil {
		if !srcOK {
			return refused, verbs.WCLocProtErr
		}
		recvError(peer, verbs.WCLocProtErr)
		return carried, 0
	}
	x := verbs.Received{Opcode: verbs.WCRecv, Flags: verbs.WCGRH, Length: total, SrcQP: qp.Num, Solicited: solicited(qp)}
	if verbs.Opcode(s.WQE.Opcode) == verbs.OpSendImm {
		x.Flags, x.Imm = x.Flags|verbs.WCWithImm, s.WQE.Imm
	}
	peer.Expect(1)
	peer.CompleteRecv(&x)
	return carried, 0
}

// fillGRH writes the global route header in its IPv6 form, which every consumer takes, also for IPv4 addresses (RoCEv2
// has no GRH; the receiver's buffer has room for one all the same, IBTA A17.4.5.1).
func fillGRH(b *[grhSize]byte, qp *verbs.QP, av *verbs.AHAttr) {
	binary.BigEndian.PutUint32(b[0:], 6<<28|uint32(av.TrafficClass)<<20|av.FlowLabel&0xfffff)
	binary.BigEndian.PutUint16(b[4:], uint16(qp.Send.Length+udOverhead))
	b[6] = 17 // UDP
	if b[7] = av.HopLimit; b[7] == 0 {
		b[7] = 64
	}
	sgid := qp.Container().GIDs[av.SGIDIndex]
	copy(b[8:24], sgid[:])
	copy(b[24:40], av.DGID[:])
}
