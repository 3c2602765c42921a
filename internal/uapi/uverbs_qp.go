package uapi

// QPSpec is what CREATE_QP and its extended form have in common.
type QPSpec struct {
	UserHandle    uint64 `c:"user_handle"`
	PDHandle      uint32 `c:"pd_handle"`
	SendCQHandle  uint32 `c:"send_cq_handle"`
	RecvCQHandle  uint32 `c:"recv_cq_handle"`
	SRQHandle     uint32 `c:"srq_handle"`
	MaxSendWR     uint32 `c:"max_send_wr"`
	MaxRecvWR     uint32 `c:"max_recv_wr"`
	MaxSendSGE    uint32 `c:"max_send_sge"`
	MaxRecvSGE    uint32 `c:"max_recv_sge"`
	MaxInlineData uint32 `c:"max_inline_data"`
	SQSigAll      uint8  `c:"sq_sig_all"`
	QPType        uint8  `c:"qp_type"`
	IsSRQ         uint8  `c:"is_srq"`
	Reserved      uint8  `c:"reserved"`
}

// CreateQP asks for a queue pair.
type CreateQP struct {
	_        struct{} `c:"ib_uverbs_create_qp"`
	Response uint64   `c:"response"`
	QPSpec   QPSpec
}

// ExCreateQP is CreateQP with flags.
type ExCreateQP struct {
	_               struct{} `c:"ib_uverbs_ex_create_qp"`
	QPSpec          QPSpec
	CompMask        uint32 `c:"comp_mask"`
	CreateFlags     uint32 `c:"create_flags"`
	RWQIndTblHandle uint32 `c:"rwq_ind_tbl_handle"`
	SourceQPN       uint32 `c:"source_qpn"`
}

// CreateQPResp is the answer; a QPRings follows.
type CreateQPResp struct {
	_             struct{} `c:"ib_uverbs_create_qp_resp"`
	QPHandle      uint32   `c:"qp_handle"`
	QPN           uint32   `c:"qpn"`
	MaxSendWR     uint32   `c:"max_send_wr"`
	MaxRecvWR     uint32   `c:"max_recv_wr"`
	MaxSendSGE    uint32   `c:"max_send_sge"`
	MaxRecvSGE    uint32   `c:"max_recv_sge"`
	MaxInlineData uint32   `c:"max_inline_data"`
	_             uint32   `c:"reserved"`
}

// ExCreateQPResp is the answer to the extended form; a QPRings follows.
type ExCreateQPResp struct {
	_              struct{} `c:"ib_uverbs_ex_create_qp_resp"`
	Base           CreateQPResp
	CompMask       uint32 `c:"comp_mask"`
	ResponseLength uint32 `c:"response_length"`
}

// QPRings is the driver data of a created QP. RQ is zero with an SRQ.
type QPRings struct {
	_  struct{} `c:"rxe_create_qp_resp"`
	RQ MMInfo   `c:"rq_mi"`
	SQ MMInfo   `c:"sq_mi"`
}

// QPDest is an address vector as QUERY_QP and MODIFY_QP have it.
type QPDest struct {
	_            struct{} `c:"ib_uverbs_qp_dest"`
	DGID         [16]byte `c:"dgid"`
	FlowLabel    uint32   `c:"flow_label"`
	DLID         uint16   `c:"dlid"`
	_            uint16   `c:"reserved"`
	SGIDIndex    uint8    `c:"sgid_index"`
	HopLimit     uint8    `c:"hop_limit"`
	TrafficClass uint8    `c:"traffic_class"`
	SL           uint8    `c:"sl"`
	SrcPathBits  uint8    `c:"src_path_bits"`
	StaticRate   uint8    `c:"static_rate"`
	IsGlobal     uint8    `c:"is_global"`
	PortNum      uint8    `c:"port_num"`
}

// QueryQP asks for a queue pair's attributes.
type QueryQP struct {
	_        struct{} `c:"ib_uverbs_query_qp"`
	Response uint64   `c:"response"`
	QPHandle uint32   `c:"qp_handle"`
	AttrMask uint32   `c:"attr_mask"`
}

