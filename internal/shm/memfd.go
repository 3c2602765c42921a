package shm

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// PageSize is the machine's page size in bytes.
var PageSize = uint64(os.Getpagesize())

// PageUp rounds n up to a whole number of pages.
func PageUp(n uint64) uint64 { return (n + PageSize - 1) &^ (PageSize - 1) }

// Create makes a memfd of size bytes that can grow but never shrink.
func Create(name string, size uint64) (*os.File, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, fmt.Errorf("memfd_create %s: %w", name, err)
	}
	f := os.NewFile(uintptr(fd), name)
	if err := unix.Ftruncate(fd, int64(size)); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("size %s: %w", name, err)
	}
	if _, err := unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, unix.F_SEAL_SHRINK); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("seal %s: %w", name, err)
	}
	return f, nil
}

// Map maps [off, off+size) of a shared file for reading and writing.
func Map(f *os.File, off, size uint64) ([]byte, error) {
	b, err := unix.Mmap(int(f.Fd()), int64(off), int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_NORESERVE)
	if err != nil {
		return nil, fmt.Errorf("map %s: %w", f.Name(), err)
	}
	return b, nil
}

// Unmap undoes Map.
func Unmap(b []byte) {
	if b != nil {
		_ = unix.Munmap(b)
	}
}
