package qos

// Chain is the gates that something passes, only those that bound it: at most the three of the sender and the three of the receiver.
type Chain struct {
	gate [MaxChain]*Gate
	n    int
}

// MaxChain is the most gates of a chain.
const MaxChain = 6

// Add appends the gates that bound something. What there is no room for is left out.
func (c *Chain) Add(gates []*Gate) {
	for _, g := range gates {
		if c.n < MaxChain && g.Bound() {
			c.gate[c.n] = g
			c.n++
		}
	}
}

// Empty reports whether nothing bounds what passes.
func (c *Chain) Empty() bool { return c.n == 0 }

// Ticket is what one sender has booked: an amount that may pass from a time on. It books for what it has to send, and no more than some
// 250 µs bring, so that those who share a gate take turns. The zero Ticket is none. One goroutine at a time.
type Ticket struct {
	chain    Chain
	bytes    uint64 // booked and not used
	messages uint64
	due      int64
	waited   int64 // since when the sender has waited; 0: it does not
}

// Ask gives how many bytes and messages may pass now, of as many as there are to send at least one of both if both are not zero. at is when to come
// again if nothing may. The chain is taken into account whenever something new is booked.
func (t *Ticket) Ask(now int64, c *Chain, bytes, messages uint64) (at int64) {
	if t.bytes == 0 && t.messages == 0 {
		t.book(now, c, bytes, messages)
	}
	if now < t.due {
		if t.waited == 0 {
			t.waited = now
		}
		return t.due
	}
	return 0
}

// book takes what is asked for, at most the smallest quantum of the gates.
func (t *Ticket) book(now int64, c *Chain, bytes, messages uint64) {
	t.chain = *c
	for _, g := range c.gate[:c.n] {
		bytes = min(bytes, g.quantum.Load())
	}
	t.bytes, t.messages, t.due = bytes, messages, now
	for _, g := range c.gate[:c.n] {
		t.due = max(t.due, g.Book(now, bytes, messages))
	}
	if t.due > now {
		t.due = max(t.due, now+nap)
	}
}

// Has is how many bytes of the ticket are left.
func (t *Ticket) Has() uint64 { return t.bytes }

// Open reports whether something is booked and not used.
func (t *Ticket) Open() bool { return t.bytes != 0 || t.messages != 0 }

// Use takes what has passed off the ticket, and gives for how long the sender had waited for it.
func (t *Ticket) Use(now int64, bytes, messages uint64) (waited int64) {
	t.bytes -= min(t.bytes, bytes)
	t.messages -= min(t.messages, messages)
	if t.waited != 0 {
		waited, t.waited = max(now-t.waited, 0), 0
	}
	return waited
}

// Return gives back what is left, because it will not be sent or because the gates have changed.
func (t *Ticket) Return() {
	for _, g := range t.chain.gate[:t.chain.n] {
		g.Return(t.bytes, t.messages)
	}
	*t = Ticket{waited: t.waited}
}
