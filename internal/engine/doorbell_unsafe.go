package engine

import (
	"fmt"
	"math/bits"
	"os"
	"sync/atomic"
	"unsafe"

	"github.com/freeflow-rdma/freeflow/internal/shm"
)

// The layout of the doorbell file (docs/abi.md).
const (
	doorbellMagic   = 0x42444646
	doorbellVersion = 1
	offPoll         = 0x40
	offSummary      = 0x80
	offBits         = 0x1000
	offArm          = 0x4000
	summaryWords    = 16
	handles         = 65536

	// DoorbellSize is the size of a doorbell file in bytes.
	DoorbellSize = offArm + 4*handles
)

// bell is the router's view of a doorbell file. All of it is the program's to scribble on: a bit set for nothing costs the program's own turn.
type bell struct {
	file *os.File
	mem  []byte
}

func newBell() (bell, error) {
	f, err := shm.Create("freeflow-doorbell", DoorbellSize)
	if err != nil {
		return bell{}, err
	}
	mem, err := shm.Map(f, 0, DoorbellSize)
	if err != nil {
		_ = f.Close()
		return bell{}, err
	}
	b := bell{file: f, mem: mem}
	*(*uint32)(b.at(0)) = doorbellMagic
	*(*uint32)(b.at(4)) = doorbellVersion
	return b, nil
}

func (b *bell) close() {
	shm.Unmap(b.mem)
	_ = b.file.Close()
	b.mem = nil
}

func (b *bell) at(off uintptr) unsafe.Pointer {
	return unsafe.Add(unsafe.Pointer(unsafe.SliceData(b.mem)), off)
}

// storePoll says whether the router looks at the file by itself. Sequentially consistent: a look after storePoll(false) sees
// every ring that was not accompanied by a wake-up.
func (b *bell) storePoll(on bool) {
	var v uint32
	if on {
		v = 1
	}
	atomic.StoreUint32((*uint32)(b.at(offPoll)), v)
}

// collect clears every bit that is set and calls f with its handle.
func (b *bell) collect(f func(handle uint32)) {
	for s := range uintptr(summaryWords) {
		sum := (*uint64)(b.at(offSummary + 8*s))
		if atomic.LoadUint64(sum) == 0 {
			continue
		}
		for w := atomic.SwapUint64(sum, 0); w != 0; w &= w - 1 {
			word := uint32(s)*64 + uint32(bits.TrailingZeros64(w))
			set := atomic.SwapUint64((*uint64)(b.at(offBits+8*uintptr(word))), 0)
			for ; set != 0; set &= set - 1 {
				f(word*64 + uint32(bits.TrailingZeros64(set)))
			}
		}
	}
}

// Arm is a CQ's word in the doorbell file: what kind of completion the program wants to hear of.
type Arm struct{ word *uint32 }

// The values of an Arm.
const (
	ArmNone      = 0
	ArmSolicited = 1
	ArmNext      = 2
)

// Arm gives the word of a CQ handle.
func (d *Doorbell) Arm(handle uint32) (Arm, error) {
	if handle >= handles {
		return Arm{}, fmt.Errorf("CQ handle %d is beyond the doorbell file", handle)
	}
	return Arm{(*uint32)(d.bell.at(offArm + 4*uintptr(handle)))}, nil
}

// Fire disarms and reports whether an event is due for a completion that has just been published. The load of the word is
// sequentially consistent with the store that published it.
func (a Arm) Fire(solicited bool) bool {
	v := atomic.LoadUint32(a.word)
	if v == ArmNone || v == ArmSolicited && !solicited {
		return false
	}
	return atomic.CompareAndSwapUint32(a.word, v, ArmNone)
}

// Set arms (or, with ArmNone, disarms); the library does it by itself in the usual path.
func (a Arm) Set(v uint32) { atomic.StoreUint32(a.word, v) }
