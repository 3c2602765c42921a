package verbs

import (
	"sync"
	"sync/atomic"
	"syscall"
)

// table finds objects by index: two array steps and no lock on the data path. Indices are given out from low to high
// and used again in the order they came back, so that a stale index stays unused for as long as can be.
type table[T any] struct {
	chunks []atomic.Pointer[[chunkSize]atomic.Pointer[T]]
	mu     sync.Mutex
	free   []uint32
	next   uint32
	base   uint32
	limit  uint32
	count  int

	shadowed bool
}

const (
	chunkSize = 4096
	freeDelay = 1024 // freed indices kept back before they are used again
)

// newTable makes a table of indices from base to limit-1. limit may be at most 2^24.
func newTable[T any](base, limit uint32) *table[T] {
	return &table[T]{chunks: make([]atomic.Pointer[[chunkSize]atomic.Pointer[T]], (limit+chunkSize-1)/chunkSize), next: base, base: base, limit: limit}
}

// get gives the object at an index, or nil. Any goroutine.
func (t *table[T]) get(i uint32) *T {
	if i/chunkSize >= uint32(len(t.chunks)) {
		return nil
	}
	c := t.chunks[i/chunkSize].Load()
	if c == nil {
		return nil
	}
	return c[i%chunkSize].Load()
}

// reserve takes an index without putting anything there. ENOMEM when the table is full.
func (t *table[T]) reserve() (uint32, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var i uint32
	switch {
	case len(t.free) > freeDelay || t.next == t.limit && len(t.free) > 0:
		i, t.free = t.free[0], t.free[1:]
	case t.next < t.limit:
		i = t.next
		t.next++
	default:
		return 0, syscall.ENOMEM
	}
	if t.chunks[i/chunkSize].Load() == nil {
		t.chunks[i/chunkSize].Store(new([chunkSize]atomic.Pointer[T]))
	}
	t.count++
	return i, nil
}

// put shows an object under a reserved index, replacing what was there.
func (t *table[T]) put(i uint32, v *T) {
	c := &t.chunks[i/chunkSize]
	if t.shadowed && c.Load() == nil {
		c.CompareAndSwap(nil, new([chunkSize]atomic.Pointer[T]))
	}
	c.Load()[i%chunkSize].Store(v)
}

// clear hides the object; the index stays reserved.
func (t *table[T]) clear(i uint32) { t.put(i, nil) }

// release gives an index back.
func (t *table[T]) release(i uint32) {
	t.clear(i)
	t.mu.Lock()
	t.free = append(t.free, i)
	t.count--
	t.mu.Unlock()
}

// len is the number of indices taken.
func (t *table[T]) len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.count
}

// each calls f with every object. Objects that come and go meanwhile may be seen or not.
func (t *table[T]) each(f func(i uint32, v *T)) {
	t.mu.Lock()
	end := t.next
	t.mu.Unlock()
	for i := t.base; i < end; i++ {
		if v := t.get(i); v != nil {
			f(i, v)
		}
	}
}

// add reserves an index and shows what mk makes of it.
func (t *table[T]) add(mk func(i uint32) *T) (*T, error) {
	i, err := t.reserve()
	if err != nil {
		return nil, err
	}
	v := mk(i)
	t.put(i, v)
	return v, nil
}

// shadow makes put allocate chunks as needed: for a table whose indices another table reserves.
func (t *table[T]) shadow() { t.next, t.shadowed = 1<<24, true }
