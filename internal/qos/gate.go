package qos

import "sync/atomic"

// Times in ns of the way in which rates are held. A worker wakes up some 50 µs late, and milliseconds when its core is taken away, so what
// comes in that time has to have room in a bucket, or the rate falls short; and nobody sleeps for less than a worker's wake-up is worth.
const (
	defaultDepth = 10_000_000 // that a bucket holds, if nobody says how much
	leastDepth   = 500_000    // that a bucket holds, whatever anybody says
	longNap      = 1_000_000  // who has to wait does so for at least this long, and then has this much to use,
	napPart      = 4          // or for this part of what the bucket holds
)

// Least depths: a packet of the largest MTU, a message; and what Rate says of no burst.
const (
	leastBytes   = 4096
	defaultBytes = 64 << 10
)

// Gate is one direction of a queue pair, of a container or of a tenant: a bucket of bits and one of messages. Any goroutine.
type Gate struct {
	bits, messages Bucket
	shut           atomic.Bool // there is a bound
	quantum        atomic.Uint64
	nap            atomic.Int64
}

// Set changes what the gate lets through from now on.
func (g *Gate) Set(now int64, r Rate) {
	burst := r.Burst
	if burst == 0 {
		burst = max(brings(r.Bits/8, defaultDepth), defaultBytes)
	}
	burst = max(burst, brings(r.Bits/8, leastDepth), leastBytes)
	g.bits.Set(now, r.Bits, 8*min(burst, 1<<46))
	g.messages.Set(now, r.Messages, max(brings(r.Messages, defaultDepth), 1))
	nap, quantum := int64(longNap), uint64(1)<<30
	if r.Bits != 0 {
		nap = int64(min(float64(burst)*8*second/float64(r.Bits)/napPart, longNap))
		quantum = max(brings(r.Bits/8, uint64(nap)), leastBytes)
	}
	g.nap.Store(nap)
	g.quantum.Store(quantum)
	g.shut.Store(r.Bits != 0 || r.Messages != 0)
}

// brings is what a rate a second brings in some ns.
func brings(rate, ns uint64) uint64 { return rate/second*ns + rate%second*ns/second }

// Bound reports whether the gate bounds anything.
func (g *Gate) Bound() bool { return g.shut.Load() }

// Book takes bytes and messages and gives the time from which on they may pass.
func (g *Gate) Book(now int64, bytes, messages uint64) (due int64) {
	due = now
	if bytes > 0 {
		due = g.bits.Book(now, 8*bytes)
	}
	if messages > 0 {
		due = max(due, g.messages.Book(now, messages))
	}
	return due
}

// Return gives back what was booked and has not passed.
func (g *Gate) Return(bytes, messages uint64) {
	if bytes > 0 {
		g.bits.Return(8 * bytes)
	}
	if messages > 0 {
		g.messages.Return(messages)
	}
}

// Behind is how long it takes until everything booked so far may pass.
func (g *Gate) Behind(now int64) int64 { return max(g.bits.Behind(now), g.messages.Behind(now)) }
