package uapi

// QueueBuf: struct rxe_queue_buf, the header in front of every ring. The program can write all of it.
const (
	QueueBufLog2ElemSize  = 0
	QueueBufIndexMask     = 4
	QueueBufProducerIndex = 128
	QueueBufConsumerIndex = 256
	QueueBufData          = 384
	QueueBufSize          = 384
)

// SendWQE: struct rxe_send_wqe, one slot of a send queue. The work request is its first member, so the offsets
// of struct rxe_send_wr are the WQE's own.
//
//	0    wr_id
//	8    reserved   opcode     send_flags  ex (imm_data | invalidate_rkey)
//	24   wr: union of rdma, atomic, ud, mw
//	144  status     state      iova
//	160  mask       first_psn  last_psn    ack_length  ssn  has_rd_atomic
//	184  dma: length, resid, cur_sge, num_sge, sge_offset, reserved
//	208  SGEs or inline data
const (
	SendWQEWRID     = 0
	SendWQEOpcode   = 12
	SendWQEFlags    = 16
	SendWQEEx       = 20
	SendWQEWR       = 24
	SendWQEStatus   = 144
	SendWQEState    = 148
	SendWQEIOVA     = 152
	SendWQEMask     = 160
	SendWQEFirstPSN = 164
	SendWQELastPSN  = 168
	SendWQEAckLen   = 172
	SendWQESSN      = 176
	SendWQERdAtomic = 180
	SendWQEDMA      = 184
	SendWQESize     = 208
	SendWRSize      = 144
)

// The arms of the union in a SendWQE, offsets from the start of the WQE.
const (
	SendWQERDMARemoteAddr = 24
	SendWQERDMARKey       = 32

	SendWQEAtomicRemoteAddr = 24
	SendWQEAtomicCompareAdd = 32
	SendWQEAtomicSwap       = 40
	SendWQEAtomicRKey       = 48

	SendWQEUDRemoteQPN  = 24
	SendWQEUDRemoteQKey = 28
	SendWQEUDPKeyIndex  = 32
	SendWQEUDAHNum      = 36
	SendWQEUDAV         = 56

	SendWQEMWAddr   = 24
	SendWQEMWLength = 32
	SendWQEMWMRLKey = 40
	SendWQEMWMWRKey = 44
	SendWQEMWRKey   = 48
	SendWQEMWAccess = 52
)

// DMAInfo: struct rxe_dma_info, at SendWQEDMA and RecvWQEDMA. SGEs (or a send's inline data) follow it.
const (
	DMAInfoLength    = 0
	DMAInfoResid     = 4
	DMAInfoCurSGE    = 8
	DMAInfoNumSGE    = 12
	DMAInfoSGEOffset = 16
	DMAInfoSGE       = 24
	DMAInfoSize      = 24
)

// SGE: struct rxe_sge.
const (
	SGEAddr   = 0
	SGELength = 8
	SGELKey   = 12
	SGESize   = 16
)

// RecvWQE: struct rxe_recv_wqe, one slot of a receive queue or shared receive queue.
const (
	RecvWQEWRID = 0
	RecvWQEDMA  = 16
	RecvWQESize = 40
)

// AV: struct rxe_av, the address vector that providers older than address handle numbers put into a UD send.
const (
	AVPortNum      = 0
	AVNetworkType  = 1
	AVDMAC         = 2
	AVDGID         = 8
	AVFlowLabel    = 24
	AVSGIDIndex    = 28
	AVHopLimit     = 29
	AVTrafficClass = 30
	AVSGIDAddr     = 32
	AVDGIDAddr     = 60
	AVSize         = 88
)

// The network types of an AV.
const (
	NetworkTypeIPv4 = 1
	NetworkTypeIPv6 = 2
)

// CQE: struct ib_uverbs_wc, what stands in a slot of a completion queue.
const (
	CQEWRID         = 0
	CQEStatus       = 8
	CQEOpcode       = 12
	CQEVendorErr    = 16
	CQEByteLen      = 20
	CQEEx           = 24
	CQEQPNum        = 28
	CQESrcQP        = 32
	CQEFlags        = 36
	CQEPKeyIndex    = 40
	CQESLID         = 42
	CQESL           = 44
	CQEDLIDPathBits = 45
	CQEPortNum      = 46
	CQESize         = 48
	CQESlotSize     = 64 // slots are a power of two
)

// CompEvent and AsyncEvent: struct ib_uverbs_comp_event_desc and ib_uverbs_async_event_desc, what a program reads from a
// completion channel and from the async descriptor.
const (
	CompEventCQHandle = 0
	CompEventSize     = 8

	AsyncEventElement = 0
	AsyncEventType    = 8
	AsyncEventSize    = 16
)
