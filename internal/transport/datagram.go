package transport

import (
	"github.com/freeflow-rdma/freeflow/internal/engine"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
)

// SendDatagram sends the current UD work request (qp.Send, its Length set) to one address and says what it came to; the caller completes it.
// sent is false if the output has no room: try again in the next turn. No path: the datagram is lost, with success.
func SendDatagram(env *Env, p *Path, qp *verbs.QP) (status verbs.WCStatus, sent bool) {
	return verbs.WCSuccess, true
}

// ReceiveDatagram takes one UD packet for this queue pair. grh is what stands before the payload in the receive's memory (IBTA 11.4.2.1, A17.4.5.1).
// again says that the item has something to do.
func (c *Conn) ReceiveDatagram(env *Env, a *Arrived, grh *[40]byte) (again bool) { return false }

// Datagrams is the turn of a UD queue pair that has no work request left: it gives waiting datagrams to receives posted meanwhile, and drops the old.
func (c *Conn) Datagrams(env *Env) engine.Verdict { return engine.Idle }
