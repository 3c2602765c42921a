package udp

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/freeflow-rdma/freeflow/internal/mem"
)

// The kernel's structures of sendmmsg(2) and recvmmsg(2). An iovec keeps what it points to alive, and must not outlive the
// mapping of registered memory: Flush clears it. A msghdr has its addresses as numbers; its owner keeps alive what is there.
type (
	iovec struct {
		base unsafe.Pointer
		n    uintptr
	}
	msghdr struct {
		name       uintptr
		namelen    uint32
		iov        uintptr
		iovlen     uintptr
		control    uintptr
		controllen uintptr
		flags      int32
	}
	mmsghdr struct {
		msghdr
		n uint32
	}
)

// vecOf is the iovec of b.
func vecOf(b []byte) iovec {
	return iovec{base: unsafe.Pointer(unsafe.SliceData(b)), n: uintptr(len(b))}
}

// part is the bytes from..to of what an iovec points to.
func (v iovec) part(from, to int) iovec {
	return iovec{base: unsafe.Add(v.base, from), n: uintptr(to - from)}
}

// addressOf is where b begins; b must be kept alive by somebody else.
func addressOf(b []byte) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(b))) }

// addressOfVecs is where v begins.
func addressOfVecs(v []iovec) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(v))) }

// bytesOf views the first n bytes of a mapped span.
func bytesOf(s *mem.Span, n int) []byte { return unsafe.Slice((*byte)(s.P), n) }

// The two calls below never wait (MSG_DONTWAIT), so the Go scheduler is not told of them: it would take the P of a worker
// that stays longer than some 20 µs, as one that sends a megabyte through a virtual link does, and the worker would then have to queue for
// another. The price is that a stop of the world waits for the call to end.

// sendmmsg sends messages and says how many went; an error is about the first that did not, if no message went.
func sendmmsg(fd int, msgs []mmsghdr) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall6(unix.SYS_SENDMMSG, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(msgs))),
		uintptr(len(msgs)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
	return count(n, errno), errno
}

// recvmmsg receives as many messages as there are and fit.
func recvmmsg(fd int, msgs []mmsghdr) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall6(unix.SYS_RECVMMSG, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(msgs))),
		uintptr(len(msgs)), unix.MSG_DONTWAIT, 0, 0)
	return count(n, errno), errno
}

func count(n uintptr, errno syscall.Errno) int {
	if errno != 0 {
		return 0
	}
	return int(n)
}
