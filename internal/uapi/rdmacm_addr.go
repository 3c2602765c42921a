package uapi

// UCMBindIPReq binds an ID to a local address.
type UCMBindIPReq struct {
	_        struct{} `c:"rdma_ucm_bind_ip"`
	Response uint64   `c:"response"`
	Addr     [28]byte `c:"addr"`
	ID       uint32   `c:"id"`
}

// UCMBindReq is UCMBindIPReq for addresses of any family.
type UCMBindReq struct {
	_        struct{}  `c:"rdma_ucm_bind"`
	ID       uint32    `c:"id"`
	AddrSize uint16    `c:"addr_size"`
	Reserved uint16    `c:"reserved"`
	Addr     [128]byte `c:"addr"`
}

// UCMResolveIPReq asks for the way to a peer.
type UCMResolveIPReq struct {
	_         struct{} `c:"rdma_ucm_resolve_ip"`
	SrcAddr   [28]byte `c:"src_addr"`
	DstAddr   [28]byte `c:"dst_addr"`
	ID        uint32   `c:"id"`
	TimeoutMS uint32   `c:"timeout_ms"`
}

// UCMResolveAddrReq is UCMResolveIPReq for addresses of any family.
type UCMResolveAddrReq struct {
	_         struct{}  `c:"rdma_ucm_resolve_addr"`
	ID        uint32    `c:"id"`
	TimeoutMS uint32    `c:"timeout_ms"`
	SrcSize   uint16    `c:"src_size"`
	DstSize   uint16    `c:"dst_size"`
	Reserved  uint32    `c:"reserved"`
	SrcAddr   [128]byte `c:"src_addr"`
	DstAddr   [128]byte `c:"dst_addr"`
}

// UCMResolveRouteReq asks for the path to the peer that was found.
type UCMResolveRouteReq struct {
	_         struct{} `c:"rdma_ucm_resolve_route"`
	ID        uint32   `c:"id"`
	TimeoutMS uint32   `c:"timeout_ms"`
}

// UCMJoinIPMcastReq joins a multicast group.
type UCMJoinIPMcastReq struct {
	_        struct{} `c:"rdma_ucm_join_ip_mcast"`
	Response uint64   `c:"response"`
	UID      uint64   `c:"uid"`
	Addr     [28]byte `c:"addr"`
	ID       uint32   `c:"id"`
}

// UCMJoinMcastReq is UCMJoinIPMcastReq for addresses of any family, and with flags.
type UCMJoinMcastReq struct {
	_         struct{}  `c:"rdma_ucm_join_mcast"`
	Response  uint64    `c:"response"`
	UID       uint64    `c:"uid"`
	ID        uint32    `c:"id"`
	AddrSize  uint16    `c:"addr_size"`
	JoinFlags uint16    `c:"join_flags"`
	Addr      [128]byte `c:"addr"`
}

// How one joins a multicast group.
const (
	UCMJoinFullMember         uint16 = 0
	UCMJoinSendOnlyFullMember uint16 = 1
)

// UCMQueryReq asks what an ID is; QUERY_ROUTE has the same layout.
type UCMQueryReq struct {
	_        struct{} `c:"rdma_ucm_query"`
	Response uint64   `c:"response"`
	ID       uint32   `c:"id"`
	Option   uint32   `c:"option"`
}

// What QUERY tells.
const (
	UCMQueryAddr uint32 = 0
	UCMQueryPath uint32 = 1
	UCMQueryGID  uint32 = 2
)

// UCMQueryAddrResp is QUERY's answer for addresses and for GIDs. NodeGUID and PKey are in network byte order.
type UCMQueryAddrResp struct {
	_          struct{}  `c:"rdma_ucm_query_addr_resp"`
	NodeGUID   [8]byte   `c:"node_guid"`
	PortNum    uint8     `c:"port_num"`
	_          uint8     `c:"reserved"`
	PKey       uint16    `c:"pkey"`
	SrcSize    uint16    `c:"src_size"`
	DstSize    uint16    `c:"dst_size"`
	SrcAddr    [128]byte `c:"src_addr"`
	DstAddr    [128]byte `c:"dst_addr"`
	IBDevIndex uint32    `c:"ibdev_index"`
	_          uint32    `c:"reserved1"`
}

// UCMQueryAddrMin is the least room for it that the kernel accepts: what there was before the device's index.
const UCMQueryAddrMin = 272

// UCMQueryRouteResp is QUERY_ROUTE's answer.
type UCMQueryRouteResp struct {
	_          struct{}       `c:"rdma_ucm_query_route_resp"`
	NodeGUID   [8]byte        `c:"node_guid"`
	Route      [2]UserPathRec `c:"ib_route"`
	SrcAddr    [28]byte       `c:"src_addr"`
	DstAddr    [28]byte       `c:"dst_addr"`
	NumPaths   uint32         `c:"num_paths"`
	PortNum    uint8          `c:"port_num"`
	_          [3]byte        `c:"reserved"`
	IBDevIndex uint32         `c:"ibdev_index"`
	_          uint32         `c:"reserved1"`
}

// UCMQueryRouteMin is the least room for it that the kernel accepts.
const UCMQueryRouteMin = 200

// UCMNoDevIndex is an IBDevIndex that tells nothing: librdmacm then finds the device by its GUID.
const UCMNoDevIndex uint32 = 0xffffffff
