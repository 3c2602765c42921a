package uapi

import "fmt"

// UCMGetEventReq asks for the next event of the channel.
type UCMGetEventReq struct {
	_        struct{} `c:"rdma_ucm_get_event"`
	Response uint64   `c:"response"`
}

// UCMEventResp is an event. Param is a UCMConnParam, or a UCMUDParam if the ID's queue pair is UD.
type UCMEventResp struct {
	_      struct{}  `c:"rdma_ucm_event_resp"`
	UID    uint64    `c:"uid"`
	ID     uint32    `c:"id"`
	Event  UCMEvent  `c:"event"`
	Status int32     `c:"status"`
	Param  [304]byte `c:"param"`
	_      uint32    `c:"reserved"`
	ECE    UCMECE    `c:"ece"`
}

// UCMEventMin is the least room for an event that the kernel accepts: what there was before ECE.
const UCMEventMin = 324

// UCMEvent says what happened (enum rdma_cm_event_type).
type UCMEvent uint32

// The events of RDMA-CM.
const (
	UCMAddrResolved    UCMEvent = 0
	UCMAddrError       UCMEvent = 1
	UCMRouteResolved   UCMEvent = 2
	UCMRouteError      UCMEvent = 3
	UCMConnectRequest  UCMEvent = 4
	UCMConnectResponse UCMEvent = 5
	UCMConnectError    UCMEvent = 6
	UCMUnreachable     UCMEvent = 7
	UCMRejected        UCMEvent = 8
	UCMEstablished     UCMEvent = 9
	UCMDisconnected    UCMEvent = 10
	UCMDeviceRemoval   UCMEvent = 11
	UCMMulticastJoin   UCMEvent = 12
	UCMMulticastError  UCMEvent = 13
	UCMAddrChange      UCMEvent = 14
	UCMTimewaitExit    UCMEvent = 15
)

var ucmEventNames = [...]string{"ADDR_RESOLVED", "ADDR_ERROR", "ROUTE_RESOLVED", "ROUTE_ERROR", "CONNECT_REQUEST", "CONNECT_RESPONSE",
	"CONNECT_ERROR", "UNREACHABLE", "REJECTED", "ESTABLISHED", "DISCONNECTED", "DEVICE_REMOVAL", "MULTICAST_JOIN", "MULTICAST_ERROR",
	"ADDR_CHANGE", "TIMEWAIT_EXIT"}

// String gives the name that rdma_event_str has, without its prefix.
func (e UCMEvent) String() string {
	if int64(e) >= int64(len(ucmEventNames)) {
		return fmt.Sprintf("event %d", uint32(e))
	}
	return ucmEventNames[e]
}
