package cm

import (
	"container/heap"

	"github.com/freeflow-rdma/freeflow/internal/wire"
)

// timers is a heap of the connections that wait for a time. Those of one time go by ID, so that what happens does not depend on
// the heap's history.
type timers []*conn

func (t timers) Len() int { return len(t) }

func (t timers) Less(i, j int) bool {
	return t[i].due < t[j].due || t[i].due == t[j].due && t[i].id < t[j].id
}

func (t timers) Swap(i, j int) {
	t[i], t[j] = t[j], t[i]
	t[i].timerIndex, t[j].timerIndex = i, j
}

func (t *timers) Push(x any) {
	c := x.(*conn)
	c.timerIndex = len(*t)
	*t = append(*t, c)
}

func (t *timers) Pop() any {
	last := len(*t) - 1
	c := (*t)[last]
	(*t)[last] = nil
	*t = (*t)[:last]
	c.timerIndex = -1
	return c
}

func (m *Machine) arm(c *conn, due int64) {
	c.due = due
	if c.timerIndex < 0 {
		heap.Push(&m.timers, c)
	} else {
		heap.Fix(&m.timers, c.timerIndex)
	}
}

func (m *Machine) disarm(c *conn) {
	if c.timerIndex >= 0 {
		heap.Remove(&m.timers, c.timerIndex)
	}
}

// Next says when Tick must be called next; false if nothing waits.
func (m *Machine) Next() (at int64, ok bool) {
	if len(m.timers) == 0 {
		return 0, false
	}
	return m.timers[0].due, true
}

// Tick does what is due.
func (m *Machine) Tick(now int64) {
	for len(m.timers) > 0 && m.timers[0].due <= now {
		m.expire(now, m.timers[0])
	}
}

// await sends c.msg, and waits for its answer. The patience is what the specification gives it (12.9.8): so many tries of so long.
// Meanwhile it is sent again earlier, and more often at first, as losses are more often single than lasting (docs/design/0013).
func (m *Machine) await(now int64, c *conn) {
	c.deadline = now + c.try*(c.retries+1)
	m.fromTheBeginning(c)
	m.transmit(c.route, c.msg)
	m.arm(c, min(now+c.step, c.deadline))
}

// fromTheBeginning has the next pauses between messages be short again.
func (m *Machine) fromTheBeginning(c *conn) {
	c.step = c.try
	if m.eager(c.route) {
		c.step = min(early, c.try)
	}
}

// eager says that the peer is a router's, which takes a message that comes again for what it is.
func (m *Machine) eager(r Route) bool { return m.conf.Foreign == nil || !m.conf.Foreign(r) }

// expire does what c waited for. It always changes or ends c's timer.
func (m *Machine) expire(now int64, c *conn) {
	if c.state == timewait || c.state == sidrReplied {
		m.expireMemory(now, c)
		return
	}
	if now >= c.deadline {
		m.giveUp(now, c)
		return
	}
	m.again(c)
	c.step = min(2*c.step, c.try)
	if m.asksAfterMRA(c) {
		c.step = max(c.step, askAfterMRA)
	}
	m.arm(c, min(now+c.step, c.deadline))
}

// again sends c's message once more.
func (m *Machine) again(c *conn) {
	m.counters.Retried[messageIndex(c.msg.Attribute())]++
	m.transmit(c.route, c.msg)
}

// expireMemory ends timewait, or sends the REJ of a connection in timewait again.
func (m *Machine) expireMemory(now int64, c *conn) {
	if now >= c.deadline {
		m.remove(c)
		m.emit(c, &Event{Kind: TimewaitExit})
		return
	}
	m.again(c)
	c.step *= 2
	if c.repeats--; c.repeats == 0 {
		m.arm(c, c.deadline)
	} else {
		m.arm(c, min(now+c.step, c.deadline))
	}
}

// giveUp ends the wait for an answer that did not come.
func (m *Machine) giveUp(now int64, c *conn) {
	msg := c.msg.Attribute()
	switch c.state {
	case dreqSent:
		m.enterTimewait(now, c)
		m.emit(c, &Event{Kind: Disconnected, Msg: msg})
		return
	case reqSent, mraReqReceived:
		m.rejectTimeout(c)
		m.remove(c)
	case repSent, mraRepReceived:
		rej := m.rejectTimeout(c)
		m.emit(c, &Event{Kind: Unreachable, Msg: msg})
		m.remember(now, c, timewait, rej)
		m.insist(now, c)
		return
	default:
		m.remove(c)
	}
	m.emit(c, &Event{Kind: Unreachable, Msg: msg})
}

// enterTimewait ends a connection as far as the peer is concerned. Its names stay taken until packets that are still under way are gone
// (12.9.8.4); the peer's queue pair is free at once, as in the kernel.
func (m *Machine) enterTimewait(now int64, c *conn) {
	m.become(c, timewait)
	m.vacate(c)
	c.deadline = now + c.life
	m.arm(c, c.deadline)
}

// remember keeps the answer msg to a request that is over, for duplicates of it, and tells nothing of it any more.
func (m *Machine) remember(now int64, c *conn, s state, msg wire.MAD) {
	if m.parties[c.route.Local].memories >= maxMemories {
		m.remove(c)
		return
	}
	m.account(c, -1)
	c.state, c.orphan, c.memory, c.msg = s, true, true, msg
	m.account(c, 1)
	m.vacate(c)
	c.deadline = now + max(c.life, memory)
	if s == sidrReplied {
		c.deadline = now + memorySIDR
	}
	m.arm(c, c.deadline)
}

// insist has c's REJ, which was sent after a REP, go out a few times more. The peer may be connected already as far as it knows: it would
// not ask, and believe so for ever if the one REJ was lost.
func (m *Machine) insist(now int64, c *conn) {
	if m.conns[c.id] != c || !m.eager(c.route) {
		return
	}
	c.deadline = max(c.deadline, now+memory)
	c.repeats, c.step = repeats, early
	m.arm(c, now+early)
}
