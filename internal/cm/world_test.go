package cm

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/freeflow-rdma/freeflow/internal/wire"
)

const delay = 1_000_000 // of the network, each way

// world is two machines, a and b, a network between them, and a clock. What is sent arrives a millisecond later, unless fate says
// otherwise.
type world struct {
	testing.TB
	now   int64
	m     [2]*Machine
	net   []packet
	count int
	trace func(from int, r Route, mad wire.MAD, fate string)
	event func(side int, ev *Event)
	fate  func(from int, mad wire.MAD) (copies int, lateBy int64, name string)
}

type packet struct {
	at    int64
	seq   int
	to    int
	route Route // as the receiver sees it
	mad   []byte
}

var gids = [2][16]byte{{10: 0xff, 0xff, 10, 77, 0, 1}, {10: 0xff, 0xff, 10, 77, 0, 2}}

// toPeer is the route from a side to the other.
func toPeer(side int) Route { return Route{Local: Party(1 + side), Src: gids[side], Dst: gids[1-side]} }

func newWorld(t testing.TB) *world {
	w := &world{TB: t}
	for side := range 2 {
		// IDs are a0000001, a0000002 and so on, and b0000001.
		numbers := []uint32{1, 0xa000_0000 + uint32(side)<<28, 0xa + uint32(side)}
		w.m[side] = New(Config{
			Rand: func() uint32 { x := numbers[0]; numbers = numbers[1:]; return x },
			GUID: func(p Party) uint64 { return 0x0200_00ff_fe00_0000 | uint64(p) },
			Emit: func(ev *Event) {
				if w.event != nil {
					w.event(side, ev)
				}
			},
			Send: func(r Route, mad []byte) { w.send(side, r, mad) },
		})
	}
	return w
}

func (w *world) send(from int, r Route, mad []byte) {
	if len(mad) != wire.MADSize {
		w.Fatalf("%d bytes", len(mad))
	}
	copies, lateBy, name := 1, int64(0), ""
	if w.fate != nil {
		copies, lateBy, name = w.fate(from, mad)
	}
	if w.trace != nil {
		w.trace(from, r, mad, name)
	}
	if r.Dst != gids[1-from] {
		return // to nobody
	}
	for range copies {
		w.deliver(w.now+delay+lateBy, 1-from, Route{Local: Party(2 - from), Src: r.Dst, Dst: r.Src}, mad)
	}
}

func (w *world) deliver(at int64, to int, r Route, mad []byte) {
	w.count++
	w.net = append(w.net, packet{at, w.count, to, r, bytes.Clone(mad)})
	slices.SortFunc(w.net, func(x, y packet) int {
		if x.at != y.at {
			return int(x.at - y.at)
		}
		return x.seq - y.seq
	})
}

// next is when something happens.
func (w *world) next() (at int64, ok bool) {
	if len(w.net) > 0 {
		at, ok = w.net[0].at, true
	}
	for _, m := range w.m {
		if due, waits := m.Next(); waits && (!ok || due < at) {
			at, ok = due, true
		}
	}
	return at, ok
}

// step does what happens next.
func (w *world) step() {
	at, _ := w.next()
	w.now = max(w.now, at)
	if len(w.net) > 0 && w.net[0].at <= w.now {
		p := w.net[0]
		w.net = w.net[1:]
		w.m[p.to].Receive(w.now, p.route, p.mad)
		return
	}
	for _, m := range w.m {
		m.Tick(w.now)
	}
}

func (w *world) run(d int64) {
	until := w.now + d
	for {
		at, ok := w.next()
		if !ok || at > until {
			break
		}
		w.step()
	}
	w.now = until
}

// check holds the tables of a machine against each other.
func (m *Machine) check() error {
	named, occupied, armed, waits := 0, 0, 0, 0
	have := map[Party]population{}
	for id, c := range m.conns {
		if c.id != id {
			return fmt.Errorf("%x is under %x", c.id, id)
		}
		if c.known && m.remotes[c.remoteKey] == c {
			named++
		}
		if c.inQPNs {
			occupied++
			if m.qpns[c.qpnKey] != c {
				return fmt.Errorf("%x is not where its QPN is", id)
			}
		}
		if c.timerIndex >= 0 {
			armed++
			if m.timers[c.timerIndex] != c {
				return fmt.Errorf("%x is not where its timer is", id)
			}
		}
		if timed := c.state != established && c.state != repReceived && c.state != mraRepSent && c.state != dreqReceived && !c.state.unanswered(); timed != (c.timerIndex >= 0) {
			return fmt.Errorf("%x in %v has timer %d", id, c.state, c.timerIndex)
		}
		p := have[c.route.Local]
		if c.memory {
			p.memories++
		} else {
			p.connections++
		}
		if c.state.unanswered() {
			p.requests++
		}
		if c.state == timewait {
			waits++
		}
		have[c.route.Local] = p
	}
	if named != len(m.remotes) || occupied != len(m.qpns) || armed != len(m.timers) || waits != m.counters.TimeWait || len(have) != len(m.parties) {
		return fmt.Errorf("%d of %d names, %d of %d QPNs, %d of %d timers, %d of %d timewaits, %d of %d parties", named, len(m.remotes),
			occupied, len(m.qpns), armed, len(m.timers), waits, m.counters.TimeWait, len(have), len(m.parties))
	}
	total := 0
	for party, p := range have {
		if *m.parties[party] != p {
			return fmt.Errorf("party %d has %+v, counted %+v", party, p, *m.parties[party])
		}
		total += p.connections
	}
	if total != m.counters.Connections {
		return fmt.Errorf("%d connections, counted %d", total, m.counters.Connections)
	}
	return nil
}
