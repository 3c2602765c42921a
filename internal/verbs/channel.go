package verbs

import (
	"encoding/binary"
	"fmt"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Channel is a completion channel, or the async channel of a context: a SEQPACKET socket pair whose one end is the program's. A
// message is an event. What the socket does not take waits in the backlog, so that no event is lost on a slow reader; a
// completion queue has one event there at the most, since a program that reads it late sees all that came before.
//
// Any goroutine may use a Channel; workers do, so nothing here blocks.
type Channel struct {
	mu      sync.Mutex
	late    *lateMail
	ours    int
	theirs  *os.File // a duplicate stays here, to take unread events back (DestroyCQ)
	inode   uint64
	backlog []event
	waiting bool // late knows of the backlog
	retry   time.Duration
	retryAt time.Time
	closed  bool
	hadCQ   bool              // a CQ has used it; under the context's lock
	sent    map[uint64]uint32 // async: events sent by element
}

// event is one message: struct ib_uverbs_comp_event_desc or ib_uverbs_async_event_desc.
type event struct {
	b  [16]byte
	n  int
	cq *CQ // a completion's
}

// maxBacklog bounds the async events that wait for a program that does not read.
const maxBacklog = 1 << 14

func newChannel(late *lateMail) (*Channel, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("event channel: %w", err)
	}
	c := &Channel{late: late, ours: fds[0], theirs: os.NewFile(uintptr(fds[1]), "freeflow-channel"), sent: map[uint64]uint32{}}
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
		c.backlog = nil
		_ = unix.Close(c.ours)
		_ = c.theirs.Close()
	}
}

// sendLocked gives the socket an event, or keeps it.
func (c *Channel) sendLocked(e event) {
	if c.closed || len(c.backlog) == 0 && c.write(&e) {
		return
	}
	if e.cq != nil {
		e.cq.queued = true
	}
	c.backlog = append(c.backlog, e)
	if !c.waiting {
		c.waiting = true
		c.retry = firstRetry
		c.retryAt = time.Now().Add(firstRetry)
		c.late.add(c)
	}
}

// write reports false if the socket is full. An event for a program that has closed its end is dropped.
func (c *Channel) write(e *event) bool {
	for {
		err := unix.Sendto(c.ours, e.b[:e.n], unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, nil)
		if err == syscall.EINTR {
			continue
		}
		return err != syscall.EAGAIN
	}
}

// flush moves the backlog into the socket as far as it goes and reports whether some is left.
func (c *Channel) flush(now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now.Before(c.retryAt) {
		return true
	}
	n := 0
	for ; n < len(c.backlog) && !c.closed && c.write(&c.backlog[n]); n++ {
		if cq := c.backlog[n].cq; cq != nil {
			cq.queued = false
		}
	}
	c.backlog = c.backlog[n:]
	if c.waiting = len(c.backlog) > 0; !c.waiting {
		c.backlog = nil
		return false
	}
	if c.retry *= 2; n > 0 || c.retry > lastRetry {
		c.retry = firstRetry
		if n == 0 {
			c.retry = lastRetry
		}
	}
	c.retryAt = now.Add(c.retry)
	return true
}

// sendCompletion sends a struct ib_uverbs_comp_event_desc.
func (c *Channel) sendCompletion(cq *CQ) {
	e := event{n: 8, cq: cq}
	binary.LittleEndian.PutUint64(e.b[:], cq.user)
	c.mu.Lock()
	defer c.mu.Unlock()
	if cq.queued {
		return
	}
	cq.events++
	c.sendLocked(e)
}

// sendAsync sends a struct ib_uverbs_async_event_desc.
func (c *Channel) sendAsync(element uint64, ev AsyncEvent) {
	e := event{n: 16}
	binary.LittleEndian.PutUint64(e.b[:], element)
	binary.LittleEndian.PutUint32(e.b[8:], uint32(ev))
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.backlog) >= maxBacklog {
		return
	}
	if element != 0 {
		c.sent[element]++
	}
	c.sendLocked(e)
}

// takeBack removes the unread events whose first word is element, and gives their number.
func (c *Channel) takeBack(element uint64) (n uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return 0
	}
	kept := slices.DeleteFunc(append(c.unread(), c.backlog...), func(e event) bool {
		drop := binary.LittleEndian.Uint64(e.b[:]) == element
		if drop {
			n++
		}
		return drop
	})
	c.backlog = nil
	for _, e := range kept {
		if e.cq != nil {
			e.cq.queued = false
		}
		c.sendLocked(e)
	}
	return n
}

// unread takes what the socket holds out of it.
func (c *Channel) unread() (all []event) {
	fd := c.theirs.Fd()
	if fd == ^uintptr(0) {
		return nil
	}
	for {
		var e event
		n, _, err := unix.Recvfrom(int(fd), e.b[:], unix.MSG_DONTWAIT)
		if err == syscall.EINTR {
			continue
		}
		if err != nil || n <= 0 {
			return all
		}
		e.n = n
		all = append(all, e)
	}
}

// forgetAsync takes back the unread async events of an element and gives the number of those that the program has read.
func (c *Channel) forgetAsync(element uint64) uint32 {
	back := c.takeBack(element)
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.sent[element]
	delete(c.sent, element)
	return n - min(n, back)
}

// CreateCompChannel makes a completion channel and gives the program's end, which the caller sends and closes.
func (c *Context) CreateCompChannel() (*os.File, error) {
	ch, err := newChannel(&c.dev.late)
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
	maxChannels   = 1024
	sweepChannels = 64
)

// dropUnusedChannels closes the channels whose end the program has closed: there is no command that says so. A channel that no CQ has used yet
// is left alone while there is room: a program may make all its channels first.
func (c *Context) dropUnusedChannels() {
	used := map[*Channel]bool{}
	c.cqs.each(func(_ uint32, q *CQ) { used[q.channel] = true })
	for ino, ch := range c.channels {
		if !used[ch] && (ch.hadCQ || len(c.channels) >= maxChannels) && ch.abandoned() {
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
