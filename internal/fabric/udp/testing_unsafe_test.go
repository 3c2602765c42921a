package udp

import (
	"encoding/binary"
	"os"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/freeflow-rdma/freeflow/internal/mem"
)

// at views the bytes of an iovec.
func (v *iovec) at() []byte {
	return unsafe.Slice((*byte)(v.base), v.n)
}

// contents reads a message as the kernel would: its bytes, and the segment size that its control message asks for, 0 without.
func (m *mmsghdr) contents() (b []byte, segment int) {
	for _, v := range unsafe.Slice(*(**iovec)(unsafe.Pointer(&m.iov)), m.iovlen) {
		b = append(b, v.at()...)
	}
	if m.control != 0 {
		control := unsafe.Slice(*(**byte)(unsafe.Pointer(&m.control)), m.controllen)
		segment = int(binary.NativeEndian.Uint16(control[unix.SizeofCmsghdr:]))
	}
	return b, segment
}

// elsewhere is b as the memory of a process that is not mapped.
func elsewhere(tb testing.TB, b []byte) mem.Span {
	tb.Helper()
	file, err := os.OpenFile("/proc/self/mem", os.O_RDWR, 0)
	must(tb, err)
	p := mem.NewProcess(file, os.Getpid())
	tb.Cleanup(p.Close)
	return mem.Span{N: len(b), Proc: p, VA: uint64(addressOf(b))}
}
