package transport

// Answering. Where two programs take turns (a request, a reply, the next request), the acknowledgement of a message can go with the program's
// own next message: one packet more in a batch that goes anyway, in place of one that costs both hosts a system call and a wake-up
// while the reply is on its way. So once our program has answered some messages at once, the acknowledgement of the next waits a moment for its
// answer. If none comes in that time, it goes alone, and so do those after it, until the program answers again as before.
const (
	answerSoon = 50_000  // ns: an answer after this is none
	answerRun  = 8       // answers in a row, from which on acknowledgements wait
	ackHold    = 250_000 // ns that they do: less than any timer of a peer that waits for them
)

// turns is how our program answers. Under qp.Resp.
type turns struct {
	run   uint8 // answers in a row
	ackAt int64 // when an acknowledgement that waits for an answer goes alone; 0: none waits
}

// cameAlone notes that one message came in one packet, and holds its acknowledgement if an answer is likely. The caller holds Resp.
func (c *Conn) cameAlone(env *Env) {
	r := &c.resp
	c.came.Store(env.Now)
	if r.owed && r.refusal == 0 && r.wait.n == 0 && r.pending.empty() && r.turns.run >= answerRun && r.turns.ackAt == 0 {
		r.turns.ackAt = env.Now + ackHold
	}
}

// cameMore ends the wait: it is no turn any more. The caller holds Resp.
func (c *Conn) cameMore() {
	c.came.Store(0)
	c.resp.turns = turns{}
}

// held reports whether the acknowledgement that is owed waits for an answer. The caller holds Resp.
func (c *Conn) held(env *Env) bool {
	r := &c.resp
	if r.turns.ackAt == 0 {
		return false
	}
	if env.Now < r.turns.ackAt && r.owed && r.refusal == 0 {
		return true
	}
	r.turns = turns{} // nobody answered
	return false
}

// answered is called when our program has sent something: what was held goes with it.
func (c *Conn) answered(env *Env, p *Path) {
	came := c.came.Load()
	if came == 0 {
		return
	}
	c.came.Store(0)
	c.qp.Resp.Lock()
	defer c.qp.Resp.Unlock()
	r := &c.resp
	if env.Now-came > answerSoon {
		r.turns.run = 0
	} else {
		r.turns.run = min(r.turns.run+1, answerRun)
	}
	if r.turns.ackAt != 0 {
		r.turns.ackAt = 0
		c.tie(env, p)
		c.acknowledge(env)
		c.busy.Store(r.unsent() || r.waiting != 0)
	}
}
