package qos

import (
	"math/big"
	"math/rand/v2"
	"sync"
	"testing"
)

// TestBucketExact: over hours and a million odd steps, not a token is lost or made: what a bucket says is what exact arithmetic says.
func TestBucketExact(t *testing.T) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 1))
		var b Bucket
		rate := 1 + r.Uint64N(100_000_000_000)
		start := r.Int64N(1 << 60)
		now := start
		b.Set(now, rate, 1<<50)
		b.Book(now, 1<<50) // what it began with
		booked := uint64(0)
		for range 20_000 {
			if r.IntN(2000) == 0 {
				now += r.Int64N(100 * second)
			} else {
				now += r.Int64N(1_000_000)
			}
			// Book more than has come, so that the bucket never runs over.
			n := rate/second*uint64(now-start) + r.Uint64N(1000) + rate/1000
			if n <= booked {
				continue
			}
			due := b.Book(now, n-booked)
			booked = n
			// due is the first ns at which rate*(due-start) >= booked*second, or now if that is over.
			want := new(big.Int).Mul(new(big.Int).SetUint64(booked), big.NewInt(second))
			want.Add(want, new(big.Int).SetUint64(rate-1)).Div(want, new(big.Int).SetUint64(rate))
			if w := start + want.Int64(); due != max(w, now) {
				t.Fatalf("seed %d: due %d, want %d (rate %d, %d ns on)", seed, due, w, rate, now-start)
			}
		}
	}
}

// TestBucketBounds: senders that come when they are told never get more than depth and rate allow in any interval, and no less than the rate if
// one of them always has something to send. The rate changes meanwhile.
func TestBucketBounds(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 2))
		var b Bucket
		now, allowed := int64(1), 0.0
		rate, depth := 1+r.Uint64N(1_000_000_000), 1+r.Uint64N(100_000)
		b.Set(now, rate, depth)
		passed, biggest := 0.0, uint64(0)
		for range 3000 {
			n := 1 + r.Uint64N(depth)
			biggest = max(biggest, n)
			due := b.Book(now, n)
			for due > now {
				step := min(due-now, 1+r.Int64N(1_000_000))
				allowed += float64(rate) * float64(step) / second
				if now += step; r.IntN(20) == 0 {
					b.Return(n)
					rate = 1 + r.Uint64N(1_000_000_000)
					b.Set(now, rate, depth)
					due = b.Book(now, n)
				}
			}
			if passed += float64(n); passed > allowed+float64(depth)+1 {
				t.Fatalf("seed %d: %v passed, allowed %v and %d at once", seed, passed, allowed, depth)
			}
			// Nobody was idle: less than one piece of what the rate brought is unused.
			if passed < allowed-float64(biggest)-1 {
				t.Fatalf("seed %d: only %v passed of %v", seed, passed, allowed)
			}
		}
	}
}

// TestBucketChange: what was booked stays booked, what was saved stays saved.
func TestBucketChange(t *testing.T) {
	var b Bucket
	if b.Book(5, 1000) != 5 {
		t.Error("a bucket without a bound holds back")
	}
	b.Set(0, 1000, 100)
	if due := b.Book(0, 600); due != second/2 {
		t.Errorf("due %d", due)
	}
	b.Set(0, 2000, 100)
	if due := b.Book(0, 0); due != second/4 {
		t.Errorf("after the rate doubled: due %d", due)
	}
	b.Set(second/4, 500, 1000)
	if n := b.Behind(second / 4); n != 0 {
		t.Errorf("behind by %d", n)
	}
	b.Set(2*second, 500, 50) // 875 are there, of which 50 have room
	if due := b.Book(2*second, 51); due != 2*second+second/500 {
		t.Errorf("due %d", due-2*second)
	}
	b.Set(2*second, 0, 0)
	b.Set(2*second, 1, 7)
	if b.Book(2*second, 7) != 2*second || b.Book(2*second-5, 1) != 3*second {
		t.Error("a bucket that had no bound begins full, and time does not run back")
	}
}

// TestBucketFar: neither years nor absurd amounts break it.
func TestBucketFar(t *testing.T) {
	var b Bucket
	b.Set(0, 1, 1)
	b.Book(0, 1<<45)
	if due := b.Book(0, 1<<45); due <= 0 {
		t.Errorf("due %d", due)
	}
	b.Set(0, 1<<40, 1<<40)
	if due := b.Book(1<<62, 1); due != 1<<62 {
		t.Errorf("due %d", due)
	}
}

// TestBucketShared: workers that book at once get no more than there is.
func TestBucketShared(t *testing.T) {
	var b Bucket
	b.Set(0, second, 1000)
	var wg sync.WaitGroup
	last := make([]int64, 4)
	for i := range last {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for range 1000 {
				last[i] = max(last[i], b.Book(0, 3))
			}
		}()
	}
	wg.Wait()
	if due := max(last[0], last[1], last[2], last[3]); due != 4*1000*3-1000 {
		t.Errorf("the last is due at %d", due)
	}
}
