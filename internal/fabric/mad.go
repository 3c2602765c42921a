package fabric

import (
	"sync/atomic"

	"github.com/freeflow-rdma/freeflow/internal/engine"
	"github.com/freeflow-rdma/freeflow/internal/mem"
	"github.com/freeflow-rdma/freeflow/internal/pcap"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
	"github.com/freeflow-rdma/freeflow/internal/wire"
)

// MAD is a management datagram that came to QP 1 of a container (IBTA 13.4).
type MAD struct {
	Container *verbs.Container // whose QP 1; nil: to the host's own address, by plain RoCEv2
	Src, Dst  verbs.GID        // the sender's address, and ours
	TClass    uint8
	Bytes     []byte // 256
}

// qp1 is QP 1 of every container of the host. There is no queue pair: what is sent waits in a queue until a worker makes packets of it,
// since lanes are workers'. That worker is the one of mode low: connections may be made while others are busy with data, and not
// the other way round.
type qp1 struct {
	c     *Carrier
	item  engine.Item
	bell  engine.Doorbell // nobody's; it has the item run on the worker of mode low
	queue chan sentMAD
	take  atomic.Pointer[func(*MAD)]

	// Of the worker that runs the item.
	now sentMAD
	psn wire.PSN
	mad MAD
}

// sentMAD is a management datagram on its way out.
type sentMAD struct {
	from   *verbs.Container
	sgid   int
	dst    verbs.GID
	tclass uint8
	bytes  [wire.MADSize]byte
}

const (
	madsQueued = 1024                   // bounds what waits to be sent
	madCost    = 4 * engine.MessageCost // of a turn: each may be handed over in it
)

func (q *qp1) init(c *Carrier) {
	q.c, q.queue = c, make(chan sentMAD, madsQueued)
	q.item.Init(q, &q.bell)
}

// SetMADHandler says who takes management datagrams for QP 1. f is called on workers, on several at a time; it must not block, and what
// it is given is valid during the call. Those that came before are lost.
func (c *Carrier) SetMADHandler(f func(m *MAD)) { c.qp1.take.Store(&f) }

// SendMAD sends a management datagram from QP 1 of a container, from its address with index sgid, to QP 1 at dst. mad is 256 bytes, and is
// copied. Nobody hears of one that is lost, and the handler is never called from within. Any goroutine.
func (c *Carrier) SendMAD(from *verbs.Container, sgid int, dst verbs.GID, tclass uint8, mad []byte) {
	if sgid < 0 || sgid >= len(from.GIDs) || len(mad) != wire.MADSize {
		c.Counters.SendFaults.Add(1)
		return
	}
	m := sentMAD{from: from, sgid: sgid, dst: dst, tclass: tclass, bytes: [wire.MADSize]byte(mad)}
	select {
	case c.qp1.queue <- m:
		c.eng.Schedule(&c.qp1.item)
	default:
		c.Counters.MADsUnsent.Add(1)
	}
}

// Run is engine.Runner's.
func (q *qp1) Run(w *engine.Worker, budget int) engine.Verdict {
	for ; budget > 0; budget -= madCost {
		select {
		case q.now = <-q.queue:
			q.send(w)
		default:
			q.now.from, q.mad = nil, MAD{}
			return engine.Idle
		}
	}
	return engine.More
}

// send sends the current one.
func (q *qp1) send(w *engine.Worker) {
	c, m := q.c, &q.now
	if to, ok := c.neighbour(m); ok {
		q.show()
		q.psn = q.psn.Add(1)
		c.Counters.MADsSent.Add(1)
		q.mad = MAD{Container: to, Src: *source(m.from, m.sgid), Dst: m.dst, TClass: m.tclass, Bytes: m.bytes[:]}
		c.handMAD(&q.mad)
		return
	}
	p := c.table.Load().from(m.from, m.sgid, m.dst)
	if p == nil || p.Gone {
		c.Counters.MADsUnroutable.Add(1)
		return
	}
	c.laneOf(w).sendMAD(p.Tag.(*way), m, q.psn)
	q.psn = q.psn.Add(1)
	c.Counters.MADsSent.Add(1)
}

// neighbour finds the receiver on this host. The container is nil if it is the host itself.
func (c *Carrier) neighbour(m *sentMAD) (to *verbs.Container, ok bool) {
	if fromHost(m.from, m.sgid) {
		return nil, m.dst == m.from.GIDs[m.sgid]
	}
	if c.dev != nil {
		to = c.dev.Lookup(m.from.Network, m.dst)
	}
	return to, to != nil
}

// handMAD gives a management datagram that came to whoever takes them.
func (c *Carrier) handMAD(m *MAD) {
	c.Counters.MADsReceived.Add(1)
	if f := c.qp1.take.Load(); f != nil {
		(*f)(m)
	}
}

// madHeader is that of a packet from QP 1 to QP 1, with the bits as Linux sets them.
func madHeader(psn wire.PSN) wire.Header {
	return wire.Header{Opcode: wire.OpUDSendOnly, AckReq: true, PKey: 0xffff, DestQP: wire.QP1, PSN: psn, QKey: wire.QKeyQP1, SrcQP: wire.QP1}
}

// sendMAD leaves a management datagram to another host.
func (l *lane) sendMAD(w *way, m *sentMAD, psn wire.PSN) {
	if l.tunnel == nil || l.closed.Load() {
		return
	}
	h := madHeader(psn)
	spans := append(l.env.Scratch.A[:0], mem.Mapped(m.bytes[:]))
	if w.plain {
		l.sendPlain(w, wire.QP1, &h, spans, wire.MADSize, true)
		return
	}
	av := verbs.AHAttr{TrafficClass: m.tclass}
	o := origin{src: source(m.from, m.sgid), dst: &m.dst, av: &av, num: wire.QP1}
	l.sendTunnel(w, &o, &h, spans, wire.MADSize, true)
}

// show shows the current one to whoever captures, as the packet that it would be on a wire.
func (q *qp1) show() {
	if !q.c.Tap.Active() {
		return
	}
	m := &q.now
	q.c.Tap.Message(&pcap.Message{
		Service: wire.ServiceUD, Kind: wire.KindSend, Src: source(m.from, m.sgid).Addr(), Dst: m.dst.Addr(), SrcQP: wire.QP1, DestQP: wire.QP1,
		TrafficClass: m.tclass, PSN: q.psn, QKey: wire.QKeyQP1, Payload: []mem.Span{mem.Mapped(m.bytes[:])}, Length: wire.MADSize,
	})
}
