package rdmacm

import (
	"net/netip"
	"syscall"

	"github.com/freeflow-rdma/freeflow/internal/cm"
	"github.com/freeflow-rdma/freeflow/internal/uapi"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
)

// connect asks the peer for a connection, or where its datagram service is.
func (k *call) connect() error {
	q, err := k.u.DecodeConnect()
	if err != nil {
		return err
	}
	p := &q.ConnParam
	if p.Valid == 0 {
		return syscall.EINVAL
	}
	i, err := k.ch.findBound(q.ID)
	if err != nil {
		return err
	}
	if i.state != stateRouteResolved {
		return syscall.EINVAL
	}
	if !k.h.allowed(i.m.c, netip.AddrFrom16(i.dgid).Unmap(), false) {
		k.h.counters.Denied.Add(1)
		i.forbid()
		return nil
	}
	i.qpn, i.srq, i.ece = p.QPNum&0xffffff, p.SRQ != 0, ece(q.ECE)
	private := append(i.header(), p.PrivateData[:p.PrivateDataLen]...)
	switch i.qpType {
	case verbs.TypeUD:
		err = k.h.lookUp(i, private)
	case verbs.TypeRC, verbs.TypeUC:
		err = k.h.request(i, p, private)
	default:
		err = syscall.EINVAL
	}
	return err
}

// forbid tells an ID that its peer does not want it: what its program would hear if the peer's host had been asked. An error at once would be
// no news to librdmacm, which flushes the queue pair when it hears that a request is refused.
func (i *id) forbid() {
	i.state = stateConnect
	if i.qpType == verbs.TypeUD {
		i.tell(uapi.UCMUnreachable, int32(cm.SIDRReject), params{})
	} else {
		i.tell(uapi.UCMRejected, int32(cm.RejConsumerDefined), params{})
	}
}

// header is the RDMA-CM's part of a request's private data.
func (i *id) header() []byte {
	src, dst := netip.AddrFrom16(i.sgidAddr).Unmap(), netip.AddrFrom16(i.dgid).Unmap()
	h := cm.CMAHeader{IPVersion: 6, SrcPort: i.src.Port, Src: src, Dst: dst}
	if src.Is4() && dst.Is4() {
		h.IPVersion = 4
	}
	return h.Append(make([]byte, 0, cm.MaxReqPrivate))
}

// request sends a REQ.
func (h *Host) request(i *id, p *uapi.UCMConnParam, private []byte) error {
	if len(private) > cm.MaxReqPrivate {
		return syscall.EINVAL
	}
	q := &cm.Req{ServiceID: cm.ServiceID(i.ps, i.dst.Port), QPN: i.qpn, StartPSN: i.psn, QPType: cm.RC,
		ResponderResources: p.ResponderResources, InitiatorDepth: p.InitiatorDepth, RetryCount: min(p.RetryCount, 7),
		RNRRetryCount: min(p.RNRRetryCount, 7), PathMTU: i.path.MTU, LocalAckTimeout: ackTimeout(verbs.LocalCAAckDelay, i.path.PacketLifeTime),
		RemoteResponseTimeout: responseTimeout, LocalResponseTimeout: responseTimeout, MaxCMRetries: maxRetries, SRQ: i.srq,
		FlowControl: p.FlowControl != 0, FlowLabel: i.path.FlowLabel, TrafficClass: i.path.TrafficClass, HopLimit: i.path.HopLimit, ECE: i.ece,
		Private: private}
	if i.qpType == verbs.TypeUC {
		q.QPType = cm.UC
	}
	conn := h.machine.Connect(h.clock(), i.route(), q)
	if conn == 0 {
		return syscall.ENOMEM
	}
	h.join(i, conn)
	i.link = link{phase: phaseReqSent, responderResources: q.ResponderResources, initiatorDepth: q.InitiatorDepth, retry: q.RetryCount,
		timeout: i.path.PacketLifeTime + 1, mtu: i.path.MTU}
	return nil
}

// ece is what a program says of its vendor's enhancements, which are passed on.
func ece(e uapi.UCMECE) cm.ECE { return cm.ECE{VendorID: e.VendorID & 0xffffff, Options: e.AttrMod} }

// lookUp sends a SIDR_REQ.
func (h *Host) lookUp(i *id, private []byte) error {
	if len(private) > cm.MaxSIDRReqPrivate {
		return syscall.EINVAL
	}
	conn := h.machine.Resolve(h.clock(), i.route(), &cm.SIDRReq{ServiceID: cm.ServiceID(i.ps, i.dst.Port), Private: private})
	if conn == 0 {
		return syscall.ENOMEM
	}
	h.join(i, conn)
	return nil
}

// join makes a connection an ID's.
func (h *Host) join(i *id, conn cm.ID) {
	i.conn, i.state = conn, stateConnect
	h.conns[conn] = i
}

// ackTimeout is cm_ack_timeout: the local ACK timeout for a path and the peer's delay (IBTA 12.7.34), as exponents.
func ackTimeout(delay, life uint8) uint8 {
	t := life + 1
	switch {
	case t >= delay && delay >= t-1, t < delay && t >= delay-1:
		t = max(t, delay) + 1
	default:
		t = max(t, delay)
	}
	return min(t, 31)
}

