package cm

// state of a connection or a SIDR exchange (12.9.5, 12.9.6). The active side:
//
//	        Connect                  REP                    Ready
//	(none) ─────────> REQ sent ─────────────> REP received ───────> established
//	                   │    ^                  │        ^
//	               MRA v    │ (time)    Extend v        │ Ready
//	           MRA for REQ received         MRA for REP sent
//
// the passive side:
//
//	        REQ                     Reply               RTU, Established
//	(none) ─────> REQ received ───────────────> REP sent ──────────────> established
//	               Extend │    ^                 │   ^
//	                      v    │ Reply       MRA v   │
//	                 MRA for REQ sent      MRA for REP received
//
// and both:
//
//	             Disconnect               DREP
//	established ────────────> DREQ sent ──────────────> timewait ───> (none)
//	     │ DREQ                  │ DREQ                     ^
//	     v                       v         Disconnect       │
//	     └───────────────> DREQ received ───────────────────┘
//
// A REJ ends everything before established at once; later it leads to timewait. What the user destroyed goes on as an orphan, of
// which nothing is told any more. A connection whose request was refused stays in timewait as a memory, to answer duplicates.
type state uint8

const (
	reqSent state = iota + 1
	mraReqReceived
	repReceived
	mraRepSent

	reqReceived
	mraReqSent
	repSent
	mraRepReceived

	established
	dreqSent
	dreqReceived
	timewait

	sidrReqSent
	sidrReqReceived
	sidrReplied // a memory
)

var stateNames = [...]string{reqSent: "REQ sent", mraReqReceived: "MRA(REQ) received", repReceived: "REP received", mraRepSent: "MRA(REP) sent",
	reqReceived: "REQ received", mraReqSent: "MRA(REQ) sent", repSent: "REP sent", mraRepReceived: "MRA(REP) received",
	established: "established", dreqSent: "DREQ sent", dreqReceived: "DREQ received", timewait: "timewait",
	sidrReqSent: "SIDR_REQ sent", sidrReqReceived: "SIDR_REQ received", sidrReplied: "SIDR_REP sent"}

func (s state) String() string { return stateNames[s] }

// unanswered says that the user owes an answer to a peer's request.
func (s state) unanswered() bool { return s == reqReceived || s == mraReqSent || s == sidrReqReceived }
