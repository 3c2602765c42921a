package uapi

// AllocPD asks for a protection domain.
type AllocPD struct {
	_        struct{} `c:"ib_uverbs_alloc_pd"`
	Response uint64   `c:"response"`
}

// AllocPDResp is its answer.
type AllocPDResp struct {
	_        struct{} `c:"ib_uverbs_alloc_pd_resp"`
	PDHandle uint32   `c:"pd_handle"`
}

// DeallocPD gives a protection domain back.
type DeallocPD struct {
	_        struct{} `c:"ib_uverbs_dealloc_pd"`
	PDHandle uint32   `c:"pd_handle"`
}

// RegMR registers memory.
type RegMR struct {
	_           struct{} `c:"ib_uverbs_reg_mr"`
	Response    uint64   `c:"response"`
	Start       uint64   `c:"start"`
	Length      uint64   `c:"length"`
	HCAVA       uint64   `c:"hca_va"`
	PDHandle    uint32   `c:"pd_handle"`
	AccessFlags uint32   `c:"access_flags"`
}

// RegMRResp is its answer.
type RegMRResp struct {
	_        struct{} `c:"ib_uverbs_reg_mr_resp"`
	MRHandle uint32   `c:"mr_handle"`
	LKey     uint32   `c:"lkey"`
	RKey     uint32   `c:"rkey"`
}

// ReregMR changes a registration.
type ReregMR struct {
	_           struct{} `c:"ib_uverbs_rereg_mr"`
	Response    uint64   `c:"response"`
	MRHandle    uint32   `c:"mr_handle"`
	Flags       uint32   `c:"flags"`
	Start       uint64   `c:"start"`
	Length      uint64   `c:"length"`
	HCAVA       uint64   `c:"hca_va"`
	PDHandle    uint32   `c:"pd_handle"`
	AccessFlags uint32   `c:"access_flags"`
}

// ReregMRResp is its answer.
type ReregMRResp struct {
	_    struct{} `c:"ib_uverbs_rereg_mr_resp"`
	LKey uint32   `c:"lkey"`
	RKey uint32   `c:"rkey"`
}

// DeregMR ends a registration.
type DeregMR struct {
	_        struct{} `c:"ib_uverbs_dereg_mr"`
	MRHandle uint32   `c:"mr_handle"`
}

// AllocMW asks for a memory window.
type AllocMW struct {
	_        struct{} `c:"ib_uverbs_alloc_mw"`
	Response uint64   `c:"response"`
	PDHandle uint32   `c:"pd_handle"`
	MWType   uint8    `c:"mw_type"`
	_        [3]byte  `c:"reserved"`
}

// AllocMWResp is its answer.
type AllocMWResp struct {
	_        struct{} `c:"ib_uverbs_alloc_mw_resp"`
	MWHandle uint32   `c:"mw_handle"`
	RKey     uint32   `c:"rkey"`
}

// DeallocMW gives a memory window back.
type DeallocMW struct {
	_        struct{} `c:"ib_uverbs_dealloc_mw"`
	MWHandle uint32   `c:"mw_handle"`
}
