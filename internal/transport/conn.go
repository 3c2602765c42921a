package transport

import (
	"sync"

	"github.com/freeflow-rdma/freeflow/internal/engine"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
)

// Conn is the transport's state of one queue pair.
type Conn struct {
	qp *verbs.QP
	mu sync.Mutex // the requester
}

// Open makes the state of a new queue pair.
func Open(qp *verbs.QP) *Conn { return &Conn{qp: qp} }

// Reset forgets everything: the queue pair is in RESET and no worker is at it.
func (c *Conn) Reset() {}

// Run does what is due of an RC or UC queue pair in its state: work requests, responses, timers, flushes. p may be nil.
func (c *Conn) Run(env *Env, p *Path, budget int) engine.Verdict { return engine.Idle }

// Receive takes packets of this queue pair, in the order in which they arrived. again says that the queue pair's item has something to do: the
// caller schedules it.
func (c *Conn) Receive(env *Env, p *Path, pkts []Arrived) (again bool) { return false }
