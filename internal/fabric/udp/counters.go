package udp

import (
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// Counters is what has happened on one socket; its owner writes, anybody reads. Packets are UDP datagrams as the wire has them,
// messages are what one sendmsg or recvmsg moved, calls are system calls.
type Counters struct {
	SentPackets, SentBytes, SentMessages, SendCalls atomic.Uint64

	DroppedFull        atomic.Uint64 // packets not sent: socket buffer full (EAGAIN) or no memory (ENOBUFS, ENOMEM)
	DroppedTooBig      atomic.Uint64 // packets not sent: longer than the interface's MTU (EMSGSIZE)
	DroppedUnreachable atomic.Uint64 // packets not sent: no route, link down, forbidden by a filter
	DroppedFault       atomic.Uint64 // packets not sent: their memory is not there (EFAULT)
	DroppedOther       atomic.Uint64 // packets not sent: any other error
	SegmentFallbacks   atomic.Uint64 // runs that the kernel did not take whole and that went packet by packet
	CopiedPackets      atomic.Uint64 // packets whose payload was copied when queued: inline, not mapped, or in many pieces

	ReceivedPackets, ReceivedBytes, ReceivedMessages, ReceiveCalls atomic.Uint64

	ReceivedCE        atomic.Uint64 // packets that a switch marked: congestion experienced (RFC 3168)
	ReceiveMalformed  atomic.Uint64 // messages dropped: truncated, or the kernel's word on them is not understood
	ReceiveErrors     atomic.Uint64 // receive calls that failed
	ReceiveOverflowed atomic.Uint64 // packets or messages that found the socket's buffer full
}

// Each calls f with the name, in the manner of Prometheus, and the value of each counter.
func (c *Counters) Each(f func(name string, value uint64)) {
	for i := range c.list() {
		f(counterNames[i], c.list()[i].Load())
	}
}

var counterNames = [...]string{
	"sent_packets", "sent_bytes", "sent_messages", "send_calls",
	"dropped_full", "dropped_too_big", "dropped_unreachable", "dropped_fault", "dropped_other",
	"segment_fallbacks", "copied_packets",
	"received_packets", "received_bytes", "received_messages", "receive_calls",
	"received_ce", "receive_malformed", "receive_errors", "receive_overflowed",
}

func (c *Counters) list() [len(counterNames)]*atomic.Uint64 {
	return [...]*atomic.Uint64{
		&c.SentPackets, &c.SentBytes, &c.SentMessages, &c.SendCalls,
		&c.DroppedFull, &c.DroppedTooBig, &c.DroppedUnreachable, &c.DroppedFault, &c.DroppedOther,
		&c.SegmentFallbacks, &c.CopiedPackets,
		&c.ReceivedPackets, &c.ReceivedBytes, &c.ReceivedMessages, &c.ReceiveCalls,
		&c.ReceivedCE, &c.ReceiveMalformed, &c.ReceiveErrors, &c.ReceiveOverflowed,
	}
}

// add sums other into c.
func (c *Counters) add(other *Counters) {
	sum, from := c.list(), other.list()
	for i := range sum {
		sum[i].Add(from[i].Load())
	}
}

// dropped is the counter of packets that an error of the kernel stopped.
func (c *Counters) dropped(errno syscall.Errno) *atomic.Uint64 {
	switch errno {
	case unix.EAGAIN, unix.ENOBUFS, unix.ENOMEM:
		return &c.DroppedFull
	case unix.EMSGSIZE:
		return &c.DroppedTooBig
	case unix.ENETUNREACH, unix.EHOSTUNREACH, unix.ENETDOWN, unix.EHOSTDOWN, unix.EPERM, unix.EACCES, unix.ECONNREFUSED:
		return &c.DroppedUnreachable
	case unix.EFAULT:
		return &c.DroppedFault
	}
	return &c.DroppedOther
}
