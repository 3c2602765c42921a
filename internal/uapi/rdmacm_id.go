package uapi

// Port spaces of RDMA-CM IDs (enum rdma_ucm_port_space).
const (
	PortSpaceIPoIB uint16 = 0x0002
	PortSpaceTCP   uint16 = 0x0106
	PortSpaceUDP   uint16 = 0x0111
	PortSpaceIB    uint16 = 0x013f
)

// UCMCreateIDReq asks for an ID.
type UCMCreateIDReq struct {
	_        struct{} `c:"rdma_ucm_create_id"`
	UID      uint64   `c:"uid"`
	Response uint64   `c:"response"`
	PS       uint16   `c:"ps"`
	QPType   uint8    `c:"qp_type"`
	_        [5]byte  `c:"reserved"`
}

// UCMCreateIDResp is the answer to CREATE_ID and to the joins.
type UCMCreateIDResp struct {
	_  struct{} `c:"rdma_ucm_create_id_resp"`
	ID uint32   `c:"id"`
}

// UCMDestroyIDReq ends an ID; LEAVE_MCAST has the same layout.
type UCMDestroyIDReq struct {
	_        struct{} `c:"rdma_ucm_destroy_id"`
	Response uint64   `c:"response"`
	ID       uint32   `c:"id"`
	_        uint32   `c:"reserved"`
}

// UCMDestroyIDResp tells how many of its events the program has read.
type UCMDestroyIDResp struct {
	_              struct{} `c:"rdma_ucm_destroy_id_resp"`
	EventsReported uint32   `c:"events_reported"`
}

// UCMMigrateIDReq moves an ID here from the channel with the descriptor FD.
type UCMMigrateIDReq struct {
	_        struct{} `c:"rdma_ucm_migrate_id"`
	Response uint64   `c:"response"`
	ID       uint32   `c:"id"`
	FD       uint32   `c:"fd"`
}

// UCMMigrateIDResp tells how many of its events the program has read on the old channel.
type UCMMigrateIDResp struct {
	_              struct{} `c:"rdma_ucm_migrate_resp"`
	EventsReported uint32   `c:"events_reported"`
}

// UCMSetOptionReq sets an option of OptLen bytes at OptVal.
type UCMSetOptionReq struct {
	_       struct{} `c:"rdma_ucm_set_option"`
	OptVal  uint64   `c:"optval"`
	ID      uint32   `c:"id"`
	Level   uint32   `c:"level"`
	OptName uint32   `c:"optname"`
	OptLen  uint32   `c:"optlen"`
}

// Levels of options, and the options of each.
const (
	UCMLevelID uint32 = 0
	UCMLevelIB uint32 = 1

	UCMOptTOS        uint32 = 0
	UCMOptReuseAddr  uint32 = 1
	UCMOptAFOnly     uint32 = 2
	UCMOptACKTimeout uint32 = 3

	UCMOptIBPath uint32 = 1
)

// UCMNotifyReq tells of an asynchronous event of the ID's queue pair.
type UCMNotifyReq struct {
	_     struct{} `c:"rdma_ucm_notify"`
	ID    uint32   `c:"id"`
	Event uint32   `c:"event"`
}

// The events that NOTIFY takes (enum ib_event_type).
const (
	UCMEventCommEst uint32 = 4 // IB_EVENT_COMM_EST: data came before the RTU
	UCMEventPathMig uint32 = 6 // IB_EVENT_PATH_MIG
)