// QueryQPResp is its answer.
type QueryQPResp struct {
	_               struct{} `c:"ib_uverbs_query_qp_resp"`
	Dest            QPDest   `c:"dest"`
	AltDest         QPDest   `c:"alt_dest"`
	MaxSendWR       uint32   `c:"max_send_wr"`
	MaxRecvWR       uint32   `c:"max_recv_wr"`
	MaxSendSGE      uint32   `c:"max_send_sge"`
	MaxRecvSGE      uint32   `c:"max_recv_sge"`
	MaxInlineData   uint32   `c:"max_inline_data"`
	QKey            uint32   `c:"qkey"`
	RQPSN           uint32   `c:"rq_psn"`
	SQPSN           uint32   `c:"sq_psn"`
	DestQPNum       uint32   `c:"dest_qp_num"`
	QPAccessFlags   uint32   `c:"qp_access_flags"`
	PKeyIndex       uint16   `c:"pkey_index"`
	AltPKeyIndex    uint16   `c:"alt_pkey_index"`
	QPState         uint8    `c:"qp_state"`
	CurQPState      uint8    `c:"cur_qp_state"`
	PathMTU         uint8    `c:"path_mtu"`
	PathMigState    uint8    `c:"path_mig_state"`
	SQDraining      uint8    `c:"sq_draining"`
	MaxRdAtomic     uint8    `c:"max_rd_atomic"`
	MaxDestRdAtomic uint8    `c:"max_dest_rd_atomic"`
	MinRNRTimer     uint8    `c:"min_rnr_timer"`
	PortNum         uint8    `c:"port_num"`
	Timeout         uint8    `c:"timeout"`
	RetryCnt        uint8    `c:"retry_cnt"`
	RNRRetry        uint8    `c:"rnr_retry"`
	AltPortNum      uint8    `c:"alt_port_num"`
	AltTimeout      uint8    `c:"alt_timeout"`
	SQSigAll        uint8    `c:"sq_sig_all"`
	_               [5]byte  `c:"reserved"`
}

// ModifyQP sets attributes of a queue pair.
type ModifyQP struct {
	_                struct{} `c:"ib_uverbs_modify_qp"`
	Dest             QPDest   `c:"dest"`
	AltDest          QPDest   `c:"alt_dest"`
	QPHandle         uint32   `c:"qp_handle"`
	AttrMask         uint32   `c:"attr_mask"`
	QKey             uint32   `c:"qkey"`
	RQPSN            uint32   `c:"rq_psn"`
	SQPSN            uint32   `c:"sq_psn"`
	DestQPNum        uint32   `c:"dest_qp_num"`
	QPAccessFlags    uint32   `c:"qp_access_flags"`
	PKeyIndex        uint16   `c:"pkey_index"`
	AltPKeyIndex     uint16   `c:"alt_pkey_index"`
	QPState          uint8    `c:"qp_state"`
	CurQPState       uint8    `c:"cur_qp_state"`
	PathMTU          uint8    `c:"path_mtu"`
	PathMigState     uint8    `c:"path_mig_state"`
	EnSQDAsyncNotify uint8    `c:"en_sqd_async_notify"`
	MaxRdAtomic      uint8    `c:"max_rd_atomic"`
	MaxDestRdAtomic  uint8    `c:"max_dest_rd_atomic"`
	MinRNRTimer      uint8    `c:"min_rnr_timer"`
	PortNum          uint8    `c:"port_num"`
	Timeout          uint8    `c:"timeout"`
	RetryCnt         uint8    `c:"retry_cnt"`
	RNRRetry         uint8    `c:"rnr_retry"`
	AltPortNum       uint8    `c:"alt_port_num"`
	AltTimeout       uint8    `c:"alt_timeout"`
	_                [2]byte  `c:"reserved"`
}

// ExModifyQP is ModifyQP with a rate limit.
type ExModifyQP struct {
	_         struct{} `c:"ib_uverbs_ex_modify_qp"`
	Base      ModifyQP `c:"base"`
	RateLimit uint32   `c:"rate_limit"`
	Reserved  uint32   `c:"reserved"`
}

// ExModifyQPResp is its answer.
type ExModifyQPResp struct {
	_              struct{} `c:"ib_uverbs_ex_modify_qp_resp"`
	CompMask       uint32   `c:"comp_mask"`
	ResponseLength uint32   `c:"response_length"`
}

// DestroyQP destroys a queue pair.
type DestroyQP struct {
	_        struct{} `c:"ib_uverbs_destroy_qp"`
	Response uint64   `c:"response"`
	QPHandle uint32   `c:"qp_handle"`
	_        uint32   `c:"reserved"`
}

// DestroyQPResp tells how many of its events the program has read.
type DestroyQPResp struct {
	_              struct{} `c:"ib_uverbs_destroy_qp_resp"`
	EventsReported uint32   `c:"events_reported"`
}

// PostSend with a WRCount of zero is the doorbell. Work requests in the command are not served.
type PostSend struct {
	_        struct{} `c:"ib_uverbs_post_send"`
	Response uint64   `c:"response"`
	QPHandle uint32   `c:"qp_handle"`
	WRCount  uint32   `c:"wr_count"`
	SGECount uint32   `c:"sge_count"`
	WQESize  uint32   `c:"wqe_size"`
}

// PostSendResp is its answer.
type PostSendResp struct {
	_     struct{} `c:"ib_uverbs_post_send_resp"`
	BadWR uint32   `c:"bad_wr"`
}

// AttachMcast attaches a queue pair to a multicast group; DETACH_MCAST has the same layout.
type AttachMcast struct {
	_        struct{} `c:"ib_uverbs_attach_mcast"`
	GID      [16]byte `c:"gid"`
	QPHandle uint32   `c:"qp_handle"`
	MLID     uint16   `c:"mlid"`
	_        uint16   `c:"reserved"`
}
