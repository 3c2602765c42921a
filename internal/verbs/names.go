package verbs

import (
	"encoding/hex"
	"net/netip"
)

// QPN is a queue pair number: 24 bits, unique on a host.
type QPN uint32

// PSN is a packet sequence number, 24 bits.
type PSN uint32

// LKey and RKey name a memory region (or window) for local and remote access. The upper 24 bits are the
// index in the host's key table, the low 8 bits a tag that changes with each use of the index.
type (
	LKey uint32
	RKey uint32
)

// Handle names an object of one context in uverbs commands.
type Handle uint32

// GID is a port address: an IPv6 address, or an IPv4 address mapped into one.
type GID [16]byte

// GIDOf gives the GID of an IP address.
func GIDOf(a netip.Addr) GID { return a.As16() }

// Addr gives the IP address that a GID stands for.
func (g GID) Addr() netip.Addr { return netip.AddrFrom16(g).Unmap() }

// IsMulticast reports whether the GID is a multicast group's (ff00::/8, IBTA 4.1.1).
func (g GID) IsMulticast() bool { return g[0] == 0xff || (g.Addr().Is4() && g.Addr().IsMulticast()) }

// String writes the GID as sysfs does: eight groups of four hexadecimal digits.
func (g GID) String() string {
	b := make([]byte, 0, 39)
	for i := 0; i < 16; i += 2 {
		if i > 0 {
			b = append(b, ':')
		}
		b = hex.AppendEncode(b, g[i:i+2])
	}
	return string(b)
}

// QPType is the service type of a queue pair, as IBV_QPT_*.
type QPType uint8

// The supported service types.
const (
	TypeRC QPType = 2
	TypeUC QPType = 3
	TypeUD QPType = 4
)

// String gives the usual abbreviation.
func (t QPType) String() string {
	switch t {
	case TypeRC:
		return "RC"
	case TypeUC:
		return "UC"
	case TypeUD:
		return "UD"
	}
	return "?"
}

// Access is a set of IBV_ACCESS_* flags.
type Access uint32

// The access flags of rdma/ib_user_ioctl_verbs.h.
const (
	AccessLocalWrite   Access = 1 << 0
	AccessRemoteWrite  Access = 1 << 1
	AccessRemoteRead   Access = 1 << 2
	AccessRemoteAtomic Access = 1 << 3
	AccessMWBind       Access = 1 << 4
	AccessZeroBased    Access = 1 << 5
	AccessOnDemand     Access = 1 << 6
	AccessHugeTLB      Access = 1 << 7

	// accessOptional are hints that a device may ignore (IB_ACCESS_OPTIONAL, the upper 10 bits of 30).
	accessOptional Access = 0x3ff00000

	accessRemote = AccessRemoteWrite | AccessRemoteRead | AccessRemoteAtomic
)

// Opcode is a work request's operation, as IBV_WR_*.
type Opcode uint32

// The work request opcodes of rdma/ib_user_verbs.h.
const (
	OpRDMAWrite       Opcode = 0
	OpRDMAWriteImm    Opcode = 1
	OpSend            Opcode = 2
	OpSendImm         Opcode = 3
	OpRDMARead        Opcode = 4
	OpAtomicCmpAndSwp Opcode = 5
	OpAtomicFetchAdd  Opcode = 6
	OpLocalInv        Opcode = 7
	OpBindMW          Opcode = 8
	OpSendInv         Opcode = 9
	OpAtomicWrite     Opcode = 15
)

// SendFlags of a work request, as IBV_SEND_*.
type SendFlags uint32

// The send flags of libibverbs.
const (
	SendFence     SendFlags = 1 << 0
	SendSignaled  SendFlags = 1 << 1
	SendSolicited SendFlags = 1 << 2
	SendInline    SendFlags = 1 << 3
)

// WCStatus is a completion's status, as IBV_WC_*.
type WCStatus uint32

// The completion statuses of libibverbs' enum ibv_wc_status, in its order.
const (
	WCSuccess WCStatus = iota
	WCLocLenErr
	WCLocQPOpErr
	WCLocEECOpErr
	WCLocProtErr
	WCWRFlushErr
	WCMWBindErr
	WCBadRespErr
	WCLocAccessErr
	WCRemInvReqErr
	WCRemAccessErr
	WCRemOpErr
	WCRetryExcErr
	WCRNRRetryExcErr
	WCLocRDDViolErr
	WCRemInvRDReqErr
	WCRemAbortErr
	WCInvEECNErr
	WCInvEECStateErr
	WCFatalErr
	WCRespTimeoutErr
	WCGeneralErr
)

// WCOpcode is a completion's operation, as IBV_WC_*.
type WCOpcode uint32

// The completion opcodes of libibverbs.
const (
	WCSend          WCOpcode = 0
	WCRDMAWrite     WCOpcode = 1
	WCRDMARead      WCOpcode = 2
	WCCompSwap      WCOpcode = 3
	WCFetchAdd      WCOpcode = 4
	WCBindMW        WCOpcode = 5
	WCLocalInv      WCOpcode = 6
	WCAtomicWrite   WCOpcode = 9
	WCRecv          WCOpcode = 1 << 7
	WCRecvRDMAImm   WCOpcode = WCRecv + 1
	wcOpcodeUnknown          = WCSend
)

// WCFlags of a completion, as IBV_WC_*.
type WCFlags uint32

// The completion flags of libibverbs.
const (
	WCGRH     WCFlags = 1 << 0
	WCWithImm WCFlags = 1 << 1
	WCWithInv WCFlags = 1 << 3
)

// AsyncEvent is the type of an asynchronous event, as IBV_EVENT_*.
type AsyncEvent uint32

// The asynchronous events of libibverbs' enum ibv_event_type.
const (
	EventCQErr          AsyncEvent = 0
	EventQPFatal        AsyncEvent = 1
	EventQPReqErr       AsyncEvent = 2
	EventQPAccessErr    AsyncEvent = 3
	EventCommEst        AsyncEvent = 4
	EventSQDrained      AsyncEvent = 5
	EventPathMig        AsyncEvent = 6
	EventPathMigErr     AsyncEvent = 7
	EventDeviceFatal    AsyncEvent = 8
	EventPortActive     AsyncEvent = 9
	EventPortErr        AsyncEvent = 10
	EventSRQErr         AsyncEvent = 14
	EventSRQLimit       AsyncEvent = 15
	EventLastWQEReached AsyncEvent = 16
	EventGIDChange      AsyncEvent = 18
)
