package rdmacm

import (
	"slices"

	"github.com/freeflow-rdma/freeflow/internal/cm"
)

// A request for which a listener's backlog has no room waits in its line, without an ID. The kernel drops such a request, and takes it
// when the peer repeats it; here it is taken as soon as there is room, and what the peer repeats meanwhile is answered with an MRA.

// lineUp puts a request at the end of a listener's line.
func (h *Host) lineUp(listener *id, ev *cm.Event) verdict {
	if len(listener.line) >= maxLine {
		return noRoom
	}
	listener.line = append(listener.line, ev)
	h.lined[ev.ID] = listener
	_ = h.machine.Extend(h.clock(), ev.ID, patience)
	return taken
}

// advance takes the first request of a listener's line, if it has room now.
func (h *Host) advance(listener *id) {
	if listener.backlog == 0 || len(listener.line) == 0 {
		return
	}
	ev := listener.line[0]
	listener.line = listener.line[1:]
	delete(h.lined, ev.ID)
	h.requested(ev)
}

// quit takes a request out of its line: the peer does not want it any more.
func (h *Host) quit(conn cm.ID) {
	listener := h.lined[conn]
	if listener == nil {
		return
	}
	listener.line = slices.DeleteFunc(listener.line, func(ev *cm.Event) bool { return ev.ID == conn })
	delete(h.lined, conn)
	h.machine.Destroy(h.clock(), conn)
}

// disperse refuses all who stand in a listener's line.
func (h *Host) disperse(listener *id) {
	for _, ev := range listener.line {
		delete(h.lined, ev.ID)
		h.machine.Destroy(h.clock(), ev.ID)
	}
	listener.line = nil
}
