package local

import (
	"github.com/freeflow-rdma/freeflow/internal/engine"
	"github.com/freeflow-rdma/freeflow/internal/mem"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
)

// udOverhead is what a packet would have around the payload: BTH, DETH and ICRC.
const udOverhead = 12 + 8 + 4

// datagram sends a UD message to one queue pair, or to every member of a multicast group. What cannot be delivered is lost without a word.
func (b *burst) datagram() (outcome, verbs.WCStatus) {
	qp := b.qp
	s := &qp.Send
	av := qp.AV(s.WQE.AHNum)
	if av == nil {
		return refused, verbs.WCLocQPOpErr
	}
	if s.Length > verbs.MTUBytes(qp.Device().MTU()) { // emitted by none, and no error (IBTA C10-93.1.1)
		return done(qp)
	}
	src, f := gather(qp, b.w.Scratch.A[:0], 0, s.Length, 0)
	if f != verbs.FaultNone {
		return refused, localStatus(f)
	}
	d := parcel{src: src, qkey: qp.SentQKey(s.WQE.RemoteQKey)}
	d.grh.Put(verbs.GRHFields{Src: qp.Container().GIDs[av.SGIDIndex], Dst: av.DGID, TrafficClass: av.TrafficClass, FlowLabel: av.FlowLabel,
		HopLimit: av.HopLimit, Length: int(s.Length) + udOverhead})
	peer := qp.Device().QP(verbs.QPN(s.WQE.RemoteQPN))
	plain := qp.Container().HostGID != 0 && int(av.SGIDIndex) == qp.Container().HostGID // to peers that are no routers
	isHere := peer != nil && peer.Container().Network == qp.Container().Network && peer.Container().HasGID(av.DGID)
	if !av.DGID.IsMulticast() && !qp.MayReach(int(av.SGIDIndex), av.DGID) {
		qp.Refuse()
		return done(qp)
	}
	if (qp.Limited() || isHere && peer.Limited() || s.Toll.Waits()) && !b.admitDatagram(peer, isHere) {
		return paused, 0
	}
	sent := false // as a packet
	if b.c.Away != nil && !isHere && qp.Device().Lookup(qp.Container().Network, av.DGID) == nil {
		b.let() // a lock here, and those of the way there
		switch status, v := b.c.Away.Datagram(b.w, qp, av); {
		case v == engine.More:
			return noRoom, 0
		case v == engine.Wait:
			return paused, 0
		case status != verbs.WCSuccess:
			return refused, status
		}
		sent = plain || !av.DGID.IsMulticast() // within a network there is one for each host, and nobody shows them
	}
	if av.DGID.IsMulticast() {
		if o, status := b.toGroup(av.DGID, plain, &d); o == refused {
			return o, status
		}
	} else if isHere {
		if o, status := b.deliver(peer, &d); o != carried {
			s.Peer = peer
			return o, status
		}
	}
	if !sent && b.c.Tap.Active() {
		b.record(0)
	}
	qp.Advance(1)
	return done(qp)
}

// toGroup puts a datagram into a receive of every member of a group on this host: of the network's, or of the host's own. A sender that
// has joined the group hears itself, as with every device that does not block the loop (Linux' Soft-RoCE does not).
func (b *burst) toGroup(g verbs.GID, plain bool, d *parcel) (outcome, verbs.WCStatus) {
	members := b.qp.Members(g)
	if plain {
		members = b.qp.Device().HostMembers(g)
	}
	for _, peer := range members {
		if !b.hears(peer, plain) || !b.spare(peer) {
			continue
		}
		if o, status := b.deliver(peer, d); o == refused {
			return o, status
		}
	}
	return carried, 0
}

// parcel is a datagram on its way.
type parcel struct {
	grh  verbs.GRH
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
	total := s.Length + verbs.GRHSize
	if uint64(total) > peer.RecvRoom() {
		tooLong(peer)
		return carried, 0
	}
	dst, f := peer.Scatter(w.Scratch.B[:0], rw.SGE[:rw.NumSGE], 0, total, verbs.AccessLocalWrite)
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
