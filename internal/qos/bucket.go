package qos

import (
	"math/bits"
	"sync"
)

// second is in ns: rates are a second's, times are ns.
const second = 1_000_000_000

// Bucket is a token bucket: it fills at a rate, up to its depth, and whoever takes more than is there is told when that will have come. What was
// taken is booked at once, so that those who wait do so in the order in which they came, each for its own time only.
//
// Times are ns of one monotonic clock; one that is behind another worker's counts as that one's. Nothing is rounded away: the rest of a division is
// kept for the next. Any goroutine; the lock is held for a few instructions. The zero Bucket has no bound.
type Bucket struct {
	mu    sync.Mutex
	rate  uint64 // tokens a second; 0: no bound
	depth int64  // the most tokens
	level int64  // tokens; negative: booked in advance
	rest  uint64 // of a token, in units of 1/second
	at    int64  // until when level and rest are right
}

// Set changes rate and depth from now on. What has been saved or booked stays, but for what a smaller depth has no room for. A bucket that had no
// bound begins full.
func (b *Bucket) Set(now int64, rate, depth uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	d := int64(min(max(depth, 1), 1<<50))
	if b.rate == 0 {
		b.level, b.rest, b.at = d, 0, now
	} else {
		b.advance(now)
	}
	if b.rate, b.depth = rate, d; b.level >= d {
		b.level, b.rest = d, 0
	}
}

// Book takes n tokens and gives the time at which they are there: now, or later.
func (b *Bucket) Book(now int64, n uint64) (due int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.rate == 0 {
		return now
	}
	b.advance(now)
	b.level -= int64(n)
	if b.level >= 0 {
		return now
	}
	return b.at + b.until(-b.level)
}

// Return gives tokens back that were booked and not used.
func (b *Bucket) Return(n uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.rate == 0 {
		return
	}
	if b.level += int64(n); b.level >= b.depth {
		b.level, b.rest = b.depth, 0
	}
}

// Behind is the time until everything booked so far is there: 0 if it is.
func (b *Bucket) Behind(now int64) int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.rate == 0 {
		return 0
	}
	if b.advance(now); b.level >= 0 {
		return 0
	}
	return b.at + b.until(-b.level) - now
}

// advance fills the bucket up to now. Under mu.
func (b *Bucket) advance(now int64) {
	dt := uint64(now - b.at)
	if now <= b.at {
		return
	}
	b.at = now
	hi, lo := bits.Mul64(dt, b.rate)
	lo, carry := bits.Add64(lo, b.rest, 0)
	if hi += carry; hi >= second { // more than there can be
		b.level, b.rest = b.depth, 0
		return
	}
	tokens, rest := bits.Div64(hi, lo, second)
	if room := uint64(b.depth - b.level); tokens >= room { // level is never above depth
		b.level, b.rest = b.depth, 0
		return
	}
	b.level += int64(tokens)
	b.rest = rest
}

// farAway bounds the times that are given out: nobody waits for longer without asking again.
const farAway = 1 << 60

// until is how long it takes from at until n tokens more have come. Under mu.
func (b *Bucket) until(n int64) int64 {
	hi, lo := bits.Mul64(uint64(n), second)
	lo, borrow := bits.Sub64(lo, b.rest, 0)
	hi -= borrow
	lo, carry := bits.Add64(lo, b.rate-1, 0) // rounded up: not before they are there
	if hi += carry; hi >= b.rate {
		return farAway
	}
	ns, _ := bits.Div64(hi, lo, b.rate)
	return int64(min(ns, farAway))
}
