package rdmacm

import (
	"bytes"
	"container/list"
	"errors"
	"slices"
	"syscall"

	"github.com/freeflow-rdma/freeflow/internal/cm"
	"github.com/freeflow-rdma/freeflow/internal/uapi"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
)

// event waits on a channel for the program to read it.
type event struct {
	of      *id    // whose reading it counts for: of a request, the listener
	group   *group // of a multicast join; else nil
	request *id    // the new ID of a request; else nil
	place   *list.Element

	uid    uint64 // as they were when it happened
	num    uint32
	kind   uapi.UCMEvent
	status int32
	params params
}

// params are the parameters of an event, of connections and of datagrams.
type params struct {
	qpn, qkey                                      uint32
	responderResources, initiatorDepth, retry, rnr uint8
	srq, flowControl                               bool
	ah                                             uapi.AHAttr
	ece                                            cm.ECE
	private                                        []byte // without the zeros at its end
	privateLen                                     int    // with them
}

// setPrivate keeps a copy of private data, which peers pad with zeros to the most that the message can carry.
func (p *params) setPrivate(b []byte) {
	p.privateLen = len(b)
	p.private = bytes.Clone(bytes.TrimRight(b, "\x00"))
}

// tell queues an event of an ID. A program that has not accepted a request yet hears nothing of it; one that does not read loses the
// oldest events of that ID.
func (i *id) tell(kind uapi.UCMEvent, status int32, p params) {
	if i.uid == 0 {
		return
	}
	plain := 0
	var oldest *event
	for _, e := range i.waiting {
		if e.request == nil && e.group == nil {
			if plain++; oldest == nil {
				oldest = e
			}
		}
	}
	if plain >= maxWaiting {
		i.ch.drop(oldest)
	}
	i.ch.push(&event{of: i, uid: i.uid, num: i.num, kind: kind, status: status, params: p})
}

// push queues an event and its token.
func (ch *channel) push(e *event) {
	e.place = ch.events.PushBack(e)
	e.of.waiting = append(e.of.waiting, e)
	ch.token()
}

// take takes an event off the queue.
func (ch *channel) take(e *event) {
	ch.events.Remove(e.place)
	e.of.waiting = slices.DeleteFunc(e.of.waiting, func(x *event) bool { return x == e })
}

// withdraw takes an event off the queue and gives how many tokens (0 or 1) the program must drop for it.
func (ch *channel) withdraw(e *event) uint32 {
	ch.take(e)
	if ch.unsent > 0 {
		ch.unsent--
		return 0
	}
	return 1
}

// drop loses an event that is too many. The token that stays makes the program ask once in vain.
func (ch *channel) drop(e *event) {
	ch.withdraw(e)
	ch.h.counters.EventsLost.Add(1)
}

// response is the event as GET_EVENT tells it.
func (e *event) response() uapi.UCMEventResp {
	r := uapi.UCMEventResp{UID: e.uid, ID: e.num, Event: e.kind, Status: e.status,
		ECE: uapi.UCMECE{VendorID: e.params.ece.VendorID, AttrMod: e.params.ece.Options}}
	p := &e.params
	if e.of.qpType == verbs.TypeUD {
		u := uapi.UCMUDParam{QPNum: p.qpn, QKey: p.qkey, AHAttr: p.ah, PrivateDataLen: uint8(p.privateLen)}
		copy(u.PrivateData[:], p.private)
		copy(r.Param[:], uapi.Encode(u))
		return r
	}
	c := uapi.UCMConnParam{QPNum: p.qpn, QKey: p.qkey, PrivateDataLen: uint8(p.privateLen), ResponderResources: p.responderResources,
		InitiatorDepth: p.initiatorDepth, RetryCount: p.retry, RNRRetryCount: p.rnr, SRQ: bit(p.srq), FlowControl: bit(p.flowControl)}
	copy(c.PrivateData[:], p.private)
	copy(r.Param[:], uapi.Encode(c))
	return r
}

// status is an error as events tell it.
func status(err error) int32 {
	var no syscall.Errno
	_ = errors.As(err, &no)
	return -int32(no)
}

func bit(b bool) uint8 {
	if b {
		return 1
	}
	return 0
}
