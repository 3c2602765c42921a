package ring

import (
	"unsafe"

	"github.com/freeflow-rdma/freeflow/internal/uapi"
)

// What of the kernel's layouts others need too.
const (
	SendWQESize = uapi.SendWQESize // before SGEs or inline data
	RecvWQESize = uapi.RecvWQESize // before SGEs
	CQESize     = uapi.CQESlotSize
	MaxSGE      = 32

	sendFlagInline = 1 << 3
)

// SGE is one scatter/gather element: Length bytes at Addr, under LKey.
type SGE struct {
	Addr   uint64
	Length uint32
	LKey   uint32
}

// SendWQE is a router's own copy of a send queue entry. Of the union only the fields that the opcode means are of use.
type SendWQE struct {
	WRID      uint64
	Opcode    uint32
	SendFlags uint32
	Imm       uint32 // immediate data in network order as it stood, or the key to invalidate

	RemoteAddr uint64 // RDMA and atomics; MW: address of the window
	RKey       uint32
	CompareAdd uint64
	Swap       uint64

	RemoteQPN  uint32 // UD
	RemoteQKey uint32
	AHNum      uint32

	MWLength uint64 // bind MW
	MWLKey   uint32
	MWRKey   uint32
	MWNewKey uint32
	MWAccess uint32

	InlineLength uint32
	NumSGE       uint32
	SGE          [MaxSGE]SGE
}

// RecvWQE is a router's own copy of a receive queue entry.
type RecvWQE struct {
	WRID   uint64
	NumSGE uint32
	SGE    [MaxSGE]SGE
}

func u32(p unsafe.Pointer, off uintptr) uint32 { return *(*uint32)(unsafe.Add(p, off)) }
func u64(p unsafe.Pointer, off uintptr) uint64 { return *(*uint64)(unsafe.Add(p, off)) }

// The opcodes whose union member is not rdma (rdma/ib_user_verbs.h).
const (
	opCmpAndSwp = 5
	opFetchAdd  = 6
	opBindMW    = 8
	opAtomicWrt = 15
)

// ReadSend copies entry i. It reports false if the entry says more SGEs or inline data than its slot holds.
// ud says that the queue pair is UD, which gives the union another meaning.
func (r *Ring) ReadSend(i uint32, ud bool, w *SendWQE) bool {
	p := r.slot(i)
	w.WRID = u64(p, uapi.SendWQEWRID)
	w.Opcode = u32(p, uapi.SendWQEOpcode)
	w.SendFlags = u32(p, uapi.SendWQEFlags)
	w.Imm = u32(p, uapi.SendWQEEx)
	switch {
	case ud:
		w.RemoteQPN = u32(p, uapi.SendWQEUDRemoteQPN)
		w.RemoteQKey = u32(p, uapi.SendWQEUDRemoteQKey)
		w.AHNum = u32(p, uapi.SendWQEUDAHNum)
	case w.Opcode == opBindMW:
		w.RemoteAddr = u64(p, uapi.SendWQERDMARemoteAddr)
		w.MWLength = u64(p, uapi.SendWQEMWLength)
		w.MWLKey = u32(p, uapi.SendWQEMWMRLKey)
		w.MWRKey = u32(p, uapi.SendWQEMWMWRKey)
		w.MWNewKey = u32(p, uapi.SendWQEMWRKey)
		w.MWAccess = u32(p, uapi.SendWQEMWAccess)
	case w.Opcode == opCmpAndSwp || w.Opcode == opFetchAdd:
		w.RemoteAddr = u64(p, uapi.SendWQERDMARemoteAddr)
		w.CompareAdd = u64(p, uapi.SendWQEAtomicCompareAdd)
		w.Swap = u64(p, uapi.SendWQEAtomicSwap)
		w.RKey = u32(p, uapi.SendWQEAtomicRKey)
	default:
		w.RemoteAddr = u64(p, uapi.SendWQERDMARemoteAddr)
		w.RKey = u32(p, uapi.SendWQERDMARKey)
	}
	if w.Opcode == opAtomicWrt && !ud { // its 8 bytes stand where inline data do
		w.NumSGE, w.InlineLength = 0, 8
		return r.slotSize() >= SendWQESize+8
	}
	if w.SendFlags&sendFlagInline != 0 {
		w.NumSGE = 0
		w.InlineLength = u32(p, uapi.SendWQEDMA+uapi.DMAInfoLength)
		return w.InlineLength <= r.slotSize()-SendWQESize
	}
	w.InlineLength = 0
	w.NumSGE = u32(p, uapi.SendWQEDMA+uapi.DMAInfoNumSGE)
	if w.NumSGE > min(MaxSGE, (r.slotSize()-SendWQESize)/uapi.SGESize) {
		return false
	}
	copySGEs(unsafe.Add(p, SendWQESize), &w.SGE, w.NumSGE)
	return true
}

// ReadRecv copies entry i. It reports false if the entry says more SGEs than its slot holds.
func (r *Ring) ReadRecv(i uint32, w *RecvWQE) bool {
	p := r.slot(i)
	w.WRID = u64(p, uapi.RecvWQEWRID)
	w.NumSGE = u32(p, uapi.RecvWQEDMA+uapi.DMAInfoNumSGE)
	if w.NumSGE > min(MaxSGE, (r.slotSize()-RecvWQESize)/uapi.SGESize) {
		return false
	}
	copySGEs(unsafe.Add(p, RecvWQESize), &w.SGE, w.NumSGE)
	return true
}

func copySGEs(p unsafe.Pointer, to *[MaxSGE]SGE, n uint32) {
	for i := range uintptr(n) {
		to[i] = *(*SGE)(unsafe.Add(p, i*uapi.SGESize))
	}
}

// Inline gives the inline data of entry i from byte off on, which the program may still change: only ever copied, never believed.
// off is less than the InlineLength that ReadSend accepted.
func (r *Ring) Inline(i, off uint32) unsafe.Pointer {
	return unsafe.Add(r.slot(i), SendWQESize+uintptr(off))
}

// InlineUint64 reads the first 8 bytes of entry i's inline data, in the machine's order.
func (r *Ring) InlineUint64(i uint32) uint64 { return *(*uint64)(r.Inline(i, 0)) }

// CQE is a completion (struct ib_uverbs_wc).
type CQE struct {
	WRID      uint64
	Status    uint32
	Opcode    uint32
	VendorErr uint32
	ByteLen   uint32
	Imm       uint32
	QPN       uint32
	SrcQP     uint32
	WCFlags   uint32
	PKeyIndex uint16
	SLID      uint16
	SL        uint8
	DLIDBits  uint8
	PortNum   uint8
	_         uint8
}

// WriteCQE puts c into slot i.
func (r *Ring) WriteCQE(i uint32, c *CQE) { *(*CQE)(r.slot(i)) = *c }

// ReadCQE copies slot i; only ResizeCQ, which moves completions to another ring, needs it.
func (r *Ring) ReadCQE(i uint32) CQE { return *(*CQE)(r.slot(i)) }

// CopyRecv copies the whole slot i of r to slot j of another ring, whose slots are no smaller; ModifySRQ needs it.
func (r *Ring) CopyRecv(i uint32, to *Ring, j uint32) {
	n := min(r.slotSize(), to.slotSize())
	copy(unsafe.Slice((*byte)(to.slot(j)), n), unsafe.Slice((*byte)(r.slot(i)), n))
}
