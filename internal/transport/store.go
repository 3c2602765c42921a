package transport

import "sync/atomic"

// poolLimit bounds the memory for packets that wait, of all queue pairs of a host, in bytes.
const poolLimit = 64 << 20

// pool hands out room for packets that wait.
type pool struct {
	limit int64
	used  atomic.Int64
}
