package transport

import (
	"unsafe"

	"github.com/freeflow-rdma/freeflow/internal/mem"
)

// cutter cuts the memory of a message into the payloads of its packets.
type cutter struct {
	spans []mem.Span
	off   int // into the first span
}

// next gives the spans of the next n bytes, in out, which has room for as many as there are.
func (c *cutter) next(out *[mem.MaxSpans]mem.Span, n int) []mem.Span {
	k := 0
	for n > 0 && len(c.spans) > 0 && k < len(out) {
		s := c.spans[0]
		take := min(n, s.N-c.off)
		if take > 0 {
			if s.P != nil {
				s.P = unsafe.Add(s.P, c.off)
			} else {
				s.VA += uint64(c.off)
			}
			s.N = take
			out[k] = s
			k++
			n -= take
			c.off += take
		}
		if c.off == c.spans[0].N {
			c.spans, c.off = c.spans[1:], 0
		}
	}
	return out[:k]
}
