package udp

import (
	"bytes"
	"errors"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/freeflow-rdma/freeflow/internal/mem"
)

// sink stands for the kernel: it takes messages, cuts them into packets, and refuses what refuse says.
type sink struct {
	packets  [][]byte
	segments []int // size that each message is to be cut by
	vecs     []int // iovecs of each message
	calls    int
	refuse   func(m *mmsghdr) syscall.Errno
}

func (k *sink) send(_ int, msgs []mmsghdr) (int, syscall.Errno) {
	k.calls++
	for i := range msgs {
		if k.refuse != nil {
			if errno := k.refuse(&msgs[i]); errno != 0 {
				if i > 0 {
					errno = 0
				}
				return i, errno
			}
		}
		b, segment := msgs[i].contents()
		k.segments, k.vecs = append(k.segments, segment), append(k.vecs, int(msgs[i].iovlen))
		if segment == 0 {
			segment = len(b)
		}
		for len(b) > 0 {
			n := min(segment, len(b))
			k.packets, b = append(k.packets, b[:n]), b[n:]
		}
	}
	return len(msgs), 0
}

func newSink(packets int) (*Batch, *sink, *Counters) {
	k, c, f := &sink{}, &Counters{}, &features{}
	f.maxSegments.Store(oldSegments)
	b := newBatch(-1, packets, f, c)
	b.send = k.send
	return b, k, c
}

// queue queues a packet with header and trailer of one letter each and gives the whole.
func queue(tb testing.TB, b *Batch, dst *Dest, s Shape, spans ...mem.Span) []byte {
	tb.Helper()
	p, err := b.Queue(dst, s, spans)
	must(tb, err)
	for i := range p.Header {
		p.Header[i] = 'h'
	}
	for i := range p.Trailer {
		p.Trailer[i] = 't'
	}
	if len(p.Header) != s.Header || len(p.Trailer) != s.Trailer {
		tb.Fatalf("header of %d and trailer of %d bytes, want %+v", len(p.Header), len(p.Trailer), s)
	}
	whole := append(bytes.Clone(p.Header), bytes.Join(p.Payload, nil)...)
	return append(whole, p.Trailer...)
}

func TestTrailerAndNextHeaderShareAnIovec(t *testing.T) {
	b, k, c := newSink(8)
	payload := mem.Mapped([]byte("payload"))
	dst := &Dest{}
	for i := range 3 {
		queue(t, b, dst, Shape{Header: 5, Payload: 7, Trailer: 4}, payload)
		if got := b.packet.Segment; int(got) != i {
			t.Errorf("packet %d is segment %d", i, got)
		}
	}
	queue(t, b, dst, Shape{Header: 5, Payload: 7, Trailer: 4, Copy: true}, payload)
	b.Flush()
	if k.calls != 1 || len(k.vecs) != 1 || k.vecs[0] != 7 { // h p th p th p thpt
		t.Errorf("%d calls, iovecs %v", k.calls, k.vecs)
	}
	for _, p := range k.packets {
		if string(p) != "hhhhhpayloadtttt" {
			t.Errorf("packet %q", p)
		}
	}
	if c.SentPackets.Load() != 4 || c.SentBytes.Load() != 64 || c.SentMessages.Load() != 1 || c.CopiedPackets.Load() != 1 {
		t.Errorf("counted %d packets, %d bytes, %d messages, %d copied",
			c.SentPackets.Load(), c.SentBytes.Load(), c.SentMessages.Load(), c.CopiedPackets.Load())
	}
}

func TestPayloadsAreReadWhenTheyMustBe(t *testing.T) {
	for name, c := range map[string]struct {
		span func([]byte) mem.Span
		copy bool
		want string
	}{
		"mapped: when sent":   {span: mem.Mapped, want: "later"},
		"inline: when queued": {span: mem.Mapped, copy: true, want: "first"},
		"not mapped: when queued": {
			span: func(b []byte) mem.Span { return elsewhere(t, b) }, want: "first",
		},
	} {
		b, k, _ := newSink(8)
		memory := []byte("first")
		queue(t, b, &Dest{}, Shape{Payload: 5, Copy: c.copy}, c.span(memory))
		copy(memory, "later")
		b.Flush()
		if got := string(k.packets[0]); got != c.want {
			t.Errorf("%s: sent %q, want %q", name, got, c.want)
		}
	}
}

