package transport

import (
	"github.com/freeflow-rdma/freeflow/internal/verbs"
	"github.com/freeflow-rdma/freeflow/internal/wire"
)

// noCredits in an AETH says that flow control is not used.
const noCredits = 31

// creditCode is IBTA table 46: what the credit codes stand for.
var creditCode = [31]uint32{0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048,
	3072, 4096, 6144, 8192, 12288, 16384, 24576, 32768}

// codeOf gives the code of the largest number of credits that is no more than n.
func codeOf(n uint32) uint8 {
	lo, hi := 0, len(creditCode)-1
	for lo < hi {
		if mid := (lo + hi + 1) / 2; creditCode[mid] <= n {
			lo = mid
		} else {
			hi = mid - 1
		}
	}
	return uint8(lo)
}

// credits is end-to-end flow control of the requester (IBTA 9.7.7.2), counted in messages that take a receive.
type credits struct {
	taken   uint32 // such messages given a number so far
	doneSeq uint32 // the last that the peer has whole
	limit   uint32 // the last that may be sent
	limited bool   // the peer said so
}

// grant takes the credits of an acknowledgement that covers everything before acked. Under mu.
func (k *credits) grant(syndrome uint8) {
	code := syndrome & 0x1f
	k.limited = code < noCredits
	if k.limited {
		k.limit = k.doneSeq + creditCode[code]
	}
}

// allow says whether m may begin. Without a credit one message may be in flight, which asks how things stand.
func (k *credits) allow(r *requester, m *message) bool {
	return !k.limited || int32(m.seq-k.limit) <= 0 || r.at == r.acked
}

// syndrome of an acknowledgement: with the credits of a queue pair that has its own receive queue. The caller holds Resp.
func syndrome(qp *verbs.QP) uint8 {
	if qp.HasSRQ() {
		return wire.SyndromeAck
	}
	return codeOf(qp.RecvCredits())
}
