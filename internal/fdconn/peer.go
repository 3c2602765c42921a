package fdconn

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Peer is the process that connected, as the kernel recorded it then.
type Peer struct {
	PID      int
	UID, GID uint32
	pidfd    int
}

// ErrNoPeer says that the process that connected cannot be told any more, or is not visible to the router.
var ErrNoPeer = errors.New("the connecting process is gone or not visible")

// Peer tells who is at the other end. The caller closes the result.
//
// The pidfd refers to the process itself, whoever has its number later. Kernels before 6.5 cannot give the pidfd of a
// peer: there the number is resolved at once, which leaves the time since connect() for it to have changed hands.
func (c *Conn) Peer() (*Peer, error) {
	p := &Peer{pidfd: -1}
	var failed error
	err := c.raw.Control(func(fd uintptr) {
		var u *unix.Ucred
		if u, failed = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); failed != nil {
			return
		}
		p.PID, p.UID, p.GID = int(u.Pid), u.Uid, u.Gid
		if p.PID == 0 {
			failed = ErrNoPeer
			return
		}
		p.pidfd, failed = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_PEERPIDFD)
		if errors.Is(failed, unix.ENOPROTOOPT) {
			p.pidfd, failed = unix.PidfdOpen(p.PID, 0)
		}
	})
	if err := errors.Join(err, failed); err != nil {
		return nil, fmt.Errorf("identify peer: %w", err)
	}
	unix.CloseOnExec(p.pidfd)
	return p, nil
}

// Alive fails when the process is gone. What was read from /proc under its number before a successful call was its own.
func (p *Peer) Alive() error {
	fds := []unix.PollFd{{Fd: int32(p.pidfd), Events: unix.POLLIN}} // readable when the process has ended
	n, err := unix.Poll(fds, 0)
	for errors.Is(err, unix.EINTR) {
		n, err = unix.Poll(fds, 0)
	}
	if err != nil || n != 0 {
		return fmt.Errorf("process %d: %w", p.PID, errors.Join(ErrNoPeer, err))
	}
	return nil
}

// Close gives the reference up.
func (p *Peer) Close() {
	if p.pidfd >= 0 {
		unix.Close(p.pidfd)
		p.pidfd = -1
	}
}
