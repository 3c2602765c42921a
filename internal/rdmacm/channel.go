package rdmacm

import (
	"container/list"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/freeflow-rdma/freeflow/internal/verbs"
)

// channel is one open file of /dev/infiniband/rdma_cm. Its socket pair's one end is the program's, who reads a byte (a token) for
// each event before it asks for it; nothing here keeps a duplicate of that end, so that the last close of it in any process hangs up.
//
// The tokens in the socket, those that did not fit (unsent), and those that the program has taken and not asked for are together as
// many as there are events.
type channel struct {
	h      *Host
	m      *member
	fd     int // ours
	inode  uint64
	ids    map[*id]struct{}
	events list.List // of *event
	unsent int
	closed bool
}

// OpenChannel opens the device for a process of a container: inode names the channel in commands, programEnd is for the process, and
// the caller closes it here once it is there.
//
// Errors: ENODEV for a container that is gone, EMFILE for too many channels.
func (h *Host) OpenChannel(c *verbs.Container) (inode uint64, programEnd *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, nil, fmt.Errorf("rdma_cm channel: %w", err)
	}
	ch := &channel{h: h, fd: fds[0], ids: map[*id]struct{}{}}
	var st unix.Stat_t
	if err = unix.SetNonblock(fds[0], true); err == nil {
		if err = unix.Fstat(fds[1], &st); err == nil {
			ch.inode = st.Ino
			err = h.admit(c, ch)
		}
	}
	if err != nil {
		_ = unix.Close(fds[0])
		_ = unix.Close(fds[1])
		return 0, nil, err
	}
	return ch.inode, os.NewFile(uintptr(fds[1]), "freeflow-rdma_cm"), nil
}

// admit puts a new channel into the tables.
func (h *Host) admit(c *verbs.Container, ch *channel) error {
	h.enter()
	defer h.leave()
	ch.m = h.member(c)
	switch {
	case ch.m == nil, h.closed:
		return syscall.ENODEV
	case ch.m.channels >= maxChannels:
		return syscall.EMFILE
	}
	if old := h.channels[ch.inode]; old != nil { // the program's end was closed, and its inode is another's already
		h.closeChannel(old)
	}
	if err := h.watch.add(ch); err != nil {
		return err
	}
	ch.m.channels++
	h.channels[ch.inode] = ch
	return nil
}

// closeChannel ends a channel and its IDs.
func (h *Host) closeChannel(ch *channel) {
	if ch.closed {
		return
	}
	ch.closed = true
	for i := range ch.ids {
		h.destroyID(i)
	}
	delete(h.channels, ch.inode)
	ch.m.channels--
	_ = unix.Close(ch.fd) // leaves the watch by itself
}

// token tells the program of one more event.
func (ch *channel) token() {
	if ch.unsent > 0 || !ch.send() {
		if ch.unsent++; ch.unsent == 1 {
			ch.h.watch.room(ch, true)
		}
	}
}

// send reports false if the socket is full. A token for a program that has hung up goes nowhere: the watch will tell.
func (ch *channel) send() bool {
	for {
		err := unix.Sendto(ch.fd, []byte{0}, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, nil)
		if err == syscall.EINTR {
			continue
		}
		return err != syscall.EAGAIN
	}
}

// flush sends the tokens that wait, as far as there is room.
func (ch *channel) flush() {
	for ch.unsent > 0 && ch.send() {
		ch.unsent--
	}
	if ch.unsent == 0 {
		ch.h.watch.room(ch, false)
	}
}

// hungUp asks whether the program has closed its end.
func (ch *channel) hungUp() bool {
	p := []unix.PollFd{{Fd: int32(ch.fd)}}
	n, err := unix.Poll(p, 0)
	return err == nil && n == 1 && p[0].Revents&(unix.POLLHUP|unix.POLLERR) != 0
}
