package rdmacm

import (
	"math"
	"time"

	"github.com/freeflow-rdma/freeflow/internal/cm"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
	"github.com/freeflow-rdma/freeflow/internal/wire"
)

// message is a MAD that came.
type message struct {
	c        *verbs.Container
	src, dst verbs.GID
	mad      [wire.MADSize]byte
}

// Receive takes a MAD that came for QP 1: src is the peer's GID, dst ours. c is the container that has dst, or nil if the message came
// to the host's own address from a peer that is no router. It does not block: what finds no room is dropped, and counted; the
// protocol repeats it. The bytes are copied.
func (h *Host) Receive(c *verbs.Container, src, dst verbs.GID, mad []byte) {
	m := message{c: c, src: src, dst: dst}
	if copy(m.mad[:], mad) != len(mad) || len(mad) != wire.MADSize {
		h.counters.Malformed.Add(1)
		return
	}
	select {
	case h.in <- m:
	default:
		h.counters.Overrun.Add(1)
	}
}

// loop takes messages and timers until the Host is closed.
func (h *Host) loop() {
	defer h.done.Done()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		if wait := h.idle(); wait > 0 {
			timer.Reset(wait)
		} else {
			h.tick()
			continue
		}
		select {
		case <-h.stop:
			return
		case <-h.wake:
		case <-timer.C:
			h.tick()
		case m := <-h.in:
			h.take(&m)
		}
	}
}

// idle says how long nothing is due. From then on, whoever makes something due sooner wakes the loop.
func (h *Host) idle() time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sleep = h.next()
	if h.sleep == math.MaxInt64 {
		return time.Hour
	}
	return time.Duration(h.sleep - h.clock())
}

// take gives the machine a message.
func (h *Host) take(m *message) {
	h.enter()
	defer h.leave()
	r := cm.Route{Local: hostParty, Src: m.dst, Dst: m.src}
	if m.c != nil && (m.c.HostGID == 0 || m.c.GIDs[m.c.HostGID] != m.dst) {
		mem := h.member(m.c)
		r.SGID = ownGID(m.c, m.dst)
		if mem == nil || r.SGID < 0 {
			h.counters.Refused.Add(1)
			return
		}
		r.Local = mem.party
	}
	h.machine.Receive(h.clock(), r, m.mad[:])
}
