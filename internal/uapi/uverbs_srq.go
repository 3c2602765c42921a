package uapi

// CreateSRQ asks for a shared receive queue.
type CreateSRQ struct {
	_          struct{} `c:"ib_uverbs_create_srq"`
	Response   uint64   `c:"response"`
	UserHandle uint64   `c:"user_handle"`
	PDHandle   uint32   `c:"pd_handle"`
	MaxWR      uint32   `c:"max_wr"`
	MaxSGE     uint32   `c:"max_sge"`
	SRQLimit   uint32   `c:"srq_limit"`
}

// CreateXSRQ asks for a shared receive queue of a type.
type CreateXSRQ struct {
	_          struct{} `c:"ib_uverbs_create_xsrq"`
	Response   uint64   `c:"response"`
	UserHandle uint64   `c:"user_handle"`
	SRQType    uint32   `c:"srq_type"`
	PDHandle   uint32   `c:"pd_handle"`
	MaxWR      uint32   `c:"max_wr"`
	MaxSGE     uint32   `c:"max_sge"`
	SRQLimit   uint32   `c:"srq_limit"`
	MaxNumTags uint32   `c:"max_num_tags"`
	XRCDHandle uint32   `c:"xrcd_handle"`
	CQHandle   uint32   `c:"cq_handle"`
}

// SRQTypeBasic is the only SRQType served (IB_SRQT_BASIC).
const SRQTypeBasic = 0

// CreateSRQResp is the answer to both; an SRQRing follows.
type CreateSRQResp struct {
	_         struct{} `c:"ib_uverbs_create_srq_resp"`
	SRQHandle uint32   `c:"srq_handle"`
	MaxWR     uint32   `c:"max_wr"`
	MaxSGE    uint32   `c:"max_sge"`
	SRQN      uint32   `c:"srqn"`
}

// SRQRing is the driver data of a created SRQ.
type SRQRing struct {
	_      struct{} `c:"rxe_create_srq_resp"`
	MI     MMInfo   `c:"mi"`
	SRQNum uint32   `c:"srq_num"`
	_      uint32   `c:"reserved"`
}

// ModifySRQ sets attributes of a shared receive queue; a ModifySRQUHW follows.
type ModifySRQ struct {
	_         struct{} `c:"ib_uverbs_modify_srq"`
	SRQHandle uint32   `c:"srq_handle"`
	AttrMask  uint32   `c:"attr_mask"`
	MaxWR     uint32   `c:"max_wr"`
	SRQLimit  uint32   `c:"srq_limit"`
}

// ModifySRQUHW says where the program wants the MMInfo of the new ring.
type ModifySRQUHW struct {
	_            struct{} `c:"rxe_modify_srq_cmd"`
	MMapInfoAddr uint64   `c:"mmap_info_addr"`
}

// QuerySRQ asks for a shared receive queue's attributes.
type QuerySRQ struct {
	_         struct{} `c:"ib_uverbs_query_srq"`
	Response  uint64   `c:"response"`
	SRQHandle uint32   `c:"srq_handle"`
	_         uint32   `c:"reserved"`
}

// QuerySRQResp is its answer.
type QuerySRQResp struct {
	_        struct{} `c:"ib_uverbs_query_srq_resp"`
	MaxWR    uint32   `c:"max_wr"`
	MaxSGE   uint32   `c:"max_sge"`
	SRQLimit uint32   `c:"srq_limit"`
	_        uint32   `c:"reserved"`
}

// DestroySRQ destroys a shared receive queue.
type DestroySRQ struct {
	_         struct{} `c:"ib_uverbs_destroy_srq"`
	Response  uint64   `c:"response"`
	SRQHandle uint32   `c:"srq_handle"`
	_         uint32   `c:"reserved"`
}

// DestroySRQResp tells how many of its events the program has read.
type DestroySRQResp struct {
	_              struct{} `c:"ib_uverbs_destroy_srq_resp"`
	EventsReported uint32   `c:"events_reported"`
}