// accept answers a request, or, on the active side, a reply. If it fails, the peer is refused, as the kernel does.
func (k *call) accept() error {
	q, err := k.u.DecodeAccept()
	if err != nil {
		return err
	}
	i, err := k.ch.findBound(q.ID)
	if err != nil {
		return err
	}
	if i.state != stateConnect {
		return syscall.EINVAL
	}
	i.ece = ece(q.ECE)
	p := &q.ConnParam
	if p.Valid != 0 {
		i.qpn, i.srq = p.QPNum&0xffffff, p.SRQ != 0
	}
	switch {
	case i.qpType == verbs.TypeUD:
		err = k.h.replyUD(i, cm.SIDRSuccess, p)
	case p.Valid == 0:
		err = k.h.ready(i)
	default:
		err = k.h.reply(i, p)
	}
	if err != nil {
		_ = k.h.refuse(i, cm.RejConsumerDefined, nil)
		return syscall.EINVAL
	}
	if p.Valid != 0 {
		i.uid = q.UID
	}
	return nil
}

// ready sends an RTU.
func (h *Host) ready(i *id) error {
	if err := h.machine.Ready(h.clock(), i.conn, nil); err != nil {
		return err
	}
	i.link.phase = phaseEstablished
	return nil
}

// reply sends a REP.
func (h *Host) reply(i *id, p *uapi.UCMConnParam) error {
	private := append([]byte(nil), p.PrivateData[:p.PrivateDataLen]...)
	r := &cm.Rep{QPN: i.qpn, StartPSN: i.psn, TargetAckDelay: verbs.LocalCAAckDelay, RNRRetryCount: min(p.RNRRetryCount, 7),
		ResponderResources: p.ResponderResources, InitiatorDepth: p.InitiatorDepth, SRQ: i.srq, FlowControl: p.FlowControl != 0, ECE: i.ece, Private: private}
	if err := h.machine.Reply(h.clock(), i.conn, r); err != nil {
		return err
	}
	l := &i.link
	l.phase, l.responderResources, l.initiatorDepth = phaseRepSent, p.ResponderResources, p.InitiatorDepth
	return nil
}

// replyUD sends a SIDR_REP.
func (h *Host) replyUD(i *id, status uint8, p *uapi.UCMConnParam) error {
	r := &cm.SIDRRep{Status: status, ServiceID: cm.ServiceID(i.ps, i.src.Port), Private: append([]byte(nil), p.PrivateData[:p.PrivateDataLen]...)}
	if status == cm.SIDRSuccess {
		i.defaultQKey()
		r.QPN, r.QKey, r.ECE = i.qpn, i.qkey, i.ece
	}
	return h.machine.ReplySIDR(h.clock(), i.conn, r)
}

// defaultQKey is the QKey of the ID's port space, unless it has another.
func (i *id) defaultQKey() {
	if i.qkey == 0 && (i.ps == uapi.PortSpaceUDP || i.ps == uapi.PortSpaceIB) {
		i.qkey = qkeyUDP
	}
}

// reject refuses a request, or a reply.
func (k *call) reject() error {
	var q uapi.UCMRejectReq
	if err := k.u.Decode(&q); err != nil {
		return err
	}
	reason := uint16(q.Reason)
	switch reason {
	case 0:
		reason = cm.RejConsumerDefined
	case cm.RejConsumerDefined, cm.RejVendorOptionUnsupported:
	default:
		return syscall.EINVAL
	}
	i, err := k.ch.findBound(q.ID)
	if err != nil {
		return err
	}
	if k.h.refuse(i, reason, q.PrivateData[:q.PrivateDataLen]) != nil {
		return syscall.EINVAL
	}
	return nil
}

// refuse sends a REJ, or a SIDR_REP that says no.
func (h *Host) refuse(i *id, reason uint16, private []byte) error {
	if i.conn == 0 {
		return cm.ErrUnknown
	}
	if i.qpType == verbs.TypeUD {
		p := &uapi.UCMConnParam{PrivateDataLen: uint8(len(private))}
		copy(p.PrivateData[:], private)
		return h.replyUD(i, cm.SIDRReject, p)
	}
	err := h.machine.Reject(h.clock(), i.conn, &cm.Rej{Reason: reason, Private: append([]byte(nil), private...)})
	if err == nil {
		i.link.phase = phaseNone
	}
	return err
}

// disconnect ends a connection, or agrees that the peer has. As with the kernel, it succeeds also where there is nothing to end.
func (k *call) disconnect() error {
	var q uapi.UCMDisconnectReq
	if err := k.u.Decode(&q); err != nil {
		return err
	}
	i, err := k.ch.findBound(q.ID)
	if err != nil {
		return err
	}
	switch {
	case i.state == stateListen:
	case i.conn == 0:
		return syscall.EINVAL
	default:
		i.link.over = true
		_ = k.h.machine.Disconnect(k.h.clock(), i.conn)
	}
	return nil
}

// notify says that data came before the RTU, or that the path has migrated, which changes nothing where there is one path.
func (k *call) notify() error {
	var q uapi.UCMNotifyReq
	if err := k.u.Decode(&q); err != nil {
		return err
	}
	i, err := k.ch.findBound(q.ID)
	switch {
	case err != nil:
		return err
	case i.conn != 0 && q.Event == uapi.UCMEventPathMig && i.link.phase == phaseEstablished:
		return nil
	case i.conn == 0, q.Event != uapi.UCMEventCommEst:
		return syscall.EINVAL
	case i.link.phase == phaseEstablished:
		return syscall.EISCONN
	case k.h.machine.Established(k.h.clock(), i.conn) != nil:
		return syscall.EINVAL
	}
	return nil
}
