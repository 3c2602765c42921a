package simnet

// Quality is what a link does to packets. Probabilities are from 0 to 1; the zero Quality delivers everything at once.
type Quality struct {
	Delay   int64   // ns
	Jitter  int64   // up to so much more, in ns; packets keep their order
	Rate    int64   // bytes a second; 0: any
	Queue   int     // bytes that may wait for the rate; 0: any
	Mark    int     // bytes in the queue from which on packets get a congestion mark; 0: never
	Loss    float64 // lost
	Double  float64 // delivered twice
	Late    float64 // delivered after packets that were sent later
	LateBy  int64   // ns
	Corrupt float64 // one bit changed
}

// Link carries packets one way, to Deliver.
type Link struct {
	Quality
	Deliver func(b []byte, marked bool)

	// Drop decides the fate of single packets, if it is set: true loses it.
	Drop func(b []byte) bool

	net  *Net
	free int64 // when the wire has sent what waits
	last int64 // when the last packet arrives
	Lost int
	Sent int
}

// Link makes a link.
func (n *Net) Link(q Quality, deliver func(b []byte, marked bool)) *Link {
	return &Link{Quality: q, Deliver: deliver, net: n}
}

func (l *Link) chance(p float64) bool { return p > 0 && l.net.Rand.Float64() < p }

// Send takes a packet, which is the link's from now on.
func (l *Link) Send(b []byte) {
	l.Sent++
	if l.Drop != nil && l.Drop(b) || l.chance(l.Loss) {
		l.Lost++
		return
	}
	at, marked, ok := l.queue(len(b))
	if !ok {
		l.Lost++
		return
	}
	at += l.Delay
	if l.Jitter > 0 {
		at += l.net.Rand.Int64N(l.Jitter)
	}
	if l.chance(l.Late) {
		at += l.LateBy
	} else {
		at = max(at, l.last)
		l.last = at
	}
	if l.chance(l.Corrupt) && len(b) > 0 {
		b[l.net.Rand.IntN(len(b))] ^= 1 << l.net.Rand.IntN(8)
	}
	if l.chance(l.Double) {
		again := append([]byte(nil), b...)
		l.net.At(at+l.LateBy/2, func() { l.Deliver(again, marked) })
	}
	l.net.At(at, func() { l.Deliver(b, marked) })
}

// queue gives the time at which the wire has sent n bytes more.
func (l *Link) queue(n int) (at int64, marked, ok bool) {
	if l.Rate == 0 {
		return l.net.Now, false, true
	}
	wait := int((max(l.free, l.net.Now) - l.net.Now) * l.Rate / 1e9)
	if l.Queue > 0 && wait+n > l.Queue {
		return 0, false, false
	}
	l.free = max(l.free, l.net.Now) + int64(n)*1e9/l.Rate
	return l.free, l.Mark > 0 && wait > l.Mark, true
}
