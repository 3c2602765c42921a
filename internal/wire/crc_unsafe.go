package wire

import (
	"hash/crc32"
	"unsafe"
)

// crcUpdate is crc32.Update, which calls through a variable, so the compiler takes what it is given as kept for ever and moves it to the
// heap. It is not kept: so a buffer on the stack may stay there.
func crcUpdate(sum uint32, b []byte) uint32 {
	if len(b) == 0 {
		return sum
	}
	return crc32.Update(sum, crc32.IEEETable, unsafe.Slice((*byte)(hide(unsafe.Pointer(unsafe.SliceData(b)))), len(b)))
}

// hide returns p, of which escape analysis then does not know where it came from. p must not outlive the call it is used in. The stack
// does not move between the two lines: it grows where a function is entered, and shrinks only at calls.
func hide(p unsafe.Pointer) unsafe.Pointer {
	x := uintptr(p)
	return *(*unsafe.Pointer)(unsafe.Pointer(&x))
}