func TestPayloadOfManyPieces(t *testing.T) {
	memory := []byte("abcdefghijklmnopqrstuvwxyz")
	for _, pieces := range []int{1, 2, maxGather, maxGather + 1, 26} {
		b, k, _ := newSink(8)
		spans := []mem.Span{mem.Mapped(nil)} // an empty one does no harm
		for i := range pieces {
			spans = append(spans, mem.Mapped(memory[i:i+1]))
		}
		spans[pieces] = mem.Mapped(memory[pieces-1:]) // and longer than the packet
		queue(t, b, &Dest{}, Shape{Header: 1, Payload: pieces, Trailer: 1}, spans...)
		b.Flush()
		if got, want := string(k.packets[0]), "h"+string(memory[:pieces])+"t"; got != want {
			t.Errorf("%d pieces: sent %q, want %q", pieces, got, want)
		}
	}
}

func TestWhatCannotBeQueued(t *testing.T) {
	b, k, _ := newSink(8)
	gone := elsewhere(t, []byte("x"))
	gone.VA = 8
	dst := &Dest{}
	for name, c := range map[string]struct {
		s    Shape
		span mem.Span
		want error
	}{
		"empty":           {s: Shape{}, want: ErrTooLong},
		"negative":        {s: Shape{Header: 8, Payload: -1}, want: ErrTooLong},
		"long header":     {s: Shape{Header: HeaderRoom + 1}, want: ErrTooLong},
		"long payload":    {s: Shape{Payload: MaxPayload + 1}, span: mem.Mapped(make([]byte, 5000)), want: ErrTooLong},
		"long trailer":    {s: Shape{Trailer: TrailerRoom + 1}, want: ErrTooLong},
		"short span":      {s: Shape{Payload: 2}, span: mem.Mapped([]byte("x")), want: ErrShort},
		"unreadable":      {s: Shape{Payload: 1}, span: gone, want: syscall.EFAULT},
		"copy, too short": {s: Shape{Payload: 2, Copy: true}, span: mem.Mapped([]byte("x")), want: ErrShort},
	} {
		if _, err := b.Queue(dst, c.s, []mem.Span{c.span}); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	b.Flush()
	if k.calls != 0 || b.Room() != 8 {
		t.Errorf("something was queued: %d calls, room %d", k.calls, b.Room())
	}
	queue(t, b, dst, Shape{Header: HeaderRoom, Payload: MaxPayload, Trailer: TrailerRoom}, mem.Mapped(make([]byte, MaxPayload)))
	b.Flush()
	if len(k.packets) != 1 || len(k.packets[0]) != maxPacket {
		t.Error("the longest packet did not go")
	}
}

func TestFullBatchSendsByItself(t *testing.T) {
	b, k, _ := newSink(4)
	dst := &Dest{}
	for range 10 {
		queue(t, b, dst, Shape{Header: 3, Payload: MaxPayload, Copy: true}, mem.Mapped(make([]byte, MaxPayload)))
	}
	if len(k.packets) != 8 || b.Queued() != 2 || b.Room() != 2 {
		t.Errorf("%d sent, %d queued, room for %d", len(k.packets), b.Queued(), b.Room())
	}
	b.Flush()
	b.Flush()
	if len(k.packets) != 10 || k.calls != 3 {
		t.Errorf("%d sent with %d calls", len(k.packets), k.calls)
	}
}

// Runs of 3, 1 and 2 packets; the kernel refuses something, and what becomes of the packets.
func TestRefusals(t *testing.T) {
	isRun := func(errno syscall.Errno) func(*mmsghdr) syscall.Errno {
		return func(m *mmsghdr) syscall.Errno {
			if m.control != 0 {
				return errno
			}
			return 0
		}
	}
	has := func(text string, errno syscall.Errno) func(*mmsghdr) syscall.Errno {
		return func(m *mmsghdr) syscall.Errno {
			if b, _ := m.contents(); bytes.Contains(b, []byte(text)) {
				return errno
			}
			return 0
		}
	}
	interrupted := 0
	for name, c := range map[string]struct {
		refuse   func(*mmsghdr) syscall.Errno
		sent     string
		segments int // afterwards
		counter  func(*Counters) uint64
		count    uint64
	}{
		"nothing":            {sent: "a1 a2 a3 b1 c1 c2 ", segments: 64, counter: func(c *Counters) uint64 { return c.SegmentFallbacks.Load() }},
		"runs: EIO":          {refuse: isRun(unix.EIO), sent: "a1 a2 a3 b1 c1 c2 ", segments: 1, counter: func(c *Counters) uint64 { return c.SegmentFallbacks.Load() }, count: 2},
		"runs: EINVAL":       {refuse: isRun(unix.EINVAL), sent: "a1 a2 a3 b1 c1 c2 ", segments: 1, counter: func(c *Counters) uint64 { return c.SegmentFallbacks.Load() }, count: 2},
		"full":               {refuse: has("b1", unix.EAGAIN), sent: "a1 a2 a3 ", segments: 64, counter: func(c *Counters) uint64 { return c.DroppedFull.Load() }, count: 3},
		"no memory for one":  {refuse: has("b1", unix.ENOBUFS), sent: "a1 a2 a3 c1 c2 ", segments: 64, counter: func(c *Counters) uint64 { return c.DroppedFull.Load() }, count: 1},
		"no memory for runs": {refuse: isRun(unix.ENOBUFS), sent: "b1 ", segments: 64, counter: func(c *Counters) uint64 { return c.DroppedFull.Load() }, count: 5},
		"one memory fault":   {refuse: has("a2", unix.EFAULT), sent: "a1 a3 b1 c1 c2 ", segments: 64, counter: func(c *Counters) uint64 { return c.DroppedFault.Load() }, count: 1},
		"one too big":        {refuse: has("c", unix.EMSGSIZE), sent: "a1 a2 a3 b1 ", segments: 64, counter: func(c *Counters) uint64 { return c.DroppedTooBig.Load() }, count: 2},
		"no route":           {refuse: has("a", unix.ENETUNREACH), sent: "b1 c1 c2 ", segments: 64, counter: func(c *Counters) uint64 { return c.DroppedUnreachable.Load() }, count: 3},
		"something else":     {refuse: has("b", unix.ENOTCONN), sent: "a1 a2 a3 c1 c2 ", segments: 64, counter: func(c *Counters) uint64 { return c.DroppedOther.Load() }, count: 1},
		"interrupted": {refuse: func(*mmsghdr) syscall.Errno {
			if interrupted++; interrupted < 3 {
				return unix.EINTR
			}
			return 0
		}, sent: "a1 a2 a3 b1 c1 c2 ", segments: 64, counter: func(c *Counters) uint64 { return c.DroppedOther.Load() }},
	} {
		t.Run(name, func(t *testing.T) {
			b, k, counters := newSink(8)
			k.refuse = c.refuse
			for dst, texts := range [][]string{{"a1 ", "a2 ", "a3 "}, {"b1 "}, {"c1 ", "c2 "}} {
				d := &Dest{Addr: testAddr(dst)}
				for _, text := range texts {
					if _, err := b.Queue(d, Shape{Payload: 3}, []mem.Span{mem.Mapped([]byte(text))}); err != nil {
						t.Fatal(err)
					}
				}
			}
			b.Flush()
			if got := string(bytes.Join(k.packets, nil)); got != c.sent {
				t.Errorf("sent %q, want %q", got, c.sent)
			}
			if got := int(b.features.maxSegments.Load()); got != c.segments {
				t.Errorf("runs may have %d packets now, want %d", got, c.segments)
			}
			if got := c.counter(counters); got != c.count {
				t.Errorf("counted %d, want %d", got, c.count)
			}
			if b.Queued() != 0 {
				t.Errorf("%d packets are still queued", b.Queued())
			}
		})
	}
}

func TestLongRunsAreGivenUpFirst(t *testing.T) {
	f := &features{}
	f.maxSegments.Store(newSegments)
	for _, c := range []struct{ refused, want int }{{100, oldSegments}, {100, oldSegments}, {10, 1}, {100, 1}} {
		f.degrade(c.refused)
		if got := int(f.maxSegments.Load()); got != c.want {
			t.Errorf("after a run of %d was refused: %d, want %d", c.refused, got, c.want)
		}
	}
}

func TestNothingOfProgramsIsKept(t *testing.T) {
	b, _, _ := newSink(4)
	queue(t, b, &Dest{}, Shape{Payload: 3}, mem.Mapped([]byte("abc")))
	queue(t, b, &Dest{}, Shape{Payload: 3}, elsewhere(t, []byte("abc")))
	b.Flush()
	if b.src[0].Proc != nil || b.pieces[0] != nil || b.packet.Payload != nil || b.runs[:1][0].dst != nil || b.vecs[:1][0].base != nil {
		t.Error("pointers to programs' memory outlive Flush")
	}
}
