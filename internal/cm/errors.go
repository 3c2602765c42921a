package cm

import "errors"

// Errors of the calls. Nothing has been sent or changed when one is returned.
var (
	ErrUnknown = errors.New("cm: no such connection")
	ErrState   = errors.New("cm: not in this state")
	ErrPrivate = errors.New("cm: too much private data")
	ErrHeader  = errors.New("cm: bad RDMA-CM header")
)
