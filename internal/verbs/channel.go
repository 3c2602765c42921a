package verbs

import (
	"encoding/binary"
	"fmt"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// Channel is a completion channel, or the async channel of a context: a SEQPACKET socket pair whose one end is the program's. A
// message is an event. What the socket does not take waits in the backlog, so that no event is lost on a slow reader.
//
// Any goroutine may use a Channel; workers do, so nothing here blocks.
type Channel struct {
	mu      sync.Mutex
	ours    int
	theirs  *os.File // a duplicate stays here, to take unread events back (DestroyCQ)
	inode   uint64
	backlog [][]byte
	waiting bool // a goroutine waits for the socket to take the backlog
	closed  bool
	sent    map[uint64]uint32 // async: events sent by element
}

// maxBacklog bounds the events that wait for a program that does not read; there is one for each time a CQ was armed.
const maxBacklog = 1 << 17

func newChannel() (*Channel, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("event channel: %w", err)
	}
	c := &Channel{ours: fds[0], theirs: os.NewFile(uintptr(fds[1]), "freeflow-channel"), sent: map[uint64]uint32{}}
	var st unix.Stat_t
	if err = unix.SetNonblock(fds[0], true); err == nil {
		err = unix.Fstat(fds[1], &st)
	}
	if err != nil {
		c.close()
		return nil, fmt.Errorf("event channel: %w", err)
	}
	c.inode = st.Ino
	return c, nil
}

// clientEnd duplicates the program's end, for sending it there.
func (c *Channel) clientEnd() (*os.File, error) {
	fd, err := unix.FcntlInt(c.theirs.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("event channel: %w", err)
	}
	return os.NewFile(uintptr(fd), "freeflow-channel"), nil
}

func (c *Channel) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.closed = true
		_ = unix.Close(c.ours)
		_ = c.theirs.Close()
	}
}

// send queues one event.
func (c *Channel) send(event []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sendLocked(event)
}

func (c *Channel) sendLocked(event []byte) {
	if c.closed {
		return
	}
	if len(c.backlog) == 0 && c.write(event) {
		return
	}
	if len(c.backlog) >= maxBacklog {
		return
	}
	c.backlog = append(c.backlog, append([]byte(nil), event...))
	if !c.waiting {
		c.waiting = true
		go c.drain()
	}
}

// write reports false if the socket is full. An event for a program that has closed its end is dropped.
func (c *Channel) write(event []byte) bool {
	for {
		err := unix.Sendto(c.ours, event, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, nil)
		if err == syscall.EINTR {
			continue
		}
		return err != syscall.EAGAIN
	}
}

// drain moves the backlog into the socket as the program reads.
func (c *Channel) drain() {
	for {
		c.mu.Lock()
		for !c.closed && len(c.backlog) > 0 && c.write(c.backlog[0]) {
			c.backlog = c.backlog[1:]
		}
		if c.closed || len(c.backlog) == 0 {
			c.waiting = false
			c.mu.Unlock()
			return
		}
		fd, err := unix.FcntlInt(uintptr(c.ours), unix.F_DUPFD_CLOEXEC, 0)
		c.mu.Unlock()
		if err != nil {
			return
		}
		_, _ = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, 1000)
		_ = unix.Close(fd)
	}
}

// sendCompletion sends a struct ib_uverbs_comp_event_desc.
func (c *Channel) sendCompletion(cq *CQ) {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], cq.user)
	c.mu.Lock()
	defer c.mu.Unlock()
	cq.events++
	c.sendLocked(b[:])
}

// sendAsync sends a struct ib_uverbs_async_event_desc.
func (c *Channel) sendAsync(element uint64, ev AsyncEvent) {
	var b [16]byte
	binary.LittleEndian.PutUint64(b[:], element)
	binary.LittleEndian.PutUint32(b[8:], uint32(ev))
	c.mu.Lock()
	defer c.mu.Unlock()
	if element != 0 {
		c.sent[element]++
	}
	c.sendLocked(b[:])
}

// takeBack removes the unread events for which drop is true, and gives their number.
func (c *Channel) takeBack(drop func(event []byte) bool) uint32 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return 0
	}
	var keep [][]byte
	n, theirs := uint32(0), -1
	if fd := c.theirs.Fd(); fd != ^uintptr(0) {
		theirs = int(fd)
	}
	buf := make([]byte, 16)
	for {
		k, _, err := unix.Recvfrom(theirs, buf, unix.MSG_DONTWAIT)
		if err == syscall.EINTR {
			continue
		}
		if err != nil || k <= 0 {
			break
		}
		keep = append(keep, append([]byte(nil), buf[:k]...))
	}
	keep = append(keep, c.backlog...)
	c.backlog = nil
	for _, ev := range keep {
		if drop(ev) {
			n++
			continue
		}
		c.sendLocked(ev)
	}
	return n
}

// forgetAsync takes back the unread async events of an element and gives the number of those that the program has read.
func (c *Channel) forgetAsync(element uint64) uint32 {
	back := c.takeBack(func(ev []byte) bool { return len(ev) == 16 && binary.LittleEndian.Uint64(ev) == element })
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.sent[element]
	delete(c.sent, element)
	return n - back
}

// CreateCompChannel makes a completion channel and gives the program's end, which the caller sends and closes.
func (c *Context) CreateCompChannel() (*os.File, error) {
	ch, err := newChannel()
	if err != nil {
		return nil, syscall.EMFILE
	}
	f, err := ch.clientEnd()
	if err != nil {
		ch.close()
		return nil, syscall.EMFILE
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.channels) >= sweepChannels {
		c.dropUnusedChannels()
	}
	if len(c.channels) >= maxChannels {
		ch.close()
		_ = f.Close()
		return nil, syscall.EMFILE
	}
	c.channels[ch.inode] = ch
	return f, nil
}

// Bounds on a context's channels: as many may exist, and from so many on the abandoned ones are looked for.
const (
	maxChannels   = 4096
	sweepChannels = 64
)

// dropUnusedChannels closes the channels whose end the program has closed: there is no command that says so.
func (c *Context) dropUnusedChannels() {
	used := map[*Channel]bool{}
	c.cqs.each(func(_ uint32, q *CQ) { used[q.channel] = true })
	for ino, ch := range c.channels {
		if !used[ch] && ch.abandoned() {
			ch.close()
			delete(c.channels, ino)
		}
	}
}

// abandoned gives up the duplicate of the program's end and reports whether that was the last. A channel that goes on being used
// without the duplicate cannot take events back; only a program with more than sweepChannels idle channels has such.
func (c *Channel) abandoned() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return true
	}
	_ = c.theirs.Close()
	p := []unix.PollFd{{Fd: int32(c.ours)}}
	n, err := unix.Poll(p, 0)
	return err == nil && n == 1 && p[0].Revents&unix.POLLHUP != 0
}

// AsyncFile gives the program's end of the async channel, which the caller sends and closes.
func (c *Context) AsyncFile() (*os.File, error) { return c.async.clientEnd() }
