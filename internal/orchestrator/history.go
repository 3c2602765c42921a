package orchestrator

import (
	"sort"

	pb "github.com/freeflow-rdma/freeflow/api/freeflow/v1"
)

// historySize is how many changes are kept for those who watch and were away.
const historySize = 1 << 15

// history is the latest changes in their order, each with the etcd revision that made it. Changes have
// numbers that only grow; the first one kept is number first.
type history struct {
	ring  []event
	first uint64
	floor int64 // every change after this revision is kept
}

type event struct {
	rev    int64
	change *pb.Change
}

func newHistory(floor int64) *history { return &history{floor: floor} }

func (h *history) end() uint64 { return h.first + uint64(len(h.ring)) }

func (h *history) add(e event) {
	if len(h.ring) >= historySize+historySize/4 { // moved seldom, so that it costs little
		drop := len(h.ring) - historySize
		for drop < len(h.ring) && h.ring[drop].rev == h.ring[drop-1].rev {
			drop++ // a revision is kept whole or not at all
		}
		h.floor = h.ring[drop-1].rev
		h.ring = append([]event(nil), h.ring[drop:]...)
		h.first += uint64(drop)
	}
	h.ring = append(h.ring, e)
}

// since returns the number of the first change after rev; false if that is no longer kept.
func (h *history) since(rev int64) (uint64, bool) {
	if rev < h.floor {
		return 0, false
	}
	i := sort.Search(len(h.ring), func(i int) bool { return h.ring[i].rev > rev })
	return h.first + uint64(i), true
}

// from returns the changes from a number on; false if they are no longer kept.
func (h *history) from(n uint64) ([]event, bool) {
	if n < h.first || n > h.end() {
		return nil, false
	}
	return h.ring[n-h.first:], true
}
