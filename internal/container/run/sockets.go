package run

import (
	"errors"

	"github.com/freeflow-rdma/freeflow/internal/admin"
	"github.com/freeflow-rdma/freeflow/internal/container/image"
)

// errNoSockets says what to install for Options.Sockets.
var errNoSockets = errors.New("run --sockets: rsocket/librspreload.so is not found, by which sockets become RDMA connections: install it (Debian, Ubuntu: librdmacm1 or librdmacm1t64, Fedora: librdmacm)")

// checkSockets says why the program's sockets cannot be RDMA connections, if they are to be.
func (o *Options) checkSockets(l image.Libraries) error {
	if o.Sockets && l.Sockets == "" {
		return errNoSockets
	}
	return nil
}

// preload lists the libraries that the program runs with. FreeFlow's is the first: its write() is then the next thing to the program's
// and to librdmacm's, so that doorbells take no detour, and what is not its own it passes on to librspreload's (docs/sockets.md).
func (o *Options) preload(info admin.ContainerInfo, l image.Libraries) []string {
	if o.Sockets {
		return []string{info.Library, l.Sockets}
	}
	return []string{info.Library}
}
