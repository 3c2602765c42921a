package mem

import (
	"os"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// Process is the address space of one connected process. Safe for any goroutine.
type Process struct {
	PID  int
	file *os.File
	fd   int
	gone atomic.Bool
	once sync.Once
}

// NewProcess takes over the /proc/PID/mem file of a process, opened for reading and writing.
func NewProcess(file *os.File, pid int) *Process {
	return &Process{PID: pid, file: file, fd: int(file.Fd())}
}

// Gone says that the process has left: every access fails from now on.
func (p *Process) Gone() { p.gone.Store(true) }

// Close gives the file back. No worker may be in an access any more: call Gone, let the workers quiesce, then Close.
func (p *Process) Close() {
	p.Gone()
	p.once.Do(func() { _ = p.file.Close() })
}

// read fills b from the process' memory at va. EFAULT if not all of it is there.
func (p *Process) read(b []byte, va uint64) error {
	return p.transfer(unix.SYS_PREAD64, b, va)
}

// write copies b to the process' memory at va. EFAULT if not all of it is there or may be written.
func (p *Process) write(b []byte, va uint64) error {
	return p.transfer(unix.SYS_PWRITE64, b, va)
}

func (p *Process) transfer(trap uintptr, b []byte, va uint64) error {
	for len(b) > 0 {
		if p.gone.Load() {
			return syscall.EFAULT
		}
		n, errno := rawTransfer(trap, p.fd, b, va)
		if errno == syscall.EINTR {
			continue
		}
		if errno != 0 || n <= 0 {
			return syscall.EFAULT
		}
		b, va = b[n:], va+uint64(n)
	}
	return nil
}
