package rdmacm

import (
	"syscall"

	"github.com/freeflow-rdma/freeflow/internal/uapi"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
)

// Command is one write() to the rdma_cm device.
type Command struct {
	Inode uint64 // of the channel's program end
	Aux   uint64 // MIGRATE_ID: of the old channel
	Cmd   []byte // as written, header included; it may be longer
	Data  []byte // SET_OPTION: the option's value
}

// Reply is what the program gets.
type Reply struct {
	Tokens   uint32 // so many events were withdrawn from the channel, or by MIGRATE_ID from the old one: their tokens are to be dropped
	Response []byte // for the command's response pointer; nil if it has none
}

// call is a command on its way.
type call struct {
	h    *Host
	ch   *channel
	q    Command
	u    uapi.UCMCommand
	back Reply
}

// handlers do the commands, with the lock held.
var handlers = [...]func(*call) error{
	uapi.UCMCreateID: (*call).createID, uapi.UCMDestroyID: (*call).destroyID, uapi.UCMBindIP: (*call).bindIP,
	uapi.UCMResolveIP: (*call).resolveIP, uapi.UCMResolveRoute: (*call).resolveRoute, uapi.UCMQueryRoute: (*call).queryRoute,
	uapi.UCMConnect: (*call).connect, uapi.UCMListen: (*call).listen, uapi.UCMAccept: (*call).accept, uapi.UCMReject: (*call).reject,
	uapi.UCMDisconnect: (*call).disconnect, uapi.UCMInitQPAttr: (*call).initQPAttr, uapi.UCMGetEvent: (*call).getEvent,
	uapi.UCMSetOption: (*call).setOption, uapi.UCMNotify: (*call).notify, uapi.UCMJoinIPMcast: (*call).joinIPMcast,
	uapi.UCMLeaveMcast: (*call).leaveMcast, uapi.UCMMigrateID: (*call).migrateID, uapi.UCMQuery: (*call).query, uapi.UCMBind: (*call).bind,
	uapi.UCMResolveAddr: (*call).resolveAddr, uapi.UCMJoinMcast: (*call).joinMcast,
}

// Command does what a program wrote. Errors are those that its write() fails with; EBADF for a channel that is not the container's.
// GET_EVENT does not wait: EAGAIN. It takes for granted that the program has taken a token for it.
func (h *Host) Command(c *verbs.Container, q Command) (Reply, error) {
	u, err := uapi.ParseUCM(q.Cmd)
	if err != nil {
		return Reply{}, err
	}
	k := call{h: h, q: q, u: u}
	h.enter()
	defer h.leave()
	if k.ch = h.channels[q.Inode]; k.ch == nil || k.ch.m.c != c {
		return Reply{}, syscall.EBADF
	}
	h.counters.Commands[u.Cmd].Add(1)
	if err := handlers[u.Cmd](&k); err != nil {
		h.counters.Errors.Add(1)
		return Reply{}, err
	}
	return k.back, nil
}

// answer sets the response.
func (k *call) answer(v any) { k.back.Response = k.u.Response(v) }

func (k *call) createID() error {
	var q uapi.UCMCreateIDReq
	if err := k.u.Room(4); err != nil {
		return err
	}
	if err := k.u.Decode(&q); err != nil {
		return err
	}
	t := verbs.QPType(q.QPType)
	switch q.PS {
	case uapi.PortSpaceTCP:
		t = verbs.TypeRC
	case uapi.PortSpaceUDP, uapi.PortSpaceIPoIB:
		t = verbs.TypeUD
	case uapi.PortSpaceIB:
	default:
		return syscall.EINVAL
	}
	if k.ch.m.gone {
		return syscall.ENODEV
	}
	i, err := k.h.newID(k.ch)
	if err != nil {
		return err
	}
	i.uid, i.ps, i.qpType = q.UID, q.PS, t
	k.answer(uapi.UCMCreateIDResp{ID: i.num})
	return nil
}

func (k *call) destroyID() error {
	var q uapi.UCMDestroyIDReq
	if err := k.u.Room(4); err != nil {
		return err
	}
	if err := k.u.Decode(&q); err != nil {
		return err
	}
	i, err := k.ch.find(q.ID)
	if i == nil && err != syscall.EIO {
		return err
	}
	if i == nil {
		i = k.ch.m.ids.get(q.ID)
	}
	k.back.Tokens = k.h.destroyID(i)
	k.answer(uapi.UCMDestroyIDResp{EventsReported: i.reported})
	return nil
}

// getEvent tells the oldest event. If it fails for the program's fault, the token that the program has taken is given back.
func (k *call) getEvent() error {
	var q uapi.UCMGetEventReq
	first := k.ch.events.Front()
	if first == nil {
		return syscall.EAGAIN
	}
	err := k.u.Room(uapi.UCMEventMin)
	if err == nil {
		err = k.u.Decode(&q)
	}
	if err != nil {
		k.ch.token()
		return err
	}
	e := first.Value.(*event)
	k.ch.take(e)
	e.of.reported++
	if e.group != nil {
		e.group.reported++
	}
	if e.request != nil {
		e.of.backlog++
		k.h.advance(e.of)
	}
	k.answer(e.response())
	return nil
}

// migrateID moves an ID, and what waits for it, from another channel of the container to this one.
func (k *call) migrateID() error {
	var q uapi.UCMMigrateIDReq
	if err := k.u.Room(4); err != nil {
		return err
	}
	if err := k.u.Decode(&q); err != nil {
		return err
	}
	old := k.h.channels[k.q.Aux]
	if old == nil || old.m != k.ch.m {
		return syscall.EINVAL
	}
	i, err := old.find(q.ID)
	if err != nil {
		return err
	}
	k.answer(uapi.UCMMigrateIDResp{EventsReported: i.reported})
	if old != k.ch {
		k.back.Tokens = i.move(k.ch)
	}
	return nil
}

// move puts an ID on another channel. withdrawn is how many tokens its unread events leave in the old one's socket.
func (i *id) move(to *channel) (withdrawn uint32) {
	old, waiting := i.ch, i.waiting
	i.waiting = nil
	i.ch = to
	delete(old.ids, i)
	to.ids[i] = struct{}{}
	for _, e := range waiting {
		withdrawn += old.withdraw(e)
		if r := e.request; r != nil && !r.dead { // it is not the program's yet, so that it cannot wish otherwise
			r.move(to)
		}
		to.push(e)
	}
	return withdrawn
}
