package rdmacm

import (
	"slices"
	"syscall"

	"github.com/freeflow-rdma/freeflow/internal/uapi"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
)

// group is an ID's membership in a multicast group. That packets come is the queue pair's business, which the program attaches.
type group struct {
	id       *id
	num      uint32
	uid      uint64
	reported uint32
}

// multicastQPN is who a datagram to a group is for.
const multicastQPN = 0xffffff

func (k *call) joinIPMcast() error {
	var q uapi.UCMJoinIPMcastReq
	if err := k.u.Decode(&q); err != nil {
		return err
	}
	a, err := uapi.ParseSockAddr(q.Addr[:])
	if err != nil {
		return err
	}
	return k.joinGroup(q.ID, q.UID, a)
}

func (k *call) joinMcast() error {
	var q uapi.UCMJoinMcastReq
	if err := k.u.Decode(&q); err != nil {
		return err
	}
	a, err := uapi.ParseSockAddr(q.Addr[:])
	if err != nil {
		return err
	}
	if !fits(q.Addr[:], q.AddrSize) || q.JoinFlags > uapi.UCMJoinSendOnlyFullMember {
		return syscall.EINVAL
	}
	return k.joinGroup(q.ID, q.UID, a)
}

// joinGroup makes an ID a member: MULTICAST_JOIN follows.
func (k *call) joinGroup(num uint32, uid uint64, a uapi.SockAddr) error {
	if err := k.u.Room(4); err != nil {
		return err
	}
	i, err := k.ch.findBound(num)
	if err != nil {
		return err
	}
	if i.state != stateBound && i.state != stateAddrResolved || i.qpType != verbs.TypeUD || !a.Addr.Unmap().IsMulticast() {
		return syscall.EINVAL
	}
	g := &group{id: i, uid: uid}
	var ok bool
	if g.num, ok = i.m.groups.add(g); !ok {
		return syscall.ENOMEM
	}
	i.groups = append(i.groups, g)
	i.defaultQKey()
	if i.uid != 0 {
		p := params{qpn: multicastQPN, qkey: i.qkey, ah: i.groupAH(gidOf(a.Addr))}
		i.ch.push(&event{of: i, group: g, uid: uid, num: g.num, kind: uapi.UCMMulticastJoin, params: p})
	}
	k.answer(uapi.UCMCreateIDResp{ID: g.num})
	return nil
}

// groupAH is the address vector that leads to a group. The MGID of an IPv4 group is its address, mapped (annex A17.5.3), of an IPv6 one the
// address itself.
func (i *id) groupAH(mgid [16]byte) uapi.AHAttr {
	return uapi.AHAttr{DGID: mgid, SGIDIndex: uint8(i.sgid), HopLimit: hopLimit, TrafficClass: i.tos, IsGlobal: 1, PortNum: 1}
}

// leaveMcast ends a membership.
func (k *call) leaveMcast() error {
	var q uapi.UCMDestroyIDReq
	if err := k.u.Room(4); err != nil {
		return err
	}
	if err := k.u.Decode(&q); err != nil {
		return err
	}
	g := k.ch.m.groups.get(q.ID)
	switch {
	case g == nil:
		return syscall.ENOENT
	case g.id.ch != k.ch:
		return syscall.EINVAL
	case g.id.state == stateRemoved:
		return syscall.ENXIO
	}
	for _, e := range slices.Clone(g.id.waiting) {
		if e.group == g {
			k.back.Tokens += k.ch.withdraw(e)
		}
	}
	g.id.groups = slices.DeleteFunc(g.id.groups, func(x *group) bool { return x == g })
	g.id.m.groups.remove(g.num)
	k.answer(uapi.UCMDestroyIDResp{EventsReported: g.reported})
	return nil
}
