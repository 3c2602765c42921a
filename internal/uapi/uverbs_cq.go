package uapi

// MMInfo says where in the device file a ring can be mapped: struct mminfo, the driver data of most answers.
type MMInfo struct {
	_      struct{} `c:"mminfo"`
	Offset uint64   `c:"offset"`
	Size   uint32   `c:"size"`
	_      uint32   `c:"pad"`
}

// CreateCompChannel asks for a completion channel.
type CreateCompChannel struct {
	_        struct{} `c:"ib_uverbs_create_comp_channel"`
	Response uint64   `c:"response"`
}

// CreateCompChannelResp is its answer. The library puts the descriptor's number in.
type CreateCompChannelResp struct {
	_  struct{} `c:"ib_uverbs_create_comp_channel_resp"`
	FD uint32   `c:"fd"`
}

// CreateCQ asks for a completion queue. CompChannel is a descriptor of the program, -1 for none.
type CreateCQ struct {
	_           struct{} `c:"ib_uverbs_create_cq"`
	Response    uint64   `c:"response"`
	UserHandle  uint64   `c:"user_handle"`
	CQE         uint32   `c:"cqe"`
	CompVector  uint32   `c:"comp_vector"`
	CompChannel int32    `c:"comp_channel"`
	Reserved    uint32   `c:"reserved"`
}

// CreateCQResp is its answer; an MMInfo follows.
type CreateCQResp struct {
	_        struct{} `c:"ib_uverbs_create_cq_resp"`
	CQHandle uint32   `c:"cq_handle"`
	CQE      uint32   `c:"cqe"`
}

// ExCreateCQ is CreateCQ with flags.
type ExCreateCQ struct {
	_           struct{} `c:"ib_uverbs_ex_create_cq"`
	UserHandle  uint64   `c:"user_handle"`
	CQE         uint32   `c:"cqe"`
	CompVector  uint32   `c:"comp_vector"`
	CompChannel int32    `c:"comp_channel"`
	CompMask    uint32   `c:"comp_mask"`
	Flags       uint32   `c:"flags"`
	Reserved    uint32   `c:"reserved"`
}

// ExCreateCQResp is its answer; an MMInfo follows.
type ExCreateCQResp struct {
	_              struct{} `c:"ib_uverbs_ex_create_cq_resp"`
	Base           CreateCQResp
	CompMask       uint32 `c:"comp_mask"`
	ResponseLength uint32 `c:"response_length"`
}

// ResizeCQ asks for another size.
type ResizeCQ struct {
	_        struct{} `c:"ib_uverbs_resize_cq"`
	Response uint64   `c:"response"`
	CQHandle uint32   `c:"cq_handle"`
	CQE      uint32   `c:"cqe"`
}

// ResizeCQResp is its answer; an MMInfo follows.
type ResizeCQResp struct {
	_   struct{} `c:"ib_uverbs_resize_cq_resp"`
	CQE uint32   `c:"cqe"`
	_   uint32   `c:"reserved"`
}

// DestroyCQ destroys a completion queue.
type DestroyCQ struct {
	_        struct{} `c:"ib_uverbs_destroy_cq"`
	Response uint64   `c:"response"`
	CQHandle uint32   `c:"cq_handle"`
	_        uint32   `c:"reserved"`
}

// DestroyCQResp tells how many of its events the program has read.
type DestroyCQResp struct {
	_                   struct{} `c:"ib_uverbs_destroy_cq_resp"`
	CompEventsReported  uint32   `c:"comp_events_reported"`
	AsyncEventsReported uint32   `c:"async_events_reported"`
}

// ReqNotifyCQ asks for an event at the next completion.
type ReqNotifyCQ struct {
	_             struct{} `c:"ib_uverbs_req_notify_cq"`
	CQHandle      uint32   `c:"cq_handle"`
	SolicitedOnly uint32   `c:"solicited_only"`
}
