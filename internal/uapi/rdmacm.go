package uapi

import (
	"encoding/binary"
	"fmt"
	"syscall"
)

// UCMCmd is a command number of the rdma_cm device (rdma_user_cm.h).
type UCMCmd uint32

// The commands of /dev/infiniband/rdma_cm. GET_OPTION was never made.
const (
	UCMCreateID     UCMCmd = 0
	UCMDestroyID    UCMCmd = 1
	UCMBindIP       UCMCmd = 2
	UCMResolveIP    UCMCmd = 3
	UCMResolveRoute UCMCmd = 4
	UCMQueryRoute   UCMCmd = 5
	UCMConnect      UCMCmd = 6
	UCMListen       UCMCmd = 7
	UCMAccept       UCMCmd = 8
	UCMReject       UCMCmd = 9
	UCMDisconnect   UCMCmd = 10
	UCMInitQPAttr   UCMCmd = 11
	UCMGetEvent     UCMCmd = 12
	UCMGetOption    UCMCmd = 13
	UCMSetOption    UCMCmd = 14
	UCMNotify       UCMCmd = 15
	UCMJoinIPMcast  UCMCmd = 16
	UCMLeaveMcast   UCMCmd = 17
	UCMMigrateID    UCMCmd = 18
	UCMQuery        UCMCmd = 19
	UCMBind         UCMCmd = 20
	UCMResolveAddr  UCMCmd = 21
	UCMJoinMcast    UCMCmd = 22
)

const ucmHdrSize = 8 // struct rdma_ucm_cmd_hdr

var ucmNames = [...]string{"CREATE_ID", "DESTROY_ID", "BIND_IP", "RESOLVE_IP", "RESOLVE_ROUTE", "QUERY_ROUTE", "CONNECT", "LISTEN", "ACCEPT",
	"REJECT", "DISCONNECT", "INIT_QP_ATTR", "GET_EVENT", "GET_OPTION", "SET_OPTION", "NOTIFY", "JOIN_IP_MCAST", "LEAVE_MCAST", "MIGRATE_ID",
	"QUERY", "BIND", "RESOLVE_ADDR", "JOIN_MCAST"}

// String gives the header's name.
func (c UCMCmd) String() string {
	if int64(c) >= int64(len(ucmNames)) {
		return fmt.Sprintf("command %d", uint32(c))
	}
	return ucmNames[c]
}

// UCMCommand is one write() to the rdma_cm device.
type UCMCommand struct {
	Cmd  UCMCmd
	Body []byte // what follows the header
	In   int    // how long the program says that it is
	Out  int    // room for the response
}

// ParseUCM splits a command as ucma_write does. Body aliases b.
//
// Errors: EINVAL for no header, an unknown command, or a length that the write does not have; ENOSYS for GET_OPTION.
func ParseUCM(b []byte) (UCMCommand, error) {
	if len(b) < ucmHdrSize {
		return UCMCommand{}, syscall.EINVAL
	}
	c := UCMCommand{Cmd: UCMCmd(binary.LittleEndian.Uint32(b)), Body: b[ucmHdrSize:],
		In: int(binary.LittleEndian.Uint16(b[4:])), Out: int(binary.LittleEndian.Uint16(b[6:]))}
	switch {
	case int64(c.Cmd) >= int64(len(ucmNames)), c.In > len(c.Body):
		return c, syscall.EINVAL
	case c.Cmd == UCMGetOption:
		return c, syscall.ENOSYS
	}
	return c, nil
}

// Decode fills v, a pointer to a request struct of this package. The kernel takes the whole struct whatever the header says of its
// length, so a write that does not hold it is EINVAL here; what comes after it is ignored.
func (c *UCMCommand) Decode(v any) error { return c.decode(v, binary.Size(v)) }

// decodeGrown is Decode for a struct that has grown: only the first least bytes must be there. The header's length counts.
func (c *UCMCommand) decodeGrown(v any, least int) error {
	grown := *c
	grown.Body = c.Body[:c.In]
	return grown.decode(v, least)
}

func (c *UCMCommand) decode(v any, least int) error {
	if len(c.Body) < least {
		return syscall.EINVAL
	}
	return decode(c.Body[:min(len(c.Body), binary.Size(v))], v)
}

// Room checks that the program has room for least bytes of response: ENOSPC.
func (c *UCMCommand) Room(least int) error {
	if c.Out < least {
		return syscall.ENOSPC
	}
	return nil
}

// Response gives the bytes of a response struct, cut to the room for it.
func (c *UCMCommand) Response(v any) []byte {
	b := Encode(v)
	return b[:min(len(b), c.Out)]
}
