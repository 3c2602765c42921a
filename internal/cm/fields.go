package cm

// QPType is the transport service of a connection, as REQs tell it (12.6.5, field Transport Service Type).
type QPType uint8

// The transport services that connections are made for.
const (
	RC QPType = 0
	UC QPType = 1
)

// Most bytes of private data that each message has (12.6).
const (
	MaxReqPrivate     = 92
	MaxRepPrivate     = 196
	MaxRTUPrivate     = 224
	MaxRejPrivate     = 148
	MaxRejInfo        = 72
	MaxSIDRReqPrivate = 216
	MaxSIDRRepPrivate = 136
	MaxSIDRRepInfo    = 72
)

// ECE is what the two sides tell each other of what they can do beyond the specification (enhanced connection establishment). It is
// only carried.
type ECE struct {
	VendorID uint32 // 24 bits
	Options  uint32
}

// Req is what a REQ says (12.6.5), from its sender's point of view also in an event. Timeouts are exponents: 4.096 µs × 2^n. PKey and
// HopLimit may be left 0 for what is usual: 0xffff, 64.
type Req struct {
	ServiceID     uint64
	RemoteGUID    uint64 // in an event: the peer's node GUID; the party's own comes from Config.GUID
	QPN, StartPSN uint32
	QKey          uint32
	QPType        QPType

	ResponderResources, InitiatorDepth uint8
	RetryCount, RNRRetryCount          uint8
	PathMTU                            uint8 // as verbs say it: 1 is 256 bytes, 5 is 4096
	LocalAckTimeout                    uint8
	RemoteResponseTimeout              uint8 // so soon the receiver answers the REQ
	LocalResponseTimeout               uint8 // so soon the sender answers the REP
	MaxCMRetries                       uint8
	SRQ, FlowControl                   bool

	PKey         uint16
	FlowLabel    uint32
	TrafficClass uint8
	HopLimit     uint8
	SL           uint8
	PacketRate   uint8

	ECE     ECE
	Private []byte // at most MaxReqPrivate, the RDMA-CM's header included; in an event always so many
}

// Rep is what a REP says (12.6.8), from its sender's point of view also in an event.
type Rep struct {
	RemoteGUID     uint64 // in an event: the peer's node GUID
	QPN, StartPSN  uint32
	QKey           uint32
	TargetAckDelay uint8
	RNRRetryCount  uint8

	ResponderResources, InitiatorDepth uint8
	SRQ, FlowControl                   bool

	ECE     ECE
	Private []byte // at most MaxRepPrivate; in an event always so many
}

// Rej is what a REJ says (12.6.7).
type Rej struct {
	Reason  uint16
	Info    []byte // at most MaxRejInfo
	Private []byte // at most MaxRejPrivate; in an event always so many
}

// SIDRReq is what a SIDR_REQ says (12.11.1).
type SIDRReq struct {
	ServiceID uint64
	PKey      uint16 // 0: 0xffff
	Private   []byte // at most MaxSIDRReqPrivate; in an event always so many
}

// SIDRRep is what a SIDR_REP says (12.11.2).
type SIDRRep struct {
	Status    uint8
	QPN, QKey uint32
	ServiceID uint64 // in an event; to reply it is not needed
	ECE       ECE
	Info      []byte // at most MaxSIDRRepInfo
	Private   []byte // at most MaxSIDRRepPrivate; in an event always so many
}

// Reasons of a REJ (12.6.7.2, table 105).
const (
	RejNoQP                    uint16 = 1
	RejNoEEC                   uint16 = 2
	RejNoResources             uint16 = 3
	RejTimeout                 uint16 = 4
	RejUnsupported             uint16 = 5
	RejInvalidCommID           uint16 = 6
	RejInvalidCommInstance     uint16 = 7
	RejInvalidServiceID        uint16 = 8
	RejInvalidTransport        uint16 = 9
	RejStaleConn               uint16 = 10
	RejRDCNotExist             uint16 = 11
	RejInvalidGID              uint16 = 12
	RejInvalidLID              uint16 = 13
	RejInvalidSL               uint16 = 14
	RejInvalidTrafficClass     uint16 = 15
	RejInvalidHopLimit         uint16 = 16
	RejInvalidPacketRate       uint16 = 17
	RejInvalidAltGID           uint16 = 18
	RejInvalidAltLID           uint16 = 19
	RejInvalidAltSL            uint16 = 20
	RejInvalidAltTrafficClass  uint16 = 21
	RejInvalidAltHopLimit      uint16 = 22
	RejInvalidAltPacketRate    uint16 = 23
	RejPortCMRedirect          uint16 = 24
	RejPortRedirect            uint16 = 25
	RejInvalidMTU              uint16 = 26
	RejInsufficientRespRes     uint16 = 27
	RejConsumerDefined         uint16 = 28
	RejInvalidRNRRetry         uint16 = 29
	RejDuplicateLocalCommID    uint16 = 30
	RejInvalidClassVersion     uint16 = 31
	RejInvalidFlowLabel        uint16 = 32
	RejInvalidAltFlowLabel     uint16 = 33
	RejVendorOptionUnsupported uint16 = 35
)

// Statuses of a SIDR_REP (12.11.2.1, table 121).
const (
	SIDRSuccess         uint8 = 0
	SIDRUnsupported     uint8 = 1
	SIDRReject          uint8 = 2
	SIDRNoQP            uint8 = 3
	SIDRRedirect        uint8 = 4
	SIDRUnsupportedVers uint8 = 5
)
