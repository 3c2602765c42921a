package uapi

// The tag `c` of a field names the member of the C struct, that of a blank first field the struct itself. Blank fields
// otherwise are reserved or unused here.

// GetContext asks for the context's async descriptor.
type GetContext struct {
	_        struct{} `c:"ib_uverbs_get_context"`
	Response uint64   `c:"response"`
}

// GetContextResp is its answer. The library puts the descriptor's number in.
type GetContextResp struct {
	_              struct{} `c:"ib_uverbs_get_context_resp"`
	AsyncFD        uint32   `c:"async_fd"`
	NumCompVectors uint32   `c:"num_comp_vectors"`
}

// QueryDevice asks for the device's attributes.
type QueryDevice struct {
	_        struct{} `c:"ib_uverbs_query_device"`
	Response uint64   `c:"response"`
}

// QueryDeviceResp are the device's attributes. GUIDs are in network byte order, hence bytes.
type QueryDeviceResp struct {
	_                     struct{} `c:"ib_uverbs_query_device_resp"`
	FWVer                 uint64   `c:"fw_ver"`
	NodeGUID              [8]byte  `c:"node_guid"`
	SysImageGUID          [8]byte  `c:"sys_image_guid"`
	MaxMRSize             uint64   `c:"max_mr_size"`
	PageSizeCap           uint64   `c:"page_size_cap"`
	VendorID              uint32   `c:"vendor_id"`
	VendorPartID          uint32   `c:"vendor_part_id"`
	HWVer                 uint32   `c:"hw_ver"`
	MaxQP                 uint32   `c:"max_qp"`
	MaxQPWR               uint32   `c:"max_qp_wr"`
	DeviceCapFlags        uint32   `c:"device_cap_flags"`
	MaxSGE                uint32   `c:"max_sge"`
	MaxSGERd              uint32   `c:"max_sge_rd"`
	MaxCQ                 uint32   `c:"max_cq"`
	MaxCQE                uint32   `c:"max_cqe"`
	MaxMR                 uint32   `c:"max_mr"`
	MaxPD                 uint32   `c:"max_pd"`
	MaxQPRdAtom           uint32   `c:"max_qp_rd_atom"`
	MaxEERdAtom           uint32   `c:"max_ee_rd_atom"`
	MaxResRdAtom          uint32   `c:"max_res_rd_atom"`
	MaxQPInitRdAtom       uint32   `c:"max_qp_init_rd_atom"`
	MaxEEInitRdAtom       uint32   `c:"max_ee_init_rd_atom"`
	AtomicCap             uint32   `c:"atomic_cap"`
	MaxEE                 uint32   `c:"max_ee"`
	MaxRDD                uint32   `c:"max_rdd"`
	MaxMW                 uint32   `c:"max_mw"`
	MaxRawIPv6QP          uint32   `c:"max_raw_ipv6_qp"`
	MaxRawEthyQP          uint32   `c:"max_raw_ethy_qp"`
	MaxMcastGrp           uint32   `c:"max_mcast_grp"`
	MaxMcastQPAttach      uint32   `c:"max_mcast_qp_attach"`
	MaxTotalMcastQPAttach uint32   `c:"max_total_mcast_qp_attach"`
	MaxAH                 uint32   `c:"max_ah"`
	MaxFMR                uint32   `c:"max_fmr"`
	MaxMapPerFMR          uint32   `c:"max_map_per_fmr"`
	MaxSRQ                uint32   `c:"max_srq"`
	MaxSRQWR              uint32   `c:"max_srq_wr"`
	MaxSRQSGE             uint32   `c:"max_srq_sge"`
	MaxPKeys              uint16   `c:"max_pkeys"`
	LocalCAAckDelay       uint8    `c:"local_ca_ack_delay"`
	PhysPortCnt           uint8    `c:"phys_port_cnt"`
	_                     [4]byte  `c:"reserved"`
}

