package cm

import "github.com/freeflow-rdma/freeflow/internal/wire"

// Kind says what happened.
type Kind uint8

// What happens to a connection or a SIDR exchange. After those marked "the end" the ID is not known any more, and need not be destroyed.
const (
	Requested           Kind = iota + 1 // a REQ came: a new ID; answered by Reply, Reject or Extend
	Replied                             // a REP came: answered by Ready, Reject or Extend
	Established                         // an RTU came, or Established was called
	Rejected                            // a REJ came: the end, unless a REP had come, all was established, or it says stale: then TimewaitExit follows
	Unreachable                         // a REQ, REP or SIDR_REQ was not answered: Msg; the end
	DisconnectRequested                 // a DREQ came: answered by Disconnect
	Disconnected                        // a DREP came, or a DREQ was not answered (Msg); after crossing DREQs also after DisconnectRequested
	TimewaitExit                        // the QPN may be used again; the end
	SIDRRequested                       // a SIDR_REQ came: a new ID; answered by ReplySIDR
	SIDRReplied                         // a SIDR_REP came; the end
)

// Event is something that happened to ID. Of the pointers only that of the message that came is set.
type Event struct {
	Kind  Kind
	ID    ID
	Route Route

	Req     *Req
	Rep     *Rep
	Rej     *Rej
	SIDRReq *SIDRReq
	SIDRRep *SIDRRep

	Private []byte         // of the RTU, DREQ or DREP that came
	Msg     wire.Attribute // Unreachable, and Disconnected without DREP: which message was not answered; Rejected: which was (12.6.7.1)
}
