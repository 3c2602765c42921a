package udp

import (
	"errors"
	"sync/atomic"
	"syscall"

	"github.com/freeflow-rdma/freeflow/internal/mem"
)

// Limits of one packet.
const (
	HeaderRoom  = 192  // Geneve, inner IPv6, UDP, BTH and any extension headers take less
	MaxPayload  = 4096 // the longest path MTU of RoCE
	TrailerRoom = 8    // pad and ICRC
	maxPacket   = HeaderRoom + MaxPayload + TrailerRoom
	maxGather   = 8 // spans of a payload in more pieces than this are copied
)

// Errors of Queue. Nothing is queued then.
var (
	ErrTooLong = errors.New("packet longer than a batch takes")
	ErrShort   = errors.New("spans hold less than the payload")
)

// Shape is how long the parts of a packet are, in bytes: at most HeaderRoom, MaxPayload and TrailerRoom.
type Shape struct {
	Header, Payload, Trailer int
	Copy                     bool // the payload is read now, since its memory will not keep (inline data)
}

// Packet is the packet queued last, until the next Queue or Flush: what its sender has yet to write, and what it needs for that.
type Packet struct {
	Header  []byte   // to be written
	Trailer []byte   // to be written
	Payload [][]byte // as it will go, in order; may be memory of a program, which can change it at any time
	// Segment is the packet's place in its run: the IPv4 identification that Linux will give it, which plain RoCEv2's ICRC covers.
	Segment uint16
}

// Batch collects packets and sends them with few system calls. One worker's.
type Batch struct {
	fd       int
	features *features
	counters *Counters
	send     func(fd int, msgs []mmsghdr) (int, syscall.Errno)

	packets int     // queued
	copied  int     // of them, with copied payload
	arena   []byte  // headers, trailers and copied payloads, in the order in which they were queued
	used    int     // of it
	vecs    []iovec // of all runs, in order
	runs    []run
	tail    bool // the last iovec ends where the arena's free part begins
	msgs    []mmsghdr
	control [][segmentSpace]byte
	single  []iovec // of a packet that goes alone after its run was refused
	alone   [1]mmsghdr

	packet Packet
	pieces [maxGather][]byte
	src    [1]mem.Span
	dst    [1]mem.Span
}

// maxSegments is how many packets a run may have now; shared by the batches of a port.
type features struct {
	maxSegments atomic.Int32
}

func newBatch(fd, packets int, f *features, c *Counters) *Batch {
	return &Batch{
		fd: fd, features: f, counters: c, send: sendmmsg,
		arena:   make([]byte, packets*maxPacket),
		vecs:    make([]iovec, 0, packets*(maxGather+2)),
		runs:    make([]run, 0, packets),
		msgs:    make([]mmsghdr, packets),
		control: make([][segmentSpace]byte, packets),
		single:  make([]iovec, 0, maxGather+2),
	}
}

// Room is how many packets may be queued before the batch sends by itself.
func (b *Batch) Room() int { return cap(b.runs) - b.packets }

// Queued is how many packets wait for Flush.
func (b *Batch) Queued() int { return b.packets }

// Queue adds a packet of the given shape to dst. The caller writes header and trailer into what it gives, before the next Queue or
// Flush. The payload is the first s.Payload bytes of the spans: those of mapped memory are read when the batch is sent, so they must stay
// mapped and, if the bytes matter, unchanged until then. ErrTooLong, ErrShort, or the memory's error (EFAULT) if a process' memory cannot be read.
// A full batch is sent first.
func (b *Batch) Queue(dst *Dest, s Shape, payload []mem.Span) (*Packet, error) {
	if uint(s.Header) > HeaderRoom || uint(s.Payload) > MaxPayload || uint(s.Trailer) > TrailerRoom || s.Header+s.Payload+s.Trailer == 0 {
		return nil, ErrTooLong
	}
	if b.Room() == 0 {
		b.Flush()
	}
	p := &b.packet
	room := b.arena[b.used:]
	p.Header, room = room[:s.Header:s.Header], room[s.Header:]
	gathered := (!s.Copy || s.Payload == 0) && b.gather(payload, s.Payload)
	if !gathered {
		if err := b.copyPayload(room[:s.Payload:s.Payload], payload); err != nil {
			return nil, err
		}
		room = room[s.Payload:]
	}
	p.Trailer = room[:s.Trailer:s.Trailer]
	b.place(dst, s, gathered)
	return p, nil
}

// gather takes the payload as it lies in mapped memory; false if that cannot be done.
func (b *Batch) gather(spans []mem.Span, n int) bool {
	b.packet.Payload = b.pieces[:0]
	for i := range spans {
		if n == 0 {
			break
		}
		s := &spans[i]
		if s.N <= 0 {
			continue
		}
		if s.P == nil || len(b.packet.Payload) == maxGather {
			return false
		}
		part := bytesOf(s, min(s.N, n))
		b.packet.Payload = append(b.packet.Payload, part)
		n -= len(part)
	}
	return n == 0
}

// copyPayload reads the payload into the arena.
func (b *Batch) copyPayload(to []byte, spans []mem.Span) error {
	b.packet.Payload = append(b.pieces[:0], to)
	for i := range spans {
		if len(to) == 0 {
			break
		}
		n := min(spans[i].N, len(to))
		if n <= 0 {
			continue
		}
		b.src[0], b.dst[0] = spans[i], mem.Mapped(to[:n])
		b.src[0].N = n
		if _, err := mem.Copy(b.dst[:], b.src[:], nil); err != nil {
			return err
		}
		to = to[n:]
	}
	if len(to) > 0 {
		return ErrShort
	}
	b.copied++
	return nil
}

// place puts the packet into the last run or a new one, and its parts into iovecs.
func (b *Batch) place(dst *Dest, s Shape, gathered bool) {
	p := &b.packet
	size := s.Header + s.Payload + s.Trailer
	var last *run
	if len(b.runs) > 0 {
		last = &b.runs[len(b.runs)-1]
	}
	if last == nil || !last.take(dst, size, len(p.Payload)+2, int(b.features.maxSegments.Load())) {
		b.runs = append(b.runs, begin(dst, size, len(b.vecs)))
		last = &b.runs[len(b.runs)-1]
		b.tail = false
	}
	p.Segment = uint16(last.packets - 1)
	if gathered {
		b.fromArena(s.Header)
		for _, part := range p.Payload {
			b.vecs = append(b.vecs, vecOf(part))
			b.tail = false
		}
		b.fromArena(s.Trailer)
	} else {
		b.fromArena(size)
	}
	last.vecs = len(b.vecs) - last.first
	b.packets++
}

// fromArena adds the next n bytes of the arena to the run: a trailer and the header that follows it make one iovec.
func (b *Batch) fromArena(n int) {
	if n == 0 {
		return
	}
	if b.tail {
		b.vecs[len(b.vecs)-1].n += uintptr(n)
	} else {
		b.vecs = append(b.vecs, vecOf(b.arena[b.used:b.used+n]))
	}
	b.tail = true
	b.used += n
}
