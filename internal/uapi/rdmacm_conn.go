package uapi

// UCMConnParam are the parameters of a connection, in commands and in events.
type UCMConnParam struct {
	_                  struct{}  `c:"rdma_ucm_conn_param"`
	QPNum              uint32    `c:"qp_num"`
	QKey               uint32    `c:"qkey"`
	PrivateData        [256]byte `c:"private_data"`
	PrivateDataLen     uint8     `c:"private_data_len"`
	SRQ                uint8     `c:"srq"`
	ResponderResources uint8     `c:"responder_resources"`
	InitiatorDepth     uint8     `c:"initiator_depth"`
	FlowControl        uint8     `c:"flow_control"`
	RetryCount         uint8     `c:"retry_count"`
	RNRRetryCount      uint8     `c:"rnr_retry_count"`
	Valid              uint8     `c:"valid"`
}

// UCMUDParam are the parameters of a datagram service, in events.
type UCMUDParam struct {
	_              struct{}  `c:"rdma_ucm_ud_param"`
	QPNum          uint32    `c:"qp_num"`
	QKey           uint32    `c:"qkey"`
	AHAttr         AHAttr    `c:"ah_attr"`
	PrivateData    [256]byte `c:"private_data"`
	PrivateDataLen uint8     `c:"private_data_len"`
	_              [7]byte   `c:"reserved"`
}

// UCMECE is a vendor's enhanced connection establishment. Soft-RoCE has none.
type UCMECE struct {
	_        struct{} `c:"rdma_ucm_ece"`
	VendorID uint32   `c:"vendor_id"`
	AttrMod  uint32   `c:"attr_mod"`
}

// UCMConnectReq asks for a connection, or for a datagram service.
type UCMConnectReq struct {
	_         struct{}     `c:"rdma_ucm_connect"`
	ConnParam UCMConnParam `c:"conn_param"`
	ID        uint32       `c:"id"`
	_         uint32       `c:"reserved"`
	ECE       UCMECE       `c:"ece"`
}

// UCMAcceptReq accepts a request, or a reply.
type UCMAcceptReq struct {
	_         struct{}     `c:"rdma_ucm_accept"`
	UID       uint64       `c:"uid"`
	ConnParam UCMConnParam `c:"conn_param"`
	ID        uint32       `c:"id"`
	_         uint32       `c:"reserved"`
	ECE       UCMECE       `c:"ece"`
}

// DecodeConnect reads CONNECT; programs older than ECE are understood.
func (c *UCMCommand) DecodeConnect() (q UCMConnectReq, err error) { return q, c.decodeGrown(&q, 280) }

// DecodeAccept reads ACCEPT; programs older than ECE are understood.
func (c *UCMCommand) DecodeAccept() (q UCMAcceptReq, err error) { return q, c.decodeGrown(&q, 288) }

// UCMListenReq asks for connection requests, of which Backlog may wait.
type UCMListenReq struct {
	_       struct{} `c:"rdma_ucm_listen"`
	ID      uint32   `c:"id"`
	Backlog int32    `c:"backlog"`
}

// UCMRejectReq refuses a request, or a reply.
type UCMRejectReq struct {
	_              struct{}  `c:"rdma_ucm_reject"`
	ID             uint32    `c:"id"`
	PrivateDataLen uint8     `c:"private_data_len"`
	Reason         uint8     `c:"reason"`
	_              [2]byte   `c:"reserved"`
	PrivateData    [256]byte `c:"private_data"`
}

// UCMDisconnectReq ends a connection.
type UCMDisconnectReq struct {
	_  struct{} `c:"rdma_ucm_disconnect"`
	ID uint32   `c:"id"`
}

// UCMInitQPAttrReq asks what attributes the ID's queue pair needs for a state.
type UCMInitQPAttrReq struct {
	_        struct{} `c:"rdma_ucm_init_qp_attr"`
	Response uint64   `c:"response"`
	ID       uint32   `c:"id"`
	QPState  uint32   `c:"qp_state"`
}

// QPAttr is the answer: QPAttrMask says which members count.
type QPAttr struct {
	_                struct{} `c:"ib_uverbs_qp_attr"`
	QPAttrMask       uint32   `c:"qp_attr_mask"`
	QPState          uint32   `c:"qp_state"`
	CurQPState       uint32   `c:"cur_qp_state"`
	PathMTU          uint32   `c:"path_mtu"`
	PathMigState     uint32   `c:"path_mig_state"`
	QKey             uint32   `c:"qkey"`
	RQPSN            uint32   `c:"rq_psn"`
	SQPSN            uint32   `c:"sq_psn"`
	DestQPNum        uint32   `c:"dest_qp_num"`
	QPAccessFlags    uint32   `c:"qp_access_flags"`
	AHAttr           AHAttr   `c:"ah_attr"`
	AltAHAttr        AHAttr   `c:"alt_ah_attr"`
	MaxSendWR        uint32   `c:"max_send_wr"`
	MaxRecvWR        uint32   `c:"max_recv_wr"`
	MaxSendSGE       uint32   `c:"max_send_sge"`
	MaxRecvSGE       uint32   `c:"max_recv_sge"`
	MaxInlineData    uint32   `c:"max_inline_data"`
	PKeyIndex        uint16   `c:"pkey_index"`
	AltPKeyIndex     uint16   `c:"alt_pkey_index"`
	EnSQDAsyncNotify uint8    `c:"en_sqd_async_notify"`
	SQDraining       uint8    `c:"sq_draining"`
	MaxRdAtomic      uint8    `c:"max_rd_atomic"`
	MaxDestRdAtomic  uint8    `c:"max_dest_rd_atomic"`
	MinRNRTimer      uint8    `c:"min_rnr_timer"`
	PortNum          uint8    `c:"port_num"`
	Timeout          uint8    `c:"timeout"`
	RetryCnt         uint8    `c:"retry_cnt"`
	RNRRetry         uint8    `c:"rnr_retry"`
	AltPortNum       uint8    `c:"alt_port_num"`
	AltTimeout       uint8    `c:"alt_timeout"`
	_                [5]byte  `c:"reserved"`
}