// AtomicHCA is an AtomicCap: atomic among the QPs of this device (IB_ATOMIC_HCA).
const AtomicHCA = 1

// ExQueryDevice asks for the extended attributes.
type ExQueryDevice struct {
	_        struct{} `c:"ib_uverbs_ex_query_device"`
	CompMask uint32   `c:"comp_mask"`
	Reserved uint32   `c:"reserved"`
}

// ExQueryDeviceResp are the device's attributes and those that came later. What this device has none of is blank.
type ExQueryDeviceResp struct {
	_                struct{} `c:"ib_uverbs_ex_query_device_resp"`
	Base             QueryDeviceResp
	CompMask         uint32   `c:"comp_mask"`
	ResponseLength   uint32   `c:"response_length"`
	_                [24]byte `c:"odp_caps"`
	TimestampMask    uint64   `c:"timestamp_mask"`
	HCACoreClock     uint64   `c:"hca_core_clock"`
	DeviceCapFlagsEx uint64   `c:"device_cap_flags_ex"`
	_                [16]byte `c:"rss_caps"`
	MaxWQTypeRQ      uint32   `c:"max_wq_type_rq"`
	RawPacketCaps    uint32   `c:"raw_packet_caps"`
	_                [24]byte `c:"tm_caps"`
	_                [8]byte  `c:"cq_moderation_caps"`
	MaxDMSize        uint64   `c:"max_dm_size"`
	XRCODPCaps       uint32   `c:"xrc_odp_caps"`
	_                uint32   `c:"reserved"`
}

// QueryPort asks for a port's attributes.
type QueryPort struct {
	_        struct{} `c:"ib_uverbs_query_port"`
	Response uint64   `c:"response"`
	PortNum  uint8    `c:"port_num"`
	_        [7]byte  `c:"reserved"`
}

// QueryPortResp are a port's attributes.
type QueryPortResp struct {
	_             struct{} `c:"ib_uverbs_query_port_resp"`
	PortCapFlags  uint32   `c:"port_cap_flags"`
	MaxMsgSz      uint32   `c:"max_msg_sz"`
	BadPKeyCntr   uint32   `c:"bad_pkey_cntr"`
	QKeyViolCntr  uint32   `c:"qkey_viol_cntr"`
	GIDTblLen     uint32   `c:"gid_tbl_len"`
	PKeyTblLen    uint16   `c:"pkey_tbl_len"`
	LID           uint16   `c:"lid"`
	SMLID         uint16   `c:"sm_lid"`
	State         uint8    `c:"state"`
	MaxMTU        uint8    `c:"max_mtu"`
	ActiveMTU     uint8    `c:"active_mtu"`
	LMC           uint8    `c:"lmc"`
	MaxVLNum      uint8    `c:"max_vl_num"`
	SMSL          uint8    `c:"sm_sl"`
	SubnetTimeout uint8    `c:"subnet_timeout"`
	InitTypeReply uint8    `c:"init_type_reply"`
	ActiveWidth   uint8    `c:"active_width"`
	ActiveSpeed   uint8    `c:"active_speed"`
	PhysState     uint8    `c:"phys_state"`
	LinkLayer     uint8    `c:"link_layer"`
	Flags         uint8    `c:"flags"`
	_             uint8    `c:"reserved"`
}

// What a QueryPortResp says of a port.
const (
	PortStateActive   = 4       // IB_PORT_ACTIVE
	PortPhysLinkUp    = 5       // IB_PORT_PHYS_STATE_LINK_UP
	PortMTU4096       = 5       // IB_MTU_4096
	PortWidth4X       = 2       // IB_WIDTH_4X
	PortSpeedEDR      = 32      // IB_SPEED_EDR
	LinkLayerEthernet = 2       // IBV_LINK_LAYER_ETHERNET
	PortCapCM         = 1 << 16 // IB_PORT_CM_SUP
)
