package udp

import (
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/freeflow-rdma/freeflow/internal/mem"
)

// Flush sends what is queued, and never waits: what the kernel does not take is dropped and counted.
func (b *Batch) Flush() {
	if b.packets == 0 {
		return
	}
	for i := range b.runs {
		b.seal(i)
	}
	for i := 0; i < len(b.runs); {
		b.counters.SendCalls.Add(1)
		n, errno := b.send(b.fd, b.msgs[i:len(b.runs)])
		switch {
		case n > 0:
			b.sent(b.runs[i : i+n])
			i += n
		case errno == unix.EINTR:
		case errno == unix.EAGAIN: // the socket's buffer is full: so it is for those that follow
			b.drop(b.runs[i:], errno)
			i = len(b.runs)
		default:
			b.refused(&b.runs[i], errno)
			i++
		}
	}
	b.reset()
}

// seal makes the message of a run that will not grow any more.
func (b *Batch) seal(i int) {
	r, m := &b.runs[i], &b.msgs[i]
	m.msghdr = msghdr{
		name: addressOf(r.dst.raw[:]), namelen: r.dst.n,
		iov: addressOfVecs(b.vecs[r.first:]), iovlen: uintptr(r.vecs),
	}
	if r.packets > 1 {
		putSegment(&b.control[i], r.size)
		m.control, m.controllen = addressOf(b.control[i][:]), segmentSpace
	}
}

// refused deals with a run that the kernel did not take. Its packets go one by one unless that is no use: the kernel may
// be unable to cut it, or one of the packets may be at fault (and not those of others).
func (b *Batch) refused(r *run, errno syscall.Errno) {
	switch errno {
	case unix.EIO, unix.EINVAL, unix.EOPNOTSUPP, unix.EMSGSIZE, unix.EFAULT:
	default:
		b.drop([]run{*r}, errno)
		return
	}
	if r.packets == 1 {
		b.drop([]run{*r}, errno)
		return
	}
	b.counters.SegmentFallbacks.Add(1)
	if b.oneByOne(r) && errno != unix.EFAULT && errno != unix.EMSGSIZE {
		b.features.degrade(r.packets)
	}
}

// degrade remembers that a run of so many packets was refused though each of them was fine.
func (f *features) degrade(packets int) {
	limit := int32(1)
	if packets > oldSegments {
		limit = oldSegments
	}
	if f.maxSegments.Load() > limit {
		f.maxSegments.Store(limit)
	}
}

// oneByOne sends the packets of a run each as a message, and reports whether all went.
func (b *Batch) oneByOne(r *run) bool {
	all := true
	vecs := b.vecs[r.first : r.first+r.vecs]
	for i := 0; i < r.packets; i++ {
		from, to := r.packet(i)
		b.single = cut(b.single[:0], vecs, from, to)
		one := run{dst: r.dst, size: to - from, bytes: to - from, packets: 1, vecs: len(b.single)}
		b.alone[0].msghdr = msghdr{
			name: addressOf(r.dst.raw[:]), namelen: r.dst.n, iov: addressOfVecs(b.single), iovlen: uintptr(len(b.single)),
		}
		b.counters.SendCalls.Add(1)
		n, errno := b.send(b.fd, b.alone[:])
		switch {
		case n > 0:
			b.sent([]run{one})
		case errno == unix.EINTR:
			i--
		default:
			all = false
			b.drop([]run{one}, errno)
		}
	}
	return all
}

func (b *Batch) sent(runs []run) {
	packets, bytes := 0, 0
	for i := range runs {
		packets += runs[i].packets
		bytes += runs[i].bytes
	}
	b.counters.SentPackets.Add(uint64(packets))
	b.counters.SentBytes.Add(uint64(bytes))
	b.counters.SentMessages.Add(uint64(len(runs)))
}

func (b *Batch) drop(runs []run, errno syscall.Errno) {
	packets := 0
	for i := range runs {
		packets += runs[i].packets
	}
	b.counters.dropped(errno).Add(uint64(packets))
}

// reset forgets what was queued; pointers to programs' memory do not outlive it.
func (b *Batch) reset() {
	if b.copied > 0 {
		b.counters.CopiedPackets.Add(uint64(b.copied))
	}
	clear(b.runs)
	clear(b.vecs)
	clear(b.single[:cap(b.single)])
	clear(b.pieces[:])
	b.packet = Packet{}
	b.src[0], b.dst[0] = mem.Span{}, mem.Span{}
	b.packets, b.copied, b.used, b.tail = 0, 0, 0, false
	b.vecs, b.runs = b.vecs[:0], b.runs[:0]
}
