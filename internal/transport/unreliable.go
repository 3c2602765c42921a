package transport

import (
	"github.com/freeflow-rdma/freeflow/internal/wire"
)

// unreliable takes one packet of a UC queue pair (IBTA 9.8.2). A message with a gap is lost; the next first packet begins anew. The caller holds Resp.
func (c *Conn) unreliable(env *Env, a *Arrived, info *wire.Info) {
	r, qp := &c.resp, c.qp
	if r.waiting != 0 { // everything behind a message that waits waits too
		if d := a.H.PSN.Diff(wire.PSN(qp.Expected())); d < 0 || d > wire.SACKBits || r.wait.get(int(d)) != nil || !c.keep(env, a, int(d)) {
			env.Host.Counters.DropNoRecv.Add(1)
		}
		return
	}
	if d := a.H.PSN.Diff(wire.PSN(qp.Expected())); d != 0 {
		env.Host.Counters.DropPSN.Add(1)
		r.kind = 0
		if d < 0 && !info.First {
			return
		}
		qp.Expect(uint32(d) & uint32(wire.PSNMask))
	}
	if info.First {
		r.kind = 0
	} else if r.kind == 0 {
		qp.Expect(1)
		return // the rest of a message that was lost
	}
	switch c.execute(env, a) {
	case blocked:
		if c.keep(env, a, 0) {
			r.waiting = env.Now
			env.Host.Counters.Parked.Add(1)
		}
	case dropped:
		qp.Expect(1)
	}
}
