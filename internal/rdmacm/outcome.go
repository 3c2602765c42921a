package rdmacm

import (
	"syscall"

	"github.com/freeflow-rdma/freeflow/internal/cm"
	"github.com/freeflow-rdma/freeflow/internal/uapi"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
	"github.com/freeflow-rdma/freeflow/internal/wire"
)

// outcome acts upon what the machine told: cma_ib_handler and cma_sidr_rep_handler of the kernel.
func (h *Host) outcome(ev *cm.Event) {
	if ev.Kind == cm.Requested || ev.Kind == cm.SIDRRequested {
		h.requested(ev)
		return
	}
	i := h.conns[ev.ID]
	if i == nil {
		h.quit(ev.ID)
		return
	}
	switch {
	case ev.Kind == cm.TimewaitExit:
		delete(h.conns, ev.ID)
		if i.state == stateDisconnect {
			i.tell(uapi.UCMTimewaitExit, 0, params{})
		}
	case i.state == stateConnect:
		h.connected(i, ev)
	}
}

// connected is what happens to an ID in CONNECT.
func (h *Host) connected(i *id, ev *cm.Event) {
	switch ev.Kind {
	case cm.Replied:
		h.replied(i, ev.Rep)
	case cm.Established:
		i.link.phase = phaseEstablished
		i.tell(uapi.UCMEstablished, 0, params{})
	case cm.Rejected:
		i.link.phase = phaseNone
		var p params
		p.setPrivate(ev.Rej.Private)
		i.tell(uapi.UCMRejected, int32(ev.Rej.Reason), p)
	case cm.Unreachable:
		i.link.phase = phaseNone
		i.tell(uapi.UCMUnreachable, -int32(syscall.ETIMEDOUT), params{})
	case cm.DisconnectRequested, cm.Disconnected:
		i.link.phase = phaseNone
		i.state = stateDisconnect
		var status int32
		if ev.Kind == cm.Disconnected && ev.Msg == wire.AttrDisconnectRequest {
			status = -int32(syscall.ETIMEDOUT)
		}
		i.tell(uapi.UCMDisconnected, status, params{})
		if ev.Kind == cm.DisconnectRequested && i.link.over { // they crossed, and the program has said already what it wants
			_ = h.machine.Disconnect(h.clock(), i.conn)
		}
	case cm.SIDRReplied:
		h.found(i, ev.SIDRRep)
	}
}

// replied: the peer has accepted. Its program will move the queue pair, and then accept too.
func (h *Host) replied(i *id, r *cm.Rep) {
	l := &i.link
	l.phase, l.remoteQPN, l.remotePSN, l.rnrRetry = phaseRepReceived, r.QPN, r.StartPSN, r.RNRRetryCount
	l.responderResources, l.initiatorDepth = r.InitiatorDepth, r.ResponderResources
	l.timeout = ackTimeout(r.TargetAckDelay, l.timeout-1)
	_ = h.machine.Extend(h.clock(), i.conn, patience)
	p := params{qpn: r.QPN, responderResources: clip(r.InitiatorDepth), initiatorDepth: clip(r.ResponderResources), rnr: r.RNRRetryCount,
		srq: r.SRQ, flowControl: r.FlowControl, ece: r.ECE}
	p.setPrivate(r.Private)
	i.tell(uapi.UCMConnectResponse, 0, p)
}

// clip holds a number of outstanding reads to the device's limit.
func clip(n uint8) uint8 { return min(n, verbs.MaxRdAtomic) }

// found: the peer has told where its datagram service is, or that there is none.
func (h *Host) found(i *id, r *cm.SIDRRep) {
	var p params
	p.setPrivate(r.Private)
	switch {
	case r.Status != cm.SIDRSuccess:
		i.tell(uapi.UCMUnreachable, int32(r.Status), p)
	case r.QKey == 0, i.qkey != 0 && i.qkey != r.QKey:
		i.tell(uapi.UCMAddrError, -int32(syscall.EINVAL), p)
	default:
		i.qkey = r.QKey
		p.qpn, p.qkey, p.ah = r.QPN, r.QKey, i.ah()
		i.tell(uapi.UCMEstablished, 0, p)
	}
}

// ah is the address vector that leads to an ID's peer.
func (i *id) ah() uapi.AHAttr {
	return uapi.AHAttr{DGID: i.dgid, FlowLabel: i.path.FlowLabel, SGIDIndex: uint8(i.sgid), HopLimit: hopLimit, TrafficClass: i.path.TrafficClass,
		IsGlobal: 1, PortNum: 1}
}
