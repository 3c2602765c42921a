package shm

import (
	"fmt"
	"os"
	"slices"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// Arena hands out page-aligned, zeroed pieces of one memfd and keeps them mapped in the router.
//
// The file grows by segments. A small piece shares a segment with others; a piece of a quarter of a
// segment or more has a segment of its own, which is unmapped when the last of it is freed. The offsets of such
// a segment are not used again: they cost nothing in a sparse file.
type Arena struct {
	mu      sync.Mutex
	file    *os.File
	segSize uint64
	limit   uint64 // bytes that may be handed out at once
	used    uint64
	end     uint64 // size of the file
	segs    []*segment
}

// segment is one mapping of the arena's file. free and used are sorted by offset and never adjoin themselves.
type segment struct {
	base   uint64
	mem    []byte
	shared bool
	free   []extent
	taken  uint64
}

type extent struct{ off, n uint64 }

// NewArena makes an arena with segments of segSize bytes that hands out at most limit bytes at once.
func NewArena(name string, segSize, limit uint64) (*Arena, error) {
	f, err := Create(name, 0)
	if err != nil {
		return nil, err
	}
	return &Arena{file: f, segSize: PageUp(segSize), limit: limit}, nil
}

// File is the arena's memfd. It belongs to the arena.
func (a *Arena) File() *os.File { return a.file }

// Alloc hands out n bytes, rounded up to pages. It fails with ENOMEM over the limit or where no mapping can be had.
func (a *Arena) Alloc(n uint64) (uint64, error) {
	if n == 0 || n > a.limit {
		return 0, syscall.ENOMEM
	}
	n = PageUp(n)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.file == nil || a.used+n > a.limit {
		return 0, syscall.ENOMEM
	}
	if n < a.segSize/4 {
		for _, s := range a.segs {
			if off, ok := s.take(n); ok {
				a.used += n
				return off, nil
			}
		}
	}
	s, err := a.grow(n)
	if err != nil {
		return 0, err
	}
	off, _ := s.take(n)
	a.used += n
	return off, nil
}

// grow adds a segment that has room for n bytes.
func (a *Arena) grow(n uint64) (*segment, error) {
	size, shared := n, false
	if n < a.segSize/4 {
		size, shared = a.segSize, true
	}
	if err := unix.Ftruncate(int(a.file.Fd()), int64(a.end+size)); err != nil {
		return nil, syscall.ENOMEM
	}
	mem, err := Map(a.file, a.end, size)
	if err != nil {
		return nil, syscall.ENOMEM
	}
	s := &segment{base: a.end, mem: mem, shared: shared, free: []extent{{a.end, size}}}
	a.end += size
	a.segs = append(a.segs, s)
	return s, nil
}

// take cuts n bytes from the first free extent that has them.
func (s *segment) take(n uint64) (uint64, bool) {
	for i := range s.free {
		e := &s.free[i]
		if e.n < n {
			continue
		}
		off := e.off
		e.off += n
		e.n -= n
		if e.n == 0 {
			s.free = slices.Delete(s.free, i, i+1)
		}
		s.taken += n
		return off, true
	}
	return 0, false
}

// Free takes back [off, off+n), which must have been handed out and not freed since, and gives its pages to the kernel.
// It fails with EINVAL for anything else.
func (a *Arena) Free(off, n uint64) error {
	if n == 0 || off%PageSize != 0 || n > a.limit {
		return syscall.EINVAL
	}
	n = PageUp(n)
	a.mu.Lock()
	defer a.mu.Unlock()
	i := a.find(off)
	if i < 0 || !a.segs[i].holds(off, n) {
		return syscall.EINVAL
	}
	s := a.segs[i]
	if err := unix.Fallocate(int(a.file.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, int64(off), int64(n)); err != nil {
		return fmt.Errorf("punch out %d bytes of %s: %w", n, a.file.Name(), err)
	}
	s.give(off, n)
	a.used -= n
	if s.taken == 0 && !s.shared {
		Unmap(s.mem)
		a.segs = slices.Delete(a.segs, i, i+1)
	}
	return nil
}

// holds reports whether [off, off+n) lies in the segment and none of it is free.
func (s *segment) holds(off, n uint64) bool {
	if off+n < off || off < s.base || off+n > s.base+uint64(len(s.mem)) {
		return false
	}
	for _, e := range s.free {
		if off < e.off+e.n && e.off < off+n {
			return false
		}
	}
	return true
}

// give puts an extent back among the free ones and joins neighbours.
func (s *segment) give(off, n uint64) {
	i, _ := slices.BinarySearchFunc(s.free, off, func(e extent, o uint64) int {
		if e.off < o {
			return -1
		}
		return 1
	})
	s.free = slices.Insert(s.free, i, extent{off, n})
	if i+1 < len(s.free) && s.free[i].off+s.free[i].n == s.free[i+1].off {
		s.free[i].n += s.free[i+1].n
		s.free = slices.Delete(s.free, i+1, i+2)
	}
	if i > 0 && s.free[i-1].off+s.free[i-1].n == s.free[i].off {
		s.free[i-1].n += s.free[i].n
		s.free = slices.Delete(s.free, i, i+1)
	}
	s.taken -= n
}

// find gives the index of the segment that begins at or before off, or -1.
func (a *Arena) find(off uint64) int {
	i, found := slices.BinarySearchFunc(a.segs, off, func(s *segment, o uint64) int {
		switch {
		case s.base < o:
			return -1
		case s.base > o:
			return 1
		}
		return 0
	})
	if !found {
		i--
	}
	return i
}

// At gives the router's view of [off, off+n), all of which must be handed out.
func (a *Arena) At(off, n uint64) ([]byte, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	i := a.find(off)
	if n == 0 || i < 0 || !a.segs[i].holds(off, n) {
		return nil, false
	}
	s := a.segs[i]
	return s.mem[off-s.base : off-s.base+n : off-s.base+n], true
}

// Used is the number of bytes handed out.
func (a *Arena) Used() uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.used
}

// Close unmaps everything and closes the file.
func (a *Arena) Close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, s := range a.segs {
		Unmap(s.mem)
	}
	a.segs = nil
	if a.file != nil {
		_ = a.file.Close()
		a.file = nil
	}
}
