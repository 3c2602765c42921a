package engine

import (
	"slices"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Moderation, as network cards moderate their interrupts: to wake a worker for each packet is the quickest for few, and for many costs the sender's
// core and ours as much as copying them. A socket that brings much is not watched but looked at by timer, until it is quiet.

const (
	moderateSpan  = 500_000   // ns over which a source is measured
	moderateBegin = 384 << 10 // so many bytes in a span are much: 6 Gbit/s. Of less, looking costs more than being woken
	moderateEnd   = 128 << 10 // and so few are not, once they were
	moderateTick  = 15_000    // ns between looks
)

// source is what a worker watches, and what it knows of it.
type source struct {
	Source
	fd, slot int
	home     *Worker
	gone     atomic.Bool
	since    int64 // when the span began
	taken    int   // bytes in it
	more     bool  // the last look found something
}

// watch has the source's worker called while there is something to read.
func (s *source) watch() error {
	return unix.EpollCtl(s.home.ep, unix.EPOLL_CTL_ADD, s.fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(s.slot)})
}

// read has a source read some of what there is. Once a span it gives the bytes of it.
func (w *Worker) read(s *source) (bytes int, over bool) {
	n := s.Ready(w)
	s.taken, s.more = s.taken+n, n > 0
	if dt := w.now - s.since; dt >= moderateSpan {
		if bytes = s.taken; dt >= 4*moderateSpan {
			bytes = 0 // it was quiet for most of it
		}
		s.since, s.taken = w.now, 0
		return bytes, true
	}
	return 0, false
}

// takeSource serves a source that has become readable.
func (w *Worker) takeSource(slot int) {
	w.Arrivals.Add(1)
	s := (*w.e.sources.Load())[sourceSlot-slot]
	if bytes, over := w.read(s); over && bytes >= moderateBegin {
		w.unwatch(s.fd)
		w.moderated = append(w.moderated, s)
		w.Moderated.Add(1)
	}
}

// lookAtSources reads what is not watched, and watches again what has become quiet.
func (w *Worker) lookAtSources() {
	w.moderated = slices.DeleteFunc(w.moderated, func(s *source) bool {
		if s.gone.Load() {
			return true
		}
		bytes, over := w.read(s)
		if over && bytes < moderateEnd {
			return s.watch() == nil
		}
		return false
	})
}

// nextSource is when to look at what is not watched; -1: there is nothing.
func (w *Worker) nextSource() int64 {
	at := int64(-1)
	for _, s := range w.moderated {
		if s.more {
			return w.now
		}
		at = w.now + moderateTick
	}
	return at
}
