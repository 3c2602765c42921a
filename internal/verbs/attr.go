package verbs

// AHAttr is an address vector (struct ib_uverbs_ah_attr / ib_uverbs_qp_dest).
type AHAttr struct {
	DGID         GID
	FlowLabel    uint32
	SGIDIndex    uint8
	HopLimit     uint8
	TrafficClass uint8
	DLID         uint16
	SL           uint8
	SrcPathBits  uint8
	StaticRate   uint8
	IsGlobal     bool
	PortNum      uint8

	marked bool // TrafficClass is not what the program asked for, which is 0, but its class's
}

// AttrMask says which attributes a ModifyQP sets, as IBV_QP_*.
type AttrMask uint32

// The attribute bits of libibverbs' enum ibv_qp_attr_mask.
const (
	MaskState            AttrMask = 1 << 0
	MaskCurState         AttrMask = 1 << 1
	MaskEnSQDAsyncNotify AttrMask = 1 << 2
	MaskAccessFlags      AttrMask = 1 << 3
	MaskPKeyIndex        AttrMask = 1 << 4
	MaskPort             AttrMask = 1 << 5
	MaskQKey             AttrMask = 1 << 6
	MaskAV               AttrMask = 1 << 7
	MaskPathMTU          AttrMask = 1 << 8
	MaskTimeout          AttrMask = 1 << 9
	MaskRetryCnt         AttrMask = 1 << 10
	MaskRNRRetry         AttrMask = 1 << 11
	MaskRQPSN            AttrMask = 1 << 12
	MaskMaxRdAtomic      AttrMask = 1 << 13
	MaskAltPath          AttrMask = 1 << 14
	MaskMinRNRTimer      AttrMask = 1 << 15
	MaskSQPSN            AttrMask = 1 << 16
	MaskMaxDestRdAtomic  AttrMask = 1 << 17
	MaskPathMigState     AttrMask = 1 << 18
	MaskCap              AttrMask = 1 << 19
	MaskDestQPN          AttrMask = 1 << 20
	MaskRateLimit        AttrMask = 1 << 25
)

// QPCap are a queue pair's sizes (struct ibv_qp_cap).
type QPCap struct {
	MaxSendWR, MaxRecvWR   uint32
	MaxSendSGE, MaxRecvSGE uint32
	MaxInline              uint32
}

// QPAttr are the attributes that ModifyQP sets and QueryQP tells (struct ibv_qp_attr). AckTimeout is the 5-bit code of
// IBTA 9.7.6.1.3 (4.096 µs × 2^code, 0 for ever), MinRNRTimer the code of IBTA table 45.
type QPAttr struct {
	State, CurState    State
	PathMTU            uint8 // 1 to 5: 256 to 4096 bytes
	PathMigState       uint8
	QKey               uint32
	RQPSN, SQPSN       PSN
	DestQPN            QPN
	Access             Access
	AV, AltAV          AHAttr
	PKeyIndex          uint16
	AltPKeyIndex       uint16
	EnSQDAsyncNotify   bool
	SQDraining         bool
	MaxRdAtomic        uint8
	MaxDestRdAtomic    uint8
	MinRNRTimer        uint8
	PortNum            uint8
	AckTimeout         uint8
	RetryCnt, RNRRetry uint8
	AltPortNum         uint8
	AltTimeout         uint8
}

// QPInit is what CreateQP is asked for.
type QPInit struct {
	UserHandle     uint64
	PD             Handle
	SendCQ, RecvCQ Handle
	SRQ            Handle
	HasSRQ         bool
	Type           QPType
	SigAll         bool
	Cap            QPCap
}

// Queue says where a ring lies in the context's rings file (struct mminfo).
type Queue struct {
	Offset uint64
	Size   uint32
}

// QPInfo is CreateQP's answer. RQ is zero with an SRQ.
type QPInfo struct {
	Handle Handle
	QPN    QPN
	Cap    QPCap
	RQ, SQ Queue
}

// Extent says that the process' pages from VA are a mapping of the context's memory file at Offset. Bytes; page aligned.
type Extent struct {
	VA, Length, Offset uint64
}

// MRInit is what RegMR is asked for: Length bytes at Start in the process, known to peers as IOVA.
type MRInit struct {
	PD                  Handle
	Start, Length, IOVA uint64
	Access              Access
	Extents             []Extent
}

// MRInfo is RegMR's answer.
type MRInfo struct {
	Handle Handle
	LKey   LKey
	RKey   RKey
}

// MWInfo is AllocMW's answer.
type MWInfo struct {
	Handle Handle
	RKey   RKey
}

// CQInit is what CreateCQ is asked for. Channel is the st_ino of the completion channel's descriptor, zero for none.
type CQInit struct {
	UserHandle uint64
	CQE        uint32
	CompVector uint32
	Channel    uint64
}

// CQInfo is CreateCQ's and ResizeCQ's answer.
type CQInfo struct {
	Handle Handle
	CQE    uint32
	Queue  Queue
}

// SRQInit is what CreateSRQ is asked for.
type SRQInit struct {
	UserHandle           uint64
	PD                   Handle
	MaxWR, MaxSGE, Limit uint32
}

// SRQInfo is CreateSRQ's answer.
type SRQInfo struct {
	Handle        Handle
	MaxWR, MaxSGE uint32
	Num           uint32
	Queue         Queue
}

// SRQAttr is what QuerySRQ tells.
type SRQAttr struct {
	MaxWR, MaxSGE, Limit uint32
}

// The attribute bits of ModifySRQ (IBV_SRQ_*).
const (
	SRQMaskMaxWR uint32 = 1 << 0
	SRQMaskLimit uint32 = 1 << 1
)
