package fdconn

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// sendTimeout bounds how long a client may leave its replies unread. Replies and requests alternate, so that an honest client's
// socket buffer is always empty when a reply is sent.
const sendTimeout = 2 * time.Second

// usual is how long nearly all messages are at most; a Conn keeps a buffer of this size, longer ones get one of their own.
const usual = 2 << 10

// Conn is one connection to the library in a process.
type Conn struct {
	c     *net.UnixConn
	raw   syscall.RawConn
	small [usual]byte
}

// NewConn takes over a SEQPACKET connection.
func NewConn(c *net.UnixConn) (*Conn, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		c.Close()
		return nil, fmt.Errorf("use connection: %w", err)
	}
	return &Conn{c: c, raw: raw}, nil
}

// SetReceiveDeadline bounds the Receive calls that follow; the zero time lifts the bound.
func (c *Conn) SetReceiveDeadline(t time.Time) error {
	if err := c.c.SetReadDeadline(t); err != nil {
		return fmt.Errorf("set deadline: %w", err)
	}
	return nil
}

// Receive waits for a datagram. The error is io.EOF when the other end is closed (an empty datagram counts as that), and
// ErrMalformed for a datagram that is too long or came with descriptors; the connection is of no use then.
func (c *Conn) Receive() ([]byte, error) {
	size, err := c.next()
	switch {
	case err != nil:
		return nil, err
	case size == 0:
		return nil, io.EOF
	case size > MaxMessage:
		return nil, ErrMalformed
	}
	b := c.small[:]
	if size > len(b) {
		b = make([]byte, size)
	}
	n, flags, err := c.receive(b, 0)
	switch {
	case err != nil:
		return nil, err
	case n != size || flags&(unix.MSG_CTRUNC|unix.MSG_TRUNC) != 0:
		return nil, ErrMalformed
	}
	return b[:n], nil
}

// next waits for a datagram and tells its length.
func (c *Conn) next() (int, error) {
	n, _, err := c.receive(nil, unix.MSG_PEEK|unix.MSG_TRUNC)
	return n, err
}

// receive is recvmsg without room for control data: the kernel drops descriptors that come along, and says MSG_CTRUNC.
func (c *Conn) receive(b []byte, flags int) (n, got int, err error) {
	wait := c.raw.Read(func(fd uintptr) bool {
		for {
			n, _, got, _, err = unix.RecvmsgBuffers(int(fd), [][]byte{b}, nil, flags|unix.MSG_DONTWAIT)
			if !errors.Is(err, unix.EINTR) {
				return !errors.Is(err, unix.EAGAIN)
			}
		}
	})
	if err = errors.Join(wait, err); err != nil {
		return 0, 0, fmt.Errorf("receive: %w", err)
	}
	return n, got, nil
}

// Send sends one datagram with the descriptors of files, which stay the caller's.
func (c *Conn) Send(b []byte, files ...*os.File) error {
	if len(b) > MaxMessage {
		return fmt.Errorf("send %d bytes: %w", len(b), ErrMalformed)
	}
	rights, err := descriptors(files)
	if err != nil {
		return err
	}
	if err := c.c.SetWriteDeadline(time.Now().Add(sendTimeout)); err != nil {
		return fmt.Errorf("set deadline: %w", err)
	}
	if _, _, err := c.c.WriteMsgUnix(b, rights, nil); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	return nil
}

// descriptors makes the control message. Reading the numbers by SyscallConn leaves the files' blocking mode alone.
func descriptors(files []*os.File) ([]byte, error) {
	if len(files) == 0 {
		return nil, nil
	}
	fds := make([]int, len(files))
	for i, f := range files {
		raw, err := f.SyscallConn()
		if err != nil {
			return nil, fmt.Errorf("send descriptor: %w", err)
		}
		if err := raw.Control(func(fd uintptr) { fds[i] = int(fd) }); err != nil {
			return nil, fmt.Errorf("send descriptor: %w", err)
		}
	}
	return unix.UnixRights(fds...), nil
}

// Close ends the connection, and with it a Receive or Send under way.
func (c *Conn) Close() error {
	if err := c.c.Close(); err != nil {
		return fmt.Errorf("close connection: %w", err)
	}
	return nil
}
