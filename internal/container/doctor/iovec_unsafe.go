package doctor

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// remoteIovec describes a slice of this process as if it were another's.
func remoteIovec(b []byte) unix.RemoteIovec {
	return unix.RemoteIovec{Base: uintptr(unsafe.Pointer(&b[0])), Len: len(b)}
}
