package ring

import (
	"fmt"
	"math/bits"
	"sync/atomic"
	"unsafe"

	"github.com/freeflow-rdma/freeflow/internal/shm"
	"github.com/freeflow-rdma/freeflow/internal/uapi"
)

// HeaderSize is the size of a queue's header in bytes (struct rxe_queue_buf).
const HeaderSize = uapi.QueueBufSize

// Ring is one queue. The zero Ring is no queue; Valid tells.
type Ring struct {
	base unsafe.Pointer
	mask uint32
	log2 uint8
}

// Geometry is a queue's shape: Slots is a power of two, of which one stays empty, and a slot has 1<<Log2 bytes.
type Geometry struct {
	Slots uint32
	Log2  uint8
}

// Fit gives the shape of a queue that holds entries of size bytes: as the kernel's rxe_queue_init, the next power of
// two above entries, and slots that are a power of two, at least 64 bytes.
func Fit(entries uint32, size uint32) Geometry {
	return Geometry{
		Slots: 1 << bits.Len32(entries),
		Log2:  uint8(max(6, bits.Len32(size-1))),
	}
}

// Entries is the number of entries the queue can hold at once.
func (g Geometry) Entries() uint32 { return g.Slots - 1 }

// Bytes is the memory the queue takes: header and slots, in whole pages.
func (g Geometry) Bytes() uint64 {
	return shm.PageUp(HeaderSize + uint64(g.Slots)<<g.Log2)
}

// New lays a queue out in zeroed memory of at least g.Bytes bytes.
func New(mem []byte, g Geometry) (Ring, error) {
	if uint64(len(mem)) < g.Bytes() {
		return Ring{}, fmt.Errorf("a queue of %d slots needs %d bytes, not %d", g.Slots, g.Bytes(), len(mem))
	}
	r := Ring{base: unsafe.Pointer(unsafe.SliceData(mem)), mask: g.Slots - 1, log2: g.Log2}
	*(*uint32)(unsafe.Add(r.base, uapi.QueueBufLog2ElemSize)) = uint32(g.Log2)
	*(*uint32)(unsafe.Add(r.base, uapi.QueueBufIndexMask)) = r.mask
	*(*uint32)(unsafe.Add(r.base, offDoneKept)) = doneKept
	return r, nil
}

// Valid reports whether there is a queue.
func (r *Ring) Valid() bool { return r.base != nil }

// Mask is the number of slots less one.
func (r *Ring) Mask() uint32 { return r.mask }

func (r *Ring) producer() *uint32 { return (*uint32)(unsafe.Add(r.base, uapi.QueueBufProducerIndex)) }
func (r *Ring) consumer() *uint32 { return (*uint32)(unsafe.Add(r.base, uapi.QueueBufConsumerIndex)) }

// LoadProducerAcquire reads the producer's index; entries before it are visible afterwards.
func (r *Ring) LoadProducerAcquire() uint32 { return atomic.LoadUint32(r.producer()) & r.mask }

// StoreProducerRelease publishes the entries before i.
func (r *Ring) StoreProducerRelease(i uint32) { storeRelease(r.producer(), i&r.mask) }

// StoreProducerSeqCst publishes the entries before i, and is ordered before every later load: what the
// program stored before it looked at the index is seen afterwards.
func (r *Ring) StoreProducerSeqCst(i uint32) { atomic.StoreUint32(r.producer(), i&r.mask) }

// LoadConsumerAcquire reads the consumer's index; slots before it may be overwritten afterwards.
func (r *Ring) LoadConsumerAcquire() uint32 { return atomic.LoadUint32(r.consumer()) & r.mask }

// StoreConsumerRelease gives the slots before i back to the producer.
func (r *Ring) StoreConsumerRelease(i uint32) { storeRelease(r.consumer(), i&r.mask) }

// In the header's padding the router keeps how far the entries' completions have been published, for the library to begin from
// when the router dies (docs/abi.md).
const (
	offDone     = 320
	offDoneKept = 324
	doneKept    = 0x454e4f44 // "DONE"
)

// StoreDoneRelease says that the completions of the entries before i have been published.
func (r *Ring) StoreDoneRelease(i uint32) {
	storeRelease((*uint32)(unsafe.Add(r.base, offDone)), i&r.mask)
}

// slot gives the address of slot i.
func (r *Ring) slot(i uint32) unsafe.Pointer {
	return unsafe.Add(r.base, HeaderSize+uintptr(i&r.mask)<<r.log2)
}

// slotSize is the number of bytes of a slot.
func (r *Ring) slotSize() uint32 { return 1 << r.log2 }
