package local

import (
	"github.com/freeflow-rdma/freeflow/internal/qos"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
)

// Limits. What is carried passes the gates of the sending queue pair, container and tenant, and of the receiving ones. A message counts on the way of its
// request, its bytes on the way that they go: a READ's out of the responder and into the requester. Who has to wait says so to the
// engine and holds nothing meanwhile: no worker, no lock, and nothing of what others may have.

// admit says how many bytes of the current message may be carried now, at most a slice; -1: nothing before WakeAt. The burst holds the peer.
func (b *burst) admit(peer *verbs.QP, reply bool) int {
	qp := b.qp
	s := &qp.Send
	t := &s.Toll
	if !t.Begun {
		bytes := s.Length
		if reply {
			bytes = 0
		}
		var c qos.Chain
		qp.Egress(&c)
		peer.Ingress(&c)
		n, at := qp.Pay(t, b.w.Now(), &c, uint64(bytes), 1)
		if at != 0 {
			qp.WakeAt = at
			return -1
		}
		t.Begun, t.UpTo = true, n
	}
	if s.Done == t.UpTo && s.Done < s.Length {
		var c qos.Chain
		from, to := qp, peer
		if reply {
			from, to = peer, qp
		}
		from.Egress(&c)
		to.Ingress(&c)
		n, at := qp.Pay(t, b.w.Now(), &c, uint64(s.Length-s.Done), 0)
		if at != 0 {
			qp.WakeAt = at
			return -1
		}
		t.UpTo += n
	}
	return int(min(t.UpTo-s.Done, uint32(b.slice)))
}

// admitDatagram says whether the current datagram may go, to a peer if that is on this host.
func (b *burst) admitDatagram(peer *verbs.QP, isHere bool) bool {
	qp := b.qp
	t := &qp.Send.Toll
	if t.Begun {
		return true
	}
	var c qos.Chain
	qp.Egress(&c)
	if isHere {
		peer.Ingress(&c)
	}
	_, at := qp.Pay(t, b.w.Now(), &c, uint64(qp.Send.Length), 1) // no more than the least quantum: all of it is granted
	if at != 0 {
		qp.WakeAt = at
		return false
	}
	t.Begun = true
	return true
}

// hears says whether a member of a multicast group may hear the sender.
func (b *burst) hears(peer *verbs.QP, plain bool) bool {
	from := b.qp.Container()
	if from == peer.Container() {
		return true
	}
	sgid, g := 0, peer.Container().GIDs[0]
	if plain {
		sgid, g = from.HostGID, peer.Container().GIDs[peer.Container().HostGID]
	}
	if b.qp.MayReach(sgid, g) {
		return true
	}
	b.qp.Refuse()
	return false
}

// crowded is how far behind a member of a multicast group may be before it misses datagrams, in ns. Its limit holds nobody else up.
const crowded = 2_000_000

// spare says whether a member of a multicast group gets the current datagram.
func (b *burst) spare(peer *verbs.QP) bool {
	if !peer.Limited() {
		return true
	}
	var c qos.Chain
	peer.Ingress(&c)
	if c.Behind(b.w.Now()) > crowded {
		peer.Stats.Dropped.Add(1)
		return false
	}
	c.Book(b.w.Now(), uint64(b.qp.Send.Length), 1)
	return true
}
