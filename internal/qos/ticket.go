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

// Book takes bytes and messages from every gate, and gives the time from which on they may pass.
func (c *Chain) Book(now int64, bytes, messages uint64) (due int64) {
	due = now
	for _, g := range c.gate[:c.n] {
		due = max(due, g.Book(now, bytes, messages))
	}
	return due
}

// Behind is how long it takes until everything booked so far may pass all gates.
func (c *Chain) Behind(now int64) (ns int64) {
	for _, g := range c.gate[:c.n] {
		ns = max(ns, g.Behind(now))
	}
	return ns
}

// Ticket is what one sender has booked and waits for. It books for what it has to send, and no more than a ms brings, so that those who share a
// gate take turns. The zero Ticket is none. One goroutine at a time.
type Ticket struct {
	chain    Chain
	bytes    uint64
	messages uint64
	due      int64
	since    int64 // when the sender began to wait; 0: it does not
}

// Grant is what Ask gives.
type Grant struct {
	Bytes  uint64 // that may pass now, with the messages asked for
	At     int64  // when to ask again, if nothing may pass now; else 0
	Waited int64  // ns since the sender began to wait for what it has now
}

// Ask books bytes and messages that are to pass a chain, and says whether they may now. What was granted is used up, whatever becomes of it; of what
// is more than a quantum a part is granted. Until then the same is to be asked for, or Return called.
func (t *Ticket) Ask(now int64, c *Chain, bytes, messages uint64) Grant {
	if !t.Open() {
		t.book(now, c, bytes, messages)
	}
	if now < t.due {
		if t.since == 0 {
			t.since = now
		}
		return Grant{At: t.due}
	}
	g := Grant{Bytes: t.bytes}
	if t.since != 0 {
		g.Waited = now - t.since
	}
	*t = Ticket{}
	return g
}

// book takes what is asked for, at most the smallest quantum of the gates.
func (t *Ticket) book(now int64, c *Chain, bytes, messages uint64) {
	nap := int64(longNap)
	for _, g := range c.gate[:c.n] {
		bytes, nap = min(bytes, g.quantum.Load()), min(nap, g.nap.Load())
	}
	t.chain, t.bytes, t.messages = *c, bytes, messages
	if t.due = c.Book(now, bytes, messages); t.due > now {
		t.due = max(t.due, now+nap)
	}
}

// Open reports whether something is booked and waited for.
func (t *Ticket) Open() bool { return t.due != 0 }

// Return gives back what is booked, because it will not be sent or because the gates have changed.
func (t *Ticket) Return() {
	for _, g := range t.chain.gate[:t.chain.n] {
		g.Return(t.bytes, t.messages)
	}
	*t = Ticket{since: t.since}
}
