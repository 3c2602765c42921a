package transport

import (
	"unsafe"

	"github.com/freeflow-rdma/freeflow/internal/mem"
)

// bytesOf views the n bytes of a mapped span.
func bytesOf(s mem.Span, n int) []byte { return unsafe.Slice((*byte)(s.P), n) }
