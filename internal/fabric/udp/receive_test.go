package udp

import (
	"net/netip"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/freeflow-rdma/freeflow/internal/mem"
)

// given makes a Receiver whose kernel gives one message as fill makes it.
func given(fill func(r *Receiver, m *mmsghdr) syscall.Errno) (*Receiver, *Counters) {
	c := &Counters{}
	r := newReceiver(-1, true, c)
	r.recv = func(_ int, msgs []mmsghdr) (int, syscall.Errno) {
		msgs[0].namelen, msgs[0].controllen = 0, 0
		if errno := fill(r, &msgs[0]); errno != 0 {
			return 0, errno
		}
		return 1, 0
	}
	return r, c
}

func TestMalformedMessages(t *testing.T) {
	for name, fill := range map[string]func(r *Receiver, m *mmsghdr){
		"truncated":         func(_ *Receiver, m *mmsghdr) { m.flags = unix.MSG_TRUNC },
		"control truncated": func(_ *Receiver, m *mmsghdr) { m.flags = unix.MSG_CTRUNC },
		"longer than room":  func(_ *Receiver, m *mmsghdr) { m.n = groRoom + 1 },
		"long control":      func(_ *Receiver, m *mmsghdr) { m.controllen = controlRoom + 1 },
		"long name":         func(_ *Receiver, m *mmsghdr) { m.namelen = 100 },
		"bad control":       func(_ *Receiver, m *mmsghdr) { m.controllen = unix.SizeofCmsghdr }, // of length 0
	} {
		r, c := given(func(r *Receiver, m *mmsghdr) syscall.Errno {
			m.n = 100
			fill(r, m)
			return 0
		})
		r.Poll()
		var a Arrival
		if r.Next(&a) || c.ReceiveMalformed.Load() != 1 || c.ReceivedPackets.Load() != 0 {
			t.Errorf("%s: %+v, %d counted", name, a, c.ReceiveMalformed.Load())
		}
	}
}

func TestCuttingAMessage(t *testing.T) {
	for _, c := range []struct{ bytes, segment, packets, last int }{
		{0, 0, 0, 0}, {0, 10, 0, 0}, {10, 0, 1, 10}, {10, 10, 1, 10}, {10, 100, 1, 10}, {30, 10, 3, 10}, {31, 10, 4, 1}, {65507, 1, 65507, 1},
	} {
		r, counters := given(func(r *Receiver, m *mmsghdr) syscall.Errno {
			m.n = uint32(c.bytes)
			m.controllen = uintptr(copy(r.control[0][:], message(unix.SOL_UDP, unix.UDP_GRO, u32(uint32(c.segment))...)))
			return 0
		})
		messages, more := r.Poll()
		var a Arrival
		n := 0
		for r.Next(&a) {
			if a.Index != n {
				t.Errorf("%+v: packet %d has index %d", c, n, a.Index)
			}
			n++
		}
		if messages != 1 || more || n != c.packets || len(a.Bytes) != c.last || int(counters.ReceivedPackets.Load()) != n {
			t.Errorf("%+v: %d packets, the last of %d bytes, %d counted", c, n, len(a.Bytes), counters.ReceivedPackets.Load())
		}
	}
}

func TestOverflowsAreCountedOnce(t *testing.T) {
	drops := uint32(0)
	r, c := given(func(r *Receiver, m *mmsghdr) syscall.Errno {
		m.n = 1
		m.controllen = uintptr(copy(r.control[0][:], message(unix.SOL_SOCKET, unix.SO_RXQ_OVFL, u32(drops)...)))
		return 0
	})
	var a Arrival
	for _, drops = range []uint32{5, 5, 0xffffffff, 4} { // it wraps
		r.Poll()
		for r.Next(&a) {
		}
	}
	if got := c.ReceiveOverflowed.Load(); got != 1<<32+4 {
		t.Errorf("%d lost, want 2^32 + 4", got)
	}
}

func TestReceiveErrors(t *testing.T) {
	for errno, want := range map[syscall.Errno]struct {
		more   bool
		errors uint64
	}{unix.EAGAIN: {false, 0}, unix.EINTR: {true, 0}, unix.ECONNREFUSED: {true, 1}} {
		r, c := given(func(*Receiver, *mmsghdr) syscall.Errno { return errno })
		n, more := r.Poll()
		if n != 0 || more != want.more || c.ReceiveErrors.Load() != want.errors {
			t.Errorf("%v: %d messages, more %v, %d errors", errno, n, more, c.ReceiveErrors.Load())
		}
	}
}

func TestPollForgetsWhatWasNotTaken(t *testing.T) {
	p := openIn(t, namespaceUp(t), Config{Addr: netip.MustParseAddrPort(anyPort)})
	dst, s := dest(t, p.Addr()), p.Socket(0)
	letters(t, s.Batch, dst, 3, 10)
	if !wait(s) {
		t.Fatal("nothing came")
	}
	s.Receiver.Poll()
	var a Arrival
	s.Receiver.Next(&a)
	if n, more := s.Receiver.Poll(); n != 0 || more || s.Receiver.Next(&a) {
		t.Errorf("%d messages, more %v, %d bytes", n, more, len(a.Bytes))
	}
}

func TestNoAllocation(t *testing.T) {
	p := openIn(t, namespaceUp(t), Config{Addr: netip.MustParseAddrPort(anyPort)})
	dst, s := dest(t, p.Addr()), p.Socket(0)
	spans := []mem.Span{mem.Mapped(make([]byte, 1024))}
	far := []mem.Span{elsewhere(t, make([]byte, 1024))}
	var a Arrival
	arrived := 0
	allocs := testing.AllocsPerRun(100, func() {
		for range 20 {
			_, _ = s.Batch.Queue(dst, Shape{Header: 68, Payload: 1024, Trailer: 4}, spans)
			_, _ = s.Batch.Queue(dst, Shape{Header: 68, Payload: 1024, Trailer: 4}, far)
			_, _ = s.Batch.Queue(dst, Shape{Header: 68, Payload: 1024, Trailer: 4, Copy: true}, spans)
		}
		s.Batch.Flush()
		for more := true; more; {
			var n int
			n, more = s.Receiver.Poll()
			for s.Receiver.Next(&a) {
				arrived++
			}
			more = more || n > 0
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations to send and receive", allocs)
	}
	if arrived == 0 {
		t.Error("nothing arrived")
	}
}
