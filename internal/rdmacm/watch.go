package rdmacm

import (
	"golang.org/x/sys/unix"
)

// watcher waits, in one goroutine for all channels, for those that hang up, and for room in those that have tokens which did not fit.
type watcher struct {
	h          *Host
	epoll, bye int
	err        error // why there is none
}

func newWatcher(h *Host) *watcher {
	w := &watcher{h: h, epoll: -1, bye: -1}
	if w.epoll, w.err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); w.err != nil {
		return w
	}
	if w.bye, w.err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); w.err == nil {
		w.err = unix.EpollCtl(w.epoll, unix.EPOLL_CTL_ADD, w.bye, &unix.EpollEvent{Events: unix.EPOLLIN})
	}
	return w
}

// event names a channel by its inode, which is never 0.
func (w *watcher) event(ch *channel, events uint32) *unix.EpollEvent {
	return &unix.EpollEvent{Events: events, Fd: int32(ch.inode), Pad: int32(ch.inode >> 32)}
}

// add begins to watch for a hang-up, which epoll always tells.
func (w *watcher) add(ch *channel) error {
	if w.err != nil {
		return w.err
	}
	return unix.EpollCtl(w.epoll, unix.EPOLL_CTL_ADD, ch.fd, w.event(ch, 0))
}

// room says whether to watch for room too.
func (w *watcher) room(ch *channel, on bool) {
	var events uint32
	if on {
		events = unix.EPOLLOUT
	}
	_ = unix.EpollCtl(w.epoll, unix.EPOLL_CTL_MOD, ch.fd, w.event(ch, events))
}

func (w *watcher) loop() {
	defer w.h.done.Done()
	events := make([]unix.EpollEvent, 128)
	for w.step(events, -1) {
	}
}

// step waits once, and reports false when it is to end.
func (w *watcher) step(events []unix.EpollEvent, timeout int) bool {
	n, err := unix.EpollWait(w.epoll, events, timeout)
	if err != nil {
		return err == unix.EINTR
	}
	w.h.enter()
	defer w.h.leave()
	for _, e := range events[:n] {
		inode := uint64(uint32(e.Fd)) | uint64(uint32(e.Pad))<<32
		if inode == 0 {
			return false
		}
		// What the event says may be of a channel before this one: ask again.
		switch ch := w.h.channels[inode]; {
		case ch == nil:
		case ch.hungUp():
			w.h.closeChannel(ch)
		default:
			ch.flush()
		}
	}
	return true
}

// end makes the loop end.
func (w *watcher) end() { _, _ = unix.Write(w.bye, []byte{1, 0, 0, 0, 0, 0, 0, 0}) }

func (w *watcher) close() {
	_ = unix.Close(w.epoll)
	_ = unix.Close(w.bye)
}
