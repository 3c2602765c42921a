package engine

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// nanotime is CLOCK_MONOTONIC by way of the runtime, which reads it without a system call.
//
//go:linkname nanotime runtime.nanotime
func nanotime() int64

// Now is the time that Worker.Now tells. Any goroutine.
func (e *Engine) Now() int64 { return nanotime() }

const sysEpollPwait2 = 441

// epollWait waits for events for timeout ns, -1 for ever. Unless idle it does so behind the Go scheduler's back, which
// saves most of a microsecond a wake-up: the thread keeps its P, and a stop of the world interrupts the call.
func epollWait(ep int, events []unix.EpollEvent, timeout int64, idle bool) (int, syscall.Errno) {
	var ts *unix.Timespec
	var t unix.Timespec
	if timeout >= 0 {
		t = unix.NsecToTimespec(timeout)
		ts = &t
	}
	p := uintptr(unsafe.Pointer(unsafe.SliceData(events)))
	var n uintptr
	var errno syscall.Errno
	if idle {
		n, _, errno = syscall.Syscall6(sysEpollPwait2, uintptr(ep), p, uintptr(len(events)), uintptr(unsafe.Pointer(ts)), 0, 0)
	} else {
		n, _, errno = syscall.RawSyscall6(sysEpollPwait2, uintptr(ep), p, uintptr(len(events)), uintptr(unsafe.Pointer(ts)), 0, 0)
	}
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}
