package mem

import (
	"encoding/binary"
	"sync"
	"sync/atomic"
	"syscall"
	"unsafe"
)

// Span is N contiguous bytes of registered memory: mapped here at P, or, P being nil, at VA in Proc.
type Span struct {
	P    unsafe.Pointer
	N    int
	Proc *Process
	VA   uint64
}

// Mapped is a span of mapped memory.
func Mapped(b []byte) Span { return Span{P: unsafe.Pointer(unsafe.SliceData(b)), N: len(b)} }

// Pointed is a span of n mapped bytes at p.
func Pointed(p unsafe.Pointer, n int) Span { return Span{P: p, N: n} }

// bytes views a mapped span.
func (s *Span) bytes() []byte { return unsafe.Slice((*byte)(s.P), s.N) }

// skip drops the first n bytes. What is used up goes on pointing to its last byte: behind it another object may begin, which the
// garbage collector would take the pointer for.
func (s *Span) skip(n int) {
	s.N -= n
	if s.P != nil && s.N == 0 {
		return
	}
	if s.P != nil {
		s.P = unsafe.Add(s.P, n)
	} else {
		s.VA += uint64(n)
	}
}

func (s Span) first(n int) Span { s.N = n; return s }

func rawTransfer(trap uintptr, fd int, b []byte, va uint64) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall6(trap, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), uintptr(va), 0, 0)
	return int(n), errno
}

// Copy moves the bytes of src to dst, in order; both hold the same number of bytes. srcOK tells, with an error, whose memory was at fault:
// false the source's, true the destination's. bounce is scratch for spans of which neither is mapped.
func Copy(dst, src []Span, bounce []byte) (srcOK bool, err error) {
	if len(dst) == 1 && len(src) == 1 && dst[0].P != nil && src[0].P != nil {
		copy(dst[0].bytes(), src[0].bytes())
		return true, nil
	}
	for len(dst) > 0 && len(src) > 0 {
		d, s := &dst[0], &src[0]
		if n := min(d.N, s.N); n > 0 {
			if d.P == nil && s.P == nil {
				n = min(n, len(bounce))
			}
			if ok, err := copyOne(d.first(n), s.first(n), bounce); err != nil {
				return ok, err
			}
			d.skip(n)
			s.skip(n)
		}
		if d.N == 0 {
			dst = dst[1:]
		}
		if s.N == 0 {
			src = src[1:]
		}
	}
	return true, nil
}

func copyOne(d, s Span, bounce []byte) (srcOK bool, err error) {
	switch {
	case d.P != nil && s.P != nil:
		copy(d.bytes(), s.bytes())
		return true, nil
	case d.P != nil:
		return false, s.Proc.read(d.bytes(), s.VA)
	case s.P != nil:
		return true, d.Proc.write(s.bytes(), d.VA)
	}
	b := bounce[:d.N]
	if err := s.Proc.read(b, s.VA); err != nil {
		return false, err
	}
	return true, d.Proc.write(b, d.VA)
}

// remoteAtomics makes atomics on memory that is not mapped atomic to each other (not to the program's own).
var remoteAtomics sync.Mutex

// CompareAndSwap does an 8-byte compare and swap on the span and gives the value that stood there. The span has 8 aligned bytes.
func (s *Span) CompareAndSwap(compare, swap uint64) (uint64, error) {
	if s.P == nil {
		return s.remote(func(v uint64) uint64 {
			if v == compare {
				return swap
			}
			return v
		})
	}
	p := (*uint64)(s.P)
	for {
		v := atomic.LoadUint64(p)
		if v != compare || atomic.CompareAndSwapUint64(p, compare, swap) {
			return v, nil
		}
	}
}

// FetchAdd adds to the 8 bytes of the span and gives the value that stood there. The span has 8 aligned bytes.
func (s *Span) FetchAdd(add uint64) (uint64, error) {
	if s.P == nil {
		return s.remote(func(v uint64) uint64 { return v + add })
	}
	return atomic.AddUint64((*uint64)(s.P), add) - add, nil
}

// Store stores the 8 aligned bytes of the span at once.
func (s *Span) Store(v uint64) error {
	if s.P == nil {
		_, err := s.remote(func(uint64) uint64 { return v })
		return err
	}
	atomic.StoreUint64((*uint64)(s.P), v)
	return nil
}

func (s *Span) remote(f func(uint64) uint64) (uint64, error) {
	remoteAtomics.Lock()
	defer remoteAtomics.Unlock()
	var v uint64
	b := unsafe.Slice((*byte)(unsafe.Pointer(&v)), 8)
	if err := s.Proc.read(b, s.VA); err != nil {
		return 0, err
	}
	old := v
	v = f(v)
	return old, s.Proc.write(b, s.VA)
}

// PutUint64 stores v, in the machine's order, in the 8 bytes of dst.
func PutUint64(dst []Span, v uint64, x *Scratch) error {
	binary.NativeEndian.PutUint64(x.Bounce[:], v)
	x.C[0] = Mapped(x.Bounce[:8])
	_, err := Copy(dst, x.C[:1], nil)
	return err
}
