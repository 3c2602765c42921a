package admin

import (
	"errors"
	"fmt"
	"net"

	"golang.org/x/sys/unix"

	"github.com/freeflow-rdma/freeflow/internal/vnet"
)

// credentials are what the kernel recorded when the peer connected.
type credentials struct {
	pid int
	uid uint32
	// pidfd refers to the process itself, not to its number; -1 on kernels before 6.5.
	pidfd int
	err   error
}

func peerCredentials(conn net.Conn) credentials {
	c := credentials{pidfd: -1}
	raw, err := conn.(*net.UnixConn).SyscallConn()
	if err != nil {
		c.err = err
		return c
	}
	c.err = errors.Join(raw.Control(func(fd uintptr) {
		var u *unix.Ucred
		u, c.err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
		if c.err != nil {
			return
		}
		c.pid, c.uid = int(u.Pid), u.Uid
		if pidfd, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_PEERPIDFD); err == nil {
			c.pidfd = pidfd
			unix.CloseOnExec(pidfd)
		}
	}), c.err)
	return c
}

// namespace opens the network namespace of the peer. That the process is still alive afterwards proves
// that its number had not passed to another process before.
func (c credentials) namespace() (*vnet.Namespace, error) {
	if c.pid == 0 {
		return nil, fmt.Errorf("the peer's process is not visible from the router's PID namespace: %w", ErrForbidden)
	}
	ns, err := vnet.NamespaceOfProcess(c.pid)
	if err != nil {
		return nil, err
	}
	if err := c.alive(); err != nil {
		ns.Close()
		return nil, err
	}
	return ns, nil
}

func (c credentials) alive() error {
	if c.pidfd < 0 {
		return nil
	}
	if err := unix.PidfdSendSignal(c.pidfd, 0, nil, 0); err != nil {
		return fmt.Errorf("the registering process is gone: %w", err)
	}
	return nil
}

func (c credentials) close() {
	if c.pidfd >= 0 {
		unix.Close(c.pidfd)
	}
}
