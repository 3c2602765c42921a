package verbs

import (
	"sync"
	"time"
)

// lateMail delivers the events that sockets did not take at once. It is one goroutine for the whole device, there only while a backlog is,
// so that programs which never read cost no threads.
type lateMail struct {
	mu       sync.Mutex
	channels []*Channel
	running  bool
}

// A channel's backlog is tried again after firstRetry, and while nothing moves ever later up to lastRetry.
const (
	firstRetry = time.Millisecond
	lastRetry  = 16 * time.Millisecond
)

// add takes a channel that has a backlog now. The caller holds the channel's lock.
func (l *lateMail) add(c *Channel) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.channels = append(l.channels, c)
	if !l.running {
		l.running = true
		go l.run()
	}
}

func (l *lateMail) run() {
	for {
		time.Sleep(firstRetry)
		l.mu.Lock()
		list := l.channels
		l.channels = nil
		l.mu.Unlock()
		now, left := time.Now(), list[:0]
		for _, c := range list {
			if c.flush(now) {
				left = append(left, c)
			}
		}
		l.mu.Lock()
		l.channels = append(l.channels, left...)
		if len(l.channels) == 0 {
			l.running = false
			l.mu.Unlock()
			return
		}
		l.mu.Unlock()
	}
}
