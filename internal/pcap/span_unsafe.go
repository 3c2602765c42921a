package pcap

import (
	"unsafe"

	"github.com/freeflow-rdma/freeflow/internal/mem"
)

// skip drops the first n bytes of the span, which has more.
func skip(s *mem.Span, n int) {
	s.N -= n
	if s.P != nil {
		s.P = unsafe.Add(s.P, n)
	} else {
		s.VA += uint64(n)
	}
}
