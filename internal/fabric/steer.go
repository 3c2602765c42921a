package fabric

import (
	"sync/atomic"

	"github.com/freeflow-rdma/freeflow/internal/engine"
	"github.com/freeflow-rdma/freeflow/internal/fabric/udp"
	"github.com/freeflow-rdma/freeflow/internal/transport"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
	"github.com/freeflow-rdma/freeflow/internal/wire"
)

// Steering: packets are taken from the network on the core they arrive on, which wakes no other core and is the quickest for little. For much it
// is a waste: one core does the kernel's work and ours, of both directions, and others do nothing. So a queue pair that moves much asks its
// peer, with each packet, to say in those that come back which socket they are for (wire.Steer):
//
//   - one that sends much wants the acknowledgements where it sends, so that nobody else has to be woken to go on;
//   - one that receives much wants the packets on a core other than that on which the kernel gets them.
//
// What the peer asks for is done, since it harms nobody but itself.

// Of a queue pair's bytes in one direction.
const (
	steerSpan  = 500_000   // ns over which they are counted
	steerBegin = 384 << 10 // so many in a span are much: 6 Gbit/s
	steerKeep  = 192 << 10 // and still are, once they were: 3 Gbit/s
)

// much is what the two are on a host: not constants, for tests on slow machines.
type much struct{ begin, keep atomic.Int64 }

func (m *much) set(begin, keep int64) {
	m.begin.Store(begin)
	m.keep.Store(keep)
}

// Roles in which a queue pair asks for something.
const (
	steerNone uint32 = iota
	steerSending
	steerReceiving
)

// steering is a queue pair's. Any worker.
type steering struct {
	much    *much
	to      atomic.Uint32 // wire.Steer's To: as the peer asked for last
	from    atomic.Uint32 // wire.Steer's From
	role    atomic.Uint32
	out, in gauge
}

func (s *steering) forget() {
	s.to.Store(0)
	s.want(steerNone, 0)
}

// says is what goes with a packet.
func (s *steering) says() wire.Steer {
	return wire.Steer{To: uint8(s.to.Load()), From: uint8(s.from.Load())}
}

func (s *steering) want(role uint32, from int) {
	s.role.Store(role)
	s.from.Store(uint32(from))
}

// sent counts what leaves by the worker of a core; -1: that of none. Once a span it says if it was much.
func (s *steering) sent(now int64, n, core int) (bulk bool) {
	role := s.role.Load()
	over, much := s.out.add(now, n, s.much.of(role == steerSending))
	switch {
	case !over:
	case much && core >= 0:
		s.want(steerSending, core+1)
	case role == steerSending:
		s.want(steerNone, 0)
	}
	return much
}

// took counts what has come. Once a span it says if it was much.
func (s *steering) took(now int64, n int) (bulk bool) {
	role := s.role.Load()
	if role == steerSending {
		return false
	}
	over, much := s.in.add(now, n, s.much.of(role == steerReceiving))
	switch {
	case !over:
	case much:
		s.want(steerReceiving, udp.HintPast+1)
	case role == steerReceiving:
		s.want(steerNone, 0)
	}
	return much
}

// steer notes what the packets that wait, of a connected queue pair's, say and are.
func (in *inlet) steer(w *engine.Worker, qp *verbs.QP) {
	s := &linkOf(qp).steer
	s.asked(in.from)
	if !in.c.steers {
		return
	}
	bytes := 0
	for i := range in.batch[:in.n] {
		bytes += len(in.batch[i].Payload)
	}
	if s.took(w.Now(), bytes) && isAnswer(&in.batch[0]) && !qp.Limited() {
		w.Bulk(&qp.Item) // it reads
	}
}

// asked notes where the peer would have packets. It hardly ever changes, and others read it.
func (s *steering) asked(from uint8) {
	if to := uint32(from); s.to.Load() != to {
		s.to.Store(to)
	}
}

// isAnswer says whether a packet is a response.
func isAnswer(x *transport.Arrived) bool {
	info := x.H.Opcode.Info()
	return info != nil && !info.Request
}

// gauge says whether bytes are many.
type gauge struct {
	since, bytes atomic.Int64
}

// of gives the bytes that are much, by whether there were as many before.
func (m *much) of(were bool) int64 {
	if were {
		return m.keep.Load()
	}
	return m.begin.Load()
}

// add counts n bytes. Once a span it says that one is over, and whether there were many in it.
func (g *gauge) add(now int64, n int, much int64) (over, many bool) {
	bytes, dt := g.bytes.Add(int64(n)), now-g.since.Load()
	if dt < steerSpan {
		return false, false
	}
	g.since.Store(now)
	g.bytes.Store(0)
	return true, dt < 4*steerSpan && bytes >= much
}

// hint is where the filter of the tunnels' port finds the option.
var hint = udp.Hint{At: wire.SteerAt, Word: wire.SteerWord, To: wire.SteerTo}
