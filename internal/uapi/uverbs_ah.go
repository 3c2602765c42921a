package uapi

// AHAttr is an address vector as CREATE_AH has it.
type AHAttr struct {
	_            struct{} `c:"ib_uverbs_ah_attr"`
	DGID         [16]byte `c:"grh.dgid"`
	FlowLabel    uint32   `c:"grh.flow_label"`
	SGIDIndex    uint8    `c:"grh.sgid_index"`
	HopLimit     uint8    `c:"grh.hop_limit"`
	TrafficClass uint8    `c:"grh.traffic_class"`
	_            uint8    `c:"grh.reserved"`
	DLID         uint16   `c:"dlid"`
	SL           uint8    `c:"sl"`
	SrcPathBits  uint8    `c:"src_path_bits"`
	StaticRate   uint8    `c:"static_rate"`
	IsGlobal     uint8    `c:"is_global"`
	PortNum      uint8    `c:"port_num"`
	_            uint8    `c:"reserved"`
}

// CreateAH asks for an address handle.
type CreateAH struct {
	_          struct{} `c:"ib_uverbs_create_ah"`
	Response   uint64   `c:"response"`
	UserHandle uint64   `c:"user_handle"`
	PDHandle   uint32   `c:"pd_handle"`
	Reserved   uint32   `c:"reserved"`
	Attr       AHAttr   `c:"attr"`
}

// CreateAHResp is its answer; an AHNum follows.
type CreateAHResp struct {
	_        struct{} `c:"ib_uverbs_create_ah_resp"`
	AHHandle uint32   `c:"ah_handle"`
}

// AHNum is the driver data of a created AH: what the provider puts into UD sends. Zero would make it resolve neighbours itself.
type AHNum struct {
	_     struct{} `c:"rxe_create_ah_resp"`
	AHNum uint32   `c:"ah_num"`
	_     uint32   `c:"reserved"`
}

// DestroyAH destroys an address handle.
type DestroyAH struct {
	_        struct{} `c:"ib_uverbs_destroy_ah"`
	AHHandle uint32   `c:"ah_handle"`
}
